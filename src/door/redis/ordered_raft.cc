#include "door/redis/ordered_raft.h"

#include <algorithm>
#include <iterator>
#include <optional>

#include "clock/wall_interval.h"
#include "door/redis/gather.h"
#include "door/redis/mutants.h"
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
  if (handler == nullptr) return reply.Error(RefusalOf(*queued.command, kRaft, ""));
  const Call call{view, *queued.command, words, reply};
  if (!queued.command->AcceptsWords(words.size())) return call.WrongArity();
  handler(call);
}

/// Whether one job is to blame, whatever others it shared the transaction with.
bool OfOneJob(const Error& error) { return error.code == ErrorCode::kTooLarge; }

/// Whether the transaction was dropped on its way, and nothing else is wrong.
bool Dropped(const Error& error) {
  return error.code == ErrorCode::kProposalDropped && error.outcome == Outcome::kNotApplied;
}

}  // namespace

std::int64_t WallMilliseconds(runtime::World& world) {
  return static_cast<std::int64_t>(clock::MiddleMs(world.WallNow()));
}

View::Surroundings RaftJobs::surroundings() {
  return {WallMilliseconds(world_), database, world_.random(), cursors_};
}

std::string RaftJobs::Execute(Objects& objects, const Job& job) {
  std::string out;
  for (const Watched& watched : job.watched) {
    if (objects.VersionOf(watched.key) == watched.version) continue;
    Reply(out, job.protocol).NullArray();
    return out;
  }
  if (job.exec) Reply(out, job.protocol).Array(job.commands.size());
  for (const QueuedCommand& queued : job.commands) Run(objects, queued, job.protocol, out);
  return out;
}

std::vector<std::string> RaftJobs::ExecuteSome(Objects& objects, const Jobs& jobs,
                                               std::size_t max) {
  std::vector<std::string> replies;
  std::size_t reply_bytes = 0;
  const KvTransaction& kv = objects.kv();
  for (const Job* job : jobs) {
    const bool full = replies.size() == max || kv.visited() >= kTogetherVisitedMax ||
                      kv.operations() >= kTogetherOperationsMax ||
                      std::max(kv.bytes(), reply_bytes) >= kTogetherBytesMax;
    if (full && !replies.empty()) break;
    replies.push_back(Execute(objects, *job));
    reply_bytes += replies.back().size();
  }
  return replies;
}

Task<Result<RaftJobs::Happened>> RaftJobs::TryOnce(const Jobs* jobs, std::size_t max, bool fresh,
                                                   Instant deadline) {
  node::KvKeyspace* keyspace = keyspace_();
  if (keyspace == nullptr) co_return std::unexpected(NoReplica());
  Objects objects(keyspace->store(), surroundings());
  Happened happened{.replies = ExecuteSome(objects, *jobs, max)};
  if (objects.kv().error()) co_return std::unexpected(*objects.kv().error());
  if (!objects.kv().changed()) {
    happened.outcome = fresh ? Happened::kYes : Happened::kNothingToCompare;
    co_return happened;
  }
  auto command = objects.kv().Encode();
  if (!command) co_return std::unexpected(std::move(command.error()));
  auto answer = co_await keyspace->replica().Propose(std::move(*command), deadline);
  if (!answer && Dropped(answer.error())) {
    happened.outcome = Happened::kDropped;
    co_return happened;
  }
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  const auto succeeded = Succeeded(**answer);
  if (!succeeded) co_return std::unexpected(succeeded.error());
  happened.outcome = *succeeded ? Happened::kYes : Happened::kLost;
  co_return happened;
}

Task<Result<std::vector<std::string>>> RaftJobs::Decide(Jobs jobs, bool barrier, Instant deadline) {
  bool fresh = COT_ORDERED_MUTANT(kNoBarrier);
  std::size_t max = jobs.size();
  for (int tries = 0; tries < kTriesMax; ++tries) {
    if (barrier && !fresh) {
      node::KvKeyspace* keyspace = keyspace_();
      if (keyspace == nullptr) co_return std::unexpected(NoReplica());
      const Status passed = co_await keyspace->replica().ReadBarrier(deadline);
      if (!passed) co_return std::unexpected(passed.error());
      fresh = true;
    }
    auto happened = co_await TryOnce(&jobs, max, fresh, deadline);
    if (!happened) {
      if (max == 1 || !OfOneJob(happened.error())) co_return std::unexpected(happened.error());
      max /= 2;  // until the one that it is about is alone
      continue;
    }
    switch (happened->outcome) {
      case Happened::kYes:
        co_return std::move(happened->replies);
      case Happened::kNothingToCompare:  // so what was read must be known to be new
        barrier = true;
        break;
      case Happened::kLost:
        fresh = true;  // what it lost against has been applied here
        // Fewer keys are less likely to be changed by others.
        if (tries % kTriesBeforeHalf == kTriesBeforeHalf - 1)
          max = std::max<std::size_t>(max / 2, 1);
        break;
      case Happened::kDropped:
        break;
    }
  }
  co_return Fail(ErrorCode::kContended);
}

Task<std::string> RaftJobs::Read(Job job) {
  Jobs jobs = {&job};
  auto replies = co_await Decide(std::move(jobs), true, job.deadline);
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
  if (!queues_.contains(key)) {
    auto blind = BlindSet(job);
    if (blind) {
      std::string done = co_await SetBlindly(std::move(blind->first), std::move(blind->second),
                                             job.protocol, job.deadline);
      co_return done;
    }
  }
  const auto waiting = std::make_shared<Waiting>(world_.executor(), std::move(job));
  Enqueue(std::move(key), {waiting});
  std::string reply = co_await waiting->reply.Wait();
  co_return reply;
}

Task<std::vector<std::string>> RaftJobs::ReadInOrder(std::vector<Job> jobs) {
  std::vector<std::string> replies;
  while (replies.size() < jobs.size()) {
    Jobs rest;
    for (std::size_t i = replies.size(); i < jobs.size(); ++i) rest.push_back(&jobs[i]);
    auto some = co_await Decide(std::move(rest), true, jobs[replies.size()].deadline);
    if (some) {
      std::ranges::move(*some, std::back_inserter(replies));
    } else {
      replies.push_back(Encoded(some.error(), jobs[replies.size()].protocol));
    }
  }
  co_return replies;
}

Task<std::vector<std::string>> RaftJobs::ChangeInOrder(std::string key, std::vector<Job> jobs) {
  if (COT_ORDERED_MUTANT(kPipelineApart)) {
    std::vector<Task<std::string>> apart;
    for (Job& job : jobs) {
      std::string own = job.commands.front().words.back();
      apart.push_back(Change(std::move(own), std::move(job)));
    }
    auto unordered = co_await All(world_.executor(), std::move(apart));
    co_return unordered;
  }
  Group group;
  for (Job& job : jobs) {
    group.push_back(std::make_shared<Waiting>(world_.executor(), std::move(job)));
  }
  Enqueue(std::move(key), group);
  std::vector<std::string> replies;
  for (const auto& waiting : group) {
    std::string reply = co_await waiting->reply.Wait();
    replies.push_back(std::move(reply));
  }
  co_return replies;
}

void RaftJobs::Enqueue(std::string key, const Group& group) {
  const bool idle = !queues_.contains(key);
  Queue& queue = queues_[key];
  if (queue.waiting.size() + group.size() > kQueueMax) {
    const Error full{ErrorCode::kOverloaded, Outcome::kNotApplied, "commands on one key"};
    for (const auto& waiting : group) waiting->reply.Set(Encoded(full, waiting->job.protocol));
    return;
  }
  queue.waiting.insert(queue.waiting.end(), group.begin(), group.end());
  if (idle) scope_.Spawn(Drive(std::move(key)));
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
  std::erase_if(group, [this](const auto& waiting) {
    if (waiting->job.deadline > world_.Now()) return false;
    const Error late{ErrorCode::kTimedOut, Outcome::kNotApplied, "others of the key came first"};
    waiting->reply.Set(Encoded(late, waiting->job.protocol));
    return true;
  });
  std::size_t answered = 0;
  while (answered < group.size()) {
    Jobs jobs;
    Instant deadline{};
    for (std::size_t i = answered; i < group.size(); ++i) {
      jobs.push_back(&group[i]->job);
      deadline = std::max(deadline, group[i]->job.deadline);
    }
    auto replies = co_await Decide(std::move(jobs), false, deadline);
    if (replies) {
      for (std::string& reply : *replies) group[answered++]->reply.Set(std::move(reply));
      continue;
    }
    // What is about one job was reached with that one alone.
    const std::size_t end = OfOneJob(replies.error()) ? answered + 1 : group.size();
    while (answered < end) {
      Waiting& waiting = *group[answered++];
      waiting.reply.Set(Encoded(replies.error(), waiting.job.protocol));
    }
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
