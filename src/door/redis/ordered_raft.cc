#include "door/redis/ordered_raft.h"

#include <algorithm>
#include <optional>

#include "clock/wall_interval.h"
#include "door/redis/ordered_register_view.h"

namespace coterie::door::redis::ordered {
namespace {

using runtime::Task;

std::string Encoded(const Error& error, int protocol) {
  std::string out;
  Reply(out, protocol).Error(error);
  return out;
}

Error NoReplica() {
  return {ErrorCode::kNotReplica, Outcome::kNotApplied, "the keyspace has no replica here"};
}

void Run(View& view, const QueuedCommand& queued, int protocol, std::string& out) {
  const std::vector<std::string_view> words(queued.words.begin(), queued.words.end());
  Reply reply(out, protocol);
  const Handler handler = HandlerOf(queued.command->id);
  const Call call{view, *queued.command, words, reply};
  if (!queued.command->AcceptsWords(words.size())) return call.WrongArity();
  handler(call);
}

/// Whether the transaction was dropped on its way, and nothing else is wrong.
bool Dropped(const Error& error) {
  return error.code == ErrorCode::kProposalDropped && error.outcome == Outcome::kNotApplied;
}

}  // namespace

std::int64_t WallMilliseconds(runtime::World& world) {
  return static_cast<std::int64_t>(clock::MiddleMs(world.WallNow()));
}

View::Surroundings RaftJobs::surroundings() {
  return {WallMilliseconds(world_), world_.random(), cursors_};
}

Result<std::string> RaftJobs::Execute(Objects& objects, const Job& job) {
  std::string out;
  for (const Watched& watched : job.watched) {
    if (objects.VersionOf(watched.key) == watched.version) continue;
    Reply(out, job.protocol).NullArray();
    return out;
  }
  if (job.exec) Reply(out, job.protocol).Array(job.commands.size());
  for (const QueuedCommand& queued : job.commands) Run(objects, queued, job.protocol, out);
  if (job.exec && objects.unguarded() && objects.kv().changed()) {
    return Fail(
        ErrorCode::kInvalidArgument,
        "a transaction that changes keys cannot have SCAN, KEYS, DBSIZE or RANDOMKEY in it");
  }
  return out;
}

Task<Result<std::vector<std::string>>> RaftJobs::Decide(std::vector<const Job*> jobs, bool barrier,
                                                        Instant deadline) {
  bool fresh = false;
  for (int tries = 0; tries < kTriesMax; ++tries) {
    node::KvKeyspace* keyspace = keyspace_();
    if (keyspace == nullptr) co_return std::unexpected(NoReplica());
    if (barrier && !fresh) {
      const Status passed = co_await keyspace->replica().ReadBarrier(deadline);
      if (!passed) co_return std::unexpected(passed.error());
      fresh = true;
      keyspace = keyspace_();
      if (keyspace == nullptr) co_return std::unexpected(NoReplica());
    }
    Objects objects(keyspace->store(), surroundings());
    std::vector<std::string> replies;
    for (const Job* job : jobs) {
      auto reply = Execute(objects, *job);
      if (!reply) co_return std::unexpected(std::move(reply.error()));
      replies.push_back(std::move(*reply));
    }
    if (objects.kv().error()) co_return std::unexpected(*objects.kv().error());
    if (!objects.kv().changed()) {
      if (fresh) co_return replies;
      barrier = true;  // nothing will be compared: what was read must be known to be new
      continue;
    }
    auto command = objects.kv().Encode();
    if (!command) co_return std::unexpected(std::move(command.error()));
    auto answer = co_await keyspace->replica().Propose(std::move(*command), deadline);
    if (!answer && Dropped(answer.error())) continue;
    if (!answer) co_return std::unexpected(std::move(answer.error()));
    const auto happened = Succeeded(**answer);
    if (!happened) co_return std::unexpected(happened.error());
    if (*happened) co_return replies;
    fresh = true;  // what it lost against has been applied here
  }
  co_return Fail(ErrorCode::kContended);
}

Task<std::string> RaftJobs::Read(Job job) {
  auto replies = co_await Decide({&job}, true, job.deadline);
  if (!replies) co_return Encoded(replies.error(), job.protocol);
  co_return std::move(replies->front());
}

std::optional<std::pair<std::string, std::string>> RaftJobs::BlindSet(const Job& job) {
  if (job.exec || job.commands.size() != 1) return std::nullopt;
  const QueuedCommand& queued = job.commands.front();
  const CommandId id = queued.command->id;
  const bool set = id == CommandId::kSet || id == CommandId::kSetex || id == CommandId::kPsetex;
  if (!set || queued.words.size() < 3 || queued.words.size() > 5) return std::nullopt;
  // Tried on a key that has nothing and on one that has something: if both end alike, then what it
  // has does not matter.
  std::string reply[2];
  node::Registers::Change change[2];
  for (const int i : {0, 1}) {
    std::optional<RegisterView::Value> current;
    if (i == 1) current = RegisterView::Value{"", 1ull << 60};
    RegisterView view(queued.words[1], current, surroundings());
    Run(view, queued, job.protocol, reply[i]);
    change[i] = view.TakeChange();
  }
  const bool alike = reply[0] == reply[1] && change[0].value == change[1].value;
  if (!alike || !change[0].write || !change[0].value) return std::nullopt;
  const auto& value = *change[0].value;
  if (value.bytes.size() > kTransactionBytesMax) return std::nullopt;
  return std::pair(EncodeBlindSet(queued.words[1], value.bytes, value.expires_at_ms),
                   std::move(reply[0]));
}

Task<std::string> RaftJobs::SetBlindly(std::string command, std::string reply, int protocol,
                                       Instant deadline) {
  node::KvKeyspace* keyspace = keyspace_();
  if (keyspace == nullptr) co_return Encoded(NoReplica(), protocol);
  auto answer = co_await keyspace->replica().Propose(std::move(command), deadline);
  if (!answer) co_return Encoded(answer.error(), protocol);
  const auto happened = Succeeded(**answer);
  if (!happened) co_return Encoded(happened.error(), protocol);
  co_return reply;
}

Task<std::string> RaftJobs::Change(std::string key, Job job) {
  const auto busy = queues_.find(key);
  if (busy == queues_.end()) {
    auto blind = BlindSet(job);
    if (blind) {
      std::string done = co_await SetBlindly(std::move(blind->first), std::move(blind->second),
                                             job.protocol, job.deadline);
      co_return done;
    }
  }
  Queue& queue = queues_[key];
  const int protocol = job.protocol;
  if (queue.waiting.size() >= kQueueMax) {
    co_return Encoded({ErrorCode::kOverloaded, Outcome::kNotApplied, "commands on one key"},
                      protocol);
  }
  const bool idle = busy == queues_.end();
  auto waiting = std::make_shared<Waiting>(world_.executor(), std::move(job));
  queue.waiting.push_back(waiting);
  if (idle) scope_.Spawn(Drive(std::move(key)));
  std::string reply = co_await waiting->reply.Wait();
  co_return reply;
}

// One transaction of a key at a time: what comes meanwhile waits, and goes together in the next.
Task<void> RaftJobs::Drive(std::string key) {
  for (;;) {
    Queue& queue = queues_[key];
    if (queue.waiting.empty()) break;
    Group group;
    if (queue.waiting.size() <= kTogetherMax) {
      group.swap(queue.waiting);
    } else {
      const auto end = queue.waiting.begin() + kTogetherMax;
      group.assign(queue.waiting.begin(), end);
      queue.waiting.erase(queue.waiting.begin(), end);
    }
    co_await Answer(std::move(group));
  }
  queues_.erase(key);
}

Task<void> RaftJobs::Answer(Group group) {
  std::vector<const Job*> jobs;
  Instant deadline{};
  std::erase_if(group, [this](const auto& waiting) {
    if (waiting->job.deadline > world_.Now()) return false;
    const Error late{ErrorCode::kTimedOut, Outcome::kNotApplied, "others of the key came first"};
    waiting->reply.Set(Encoded(late, waiting->job.protocol));
    return true;
  });
  if (group.empty()) co_return;
  for (const auto& waiting : group) {
    jobs.push_back(&waiting->job);
    deadline = std::max(deadline, waiting->job.deadline);
  }
  auto replies = co_await Decide(std::move(jobs), false, deadline);
  const bool refused = !replies && (replies.error().code == ErrorCode::kTooLarge ||
                                    replies.error().code == ErrorCode::kInvalidArgument);
  if (refused && group.size() > 1) {  // one of them, or all together: each for itself
    for (auto& waiting : group) co_await Answer({waiting});
    co_return;
  }
  for (std::size_t i = 0; i < group.size(); ++i) {
    group[i]->reply.Set(replies ? std::move((*replies)[i])
                                : Encoded(replies.error(), group[i]->job.protocol));
  }
}

Task<Result<std::vector<Watched>>> RaftJobs::Watch(std::vector<std::string> keys,
                                                   Instant deadline) {
  node::KvKeyspace* keyspace = keyspace_();
  if (keyspace == nullptr) co_return std::unexpected(NoReplica());
  const Status passed = co_await keyspace->replica().ReadBarrier(deadline);
  if (!passed) co_return std::unexpected(passed.error());
  keyspace = keyspace_();
  if (keyspace == nullptr) co_return std::unexpected(NoReplica());
  Objects objects(keyspace->store(), surroundings());
  std::vector<Watched> watched;
  for (std::string& key : keys) {
    const auto version = objects.VersionOf(key);
    watched.push_back({std::move(key), version});
  }
  if (objects.kv().error()) co_return std::unexpected(*objects.kv().error());
  co_return watched;
}

Task<std::string> RaftJobs::Sweep(std::string after) {
  constexpr std::size_t kStep = 256;
  node::KvKeyspace* keyspace = keyspace_();
  if (keyspace == nullptr || !keyspace->replica().status().leading) co_return std::string();
  Objects objects(keyspace->store(), surroundings());
  KeyRange range = Expiries();
  if (!after.empty()) range.begin = after + '\0';
  const auto entries = objects.kv().Scan(range, kStep);
  for (const auto& entry : entries) {
    const auto expiry = DecodeExpiry(entry.value);
    if (!expiry || !objects.Past(expiry->at_ms)) continue;
    // Finding it removes it if it has expired; else the record is of an earlier state of the key.
    const auto& object = objects.Find(KeyOfExpiry(entry.record));
    if (object.expires_at_ms == 0 && objects.kv().Get(entry.record)) {
      objects.kv().Erase(entry.record);
    }
  }
  const std::string next = entries.size() < kStep ? "" : entries.back().record;
  if (!objects.kv().changed()) co_return next;
  auto command = objects.kv().Encode();
  if (!command) co_return next;
  // Lost against another change: the next round sees to it.
  auto answer =
      co_await keyspace->replica().Propose(std::move(*command), world_.Now() + Duration(5s));
  static_cast<void>(answer);
  co_return next;
}

}  // namespace coterie::door::redis::ordered
