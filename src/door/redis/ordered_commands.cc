#include "door/redis/ordered_commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "door/redis/ordered_paxos.h"
#include "door/redis/ordered_raft.h"
#include "door/redis/ordered_transaction_state.h"
#include "runtime/scope.h"

namespace coterie::door::redis {

using ordered::Cursors;
using ordered::Job;
using ordered::RaftJobs;
using ordered::Watched;
using runtime::Task;

struct OrderedCommands::State {
  State(runtime::World& the_world, Parts the_parts)
      : world(the_world), parts(std::move(the_parts)), cursors(the_world.random()) {}

  RaftJobs& Jobs(const std::string& keyspace);
  RaftJobs& Jobs(const Context& context);
  Task<std::string> RunOnRaft(Context context, OwnedWords words);
  Task<std::string> Watch(Context context, OwnedWords words);
  Task<std::string> Exec(Context context, OwnedWords words);
  Task<std::string> PassOn(Context context, OwnedWords words);
  Task<std::vector<std::string>> RunTogetherOnRaft(std::vector<Request> requests);
  Task<void> Sweep(std::string keyspace);

  runtime::World& world;
  const Parts parts;
  Cursors cursors;
  std::map<std::string, std::unique_ptr<RaftJobs>> jobs;
  runtime::Scope scope;
};

namespace {

std::string Encoded(int protocol, const Error& error) {
  std::string out;
  Reply(out, protocol).Error(error);
  return out;
}

const std::string& NameOf(const Context& context) { return context.keyspace->promise.name; }

bool IsRaft(const Context& context) {
  return context.keyspace->promise.replication == keyspace::Replication::kRaft;
}

bool Changes(const Command& command) { return (command.flags & kWrite) != 0; }

/// SCAN, KEYS, DBSIZE, RANDOMKEY.
bool ReadsAllKeys(const Command& command) {
  return !Changes(command) && ordered::KeyspaceHandler(command.id) != nullptr;
}

/// The key that a command is queued under: its first one.
std::string QueueOf(const Command& command, const OwnedWords& words) {
  if (command.first <= 0 || static_cast<std::size_t>(command.first) >= words.size()) return "";
  return words[static_cast<std::size_t>(command.first)];
}

/// The payload of one bulk string; nullopt if `reply` is anything else.
std::optional<std::string_view> BulkOf(std::string_view reply) {
  const std::size_t head = reply.find("\r\n");
  if (!reply.starts_with('$') || head == reply.npos || reply.size() < head + 4) return std::nullopt;
  return reply.substr(head + 2, reply.size() - head - 4);
}

}  // namespace

RaftJobs& OrderedCommands::State::Jobs(const std::string& keyspace) {
  auto& slot = jobs[keyspace];
  if (!slot) {
    slot = std::make_unique<RaftJobs>(world, cursors,
                                      [this, keyspace] { return parts.raft(keyspace); });
  }
  return *slot;
}

RaftJobs& OrderedCommands::State::Jobs(const Context& context) {
  RaftJobs& found = Jobs(context.keyspace->promise.name);
  found.database = context.keyspace->promise.redis_database;
  return found;
}

Task<std::string> OrderedCommands::State::PassOn(Context context, OwnedWords words) {
  if (context.forwarded || !parts.pass_on) {
    co_return Encoded(context.protocol, {ErrorCode::kNotReplica, Outcome::kNotApplied,
                                         "keyspace " + NameOf(context)});
  }
  context.transaction = nullptr;
  std::string reply = co_await parts.pass_on(std::move(context), std::move(words));
  co_return reply;
}

Task<std::string> OrderedCommands::State::Watch(Context context, OwnedWords words) {
  Transaction::State* transaction =
      context.transaction != nullptr ? context.transaction->state_.get() : nullptr;
  std::vector<std::string> keys(words.begin() + 1, words.end());
  std::vector<Watched> watched;
  std::string out;
  if (parts.raft(NameOf(context)) != nullptr) {
    auto seen = co_await Jobs(context).Watch(std::move(keys), context.deadline);
    if (!seen) co_return Encoded(context.protocol, seen.error());
    watched = std::move(*seen);
  } else {
    // One key at a time: each is compared on its own when EXEC comes.
    for (std::string& key : keys) {
      Context passed = context;
      passed.protocol = 2;
      OwnedWords one = {words[0], key};
      const std::string reply = co_await PassOn(std::move(passed), std::move(one));
      const auto bulk = BulkOf(reply);
      const auto version = bulk ? ordered::DecodeVersion(*bulk) : std::nullopt;
      if (!version) co_return reply;
      watched.push_back({std::move(key), *version});
    }
  }
  Reply reply(out, context.protocol);
  if (transaction == nullptr) {
    reply.Bulk(ordered::EncodeVersion(watched.front().version));
    co_return out;
  }
  if (!transaction->watched.empty() && transaction->keyspace != NameOf(context)) {
    reply.Error("ERR keys of another keyspace are watched: UNWATCH first");
    co_return out;
  }
  if (transaction->watched.size() + watched.size() > Transaction::kWatchedMax) {
    reply.Error(fmt::format("ERR {} keys may be watched at most", Transaction::kWatchedMax));
    co_return out;
  }
  transaction->keyspace = NameOf(context);
  for (Watched& one : watched) transaction->watched.push_back(std::move(one));
  reply.Ok();
  co_return out;
}

Task<std::string> OrderedCommands::State::Exec(Context context, OwnedWords words) {
  Job job{.protocol = context.protocol, .deadline = context.deadline, .exec = true};
  if (context.transaction == nullptr) {
    if (!context.forwarded || !ordered::DecodeExec(context.operation, job)) {
      co_return Encoded(context.protocol, {ErrorCode::kMalformed, Outcome::kNotApplied, "EXEC"});
    }
  } else {
    Transaction::State& transaction = *context.transaction->state_;
    const bool aborted = transaction.aborted;
    const bool elsewhere = !transaction.watched.empty() && transaction.keyspace != NameOf(context);
    job.commands = std::move(transaction.queued);
    job.watched = std::move(transaction.watched);
    transaction.Close();
    std::string out;
    Reply reply(out, context.protocol);
    if (aborted) reply.Error("EXECABORT Transaction discarded because of previous errors.");
    if (!aborted && elsewhere) {
      reply.Error("EXECABORT Transaction discarded: the watched keys are of another keyspace.");
    }
    if (!out.empty()) co_return out;
  }
  std::string reply;
  if (parts.raft(NameOf(context)) == nullptr) {
    context.operation = ordered::EncodeExec(job.commands, job.watched);
    reply = co_await PassOn(std::move(context), std::move(words));
    co_return reply;
  }
  bool changes = false, all_keys = false;
  std::string queue;
  for (const auto& queued : job.commands) {
    all_keys = all_keys || ReadsAllKeys(*queued.command);
    if (!Changes(*queued.command)) continue;
    if (!changes) queue = QueueOf(*queued.command, queued.words);
    changes = true;
  }
  if (changes && all_keys) {  // nothing guards a whole keyspace
    co_return Encoded(context.protocol,
                      {ErrorCode::kInvalidArgument, Outcome::kNotApplied,
                       "a transaction that changes keys cannot have SCAN, KEYS, DBSIZE or "
                       "RANDOMKEY in it"});
  }
  RaftJobs& jobs_here = Jobs(context);
  if (changes) {
    reply = co_await jobs_here.Change(std::move(queue), std::move(job));
  } else {
    reply = co_await jobs_here.Read(std::move(job));
  }
  co_return reply;
}

Task<std::string> OrderedCommands::State::RunOnRaft(Context context, OwnedWords words) {
  std::string reply;
  const CommandId id = context.command->id;
  if (id == CommandId::kWatch) {
    reply = co_await Watch(std::move(context), std::move(words));
    co_return reply;
  }
  if (id == CommandId::kExec) {
    reply = co_await Exec(std::move(context), std::move(words));
    co_return reply;
  }
  if (parts.raft(NameOf(context)) == nullptr) {
    reply = co_await PassOn(std::move(context), std::move(words));
    co_return reply;
  }
  const bool changes = Changes(*context.command);
  std::string queue = QueueOf(*context.command, words);
  Job job{.protocol = context.protocol, .deadline = context.deadline};
  job.commands.push_back({context.command, std::move(words)});
  RaftJobs& jobs_here = Jobs(context);
  if (changes) {
    reply = co_await jobs_here.Change(std::move(queue), std::move(job));
  } else {
    reply = co_await jobs_here.Read(std::move(job));
  }
  co_return reply;
}

Task<std::vector<std::string>> OrderedCommands::State::RunTogetherOnRaft(
    std::vector<Request> requests) {
  const std::string keyspace = NameOf(requests.front().context);
  std::vector<std::string> replies;
  if (parts.raft(keyspace) == nullptr) {
    for (Request& request : requests) {
      std::string reply = co_await PassOn(std::move(request.context), std::move(request.words));
      replies.push_back(std::move(reply));
    }
    co_return replies;
  }
  bool changes = false;
  std::string queue = QueueOf(*requests.front().context.command, requests.front().words);
  std::vector<Job> in_order;
  for (Request& request : requests) {
    const Context& context = request.context;
    changes = changes || Changes(*context.command);
    if (QueueOf(*context.command, request.words) != queue) queue.clear();
    Job job{.protocol = context.protocol, .deadline = context.deadline};
    job.commands.push_back({context.command, std::move(request.words)});
    in_order.push_back(std::move(job));
  }
  RaftJobs& jobs_here = Jobs(requests.front().context);
  if (changes) {
    replies = co_await jobs_here.ChangeInOrder(std::move(queue), std::move(in_order));
  } else {
    replies = co_await jobs_here.ReadInOrder(std::move(in_order));
  }
  co_return replies;
}

Task<void> OrderedCommands::State::Sweep(std::string keyspace) {
  constexpr Duration kPause = 100ms;   // between steps
  constexpr Duration kRound = 1000ms;  // between passes
  std::string after;
  for (;;) {
    co_await runtime::Sleep(world.executor(), after.empty() ? kRound : kPause);
    after = co_await Jobs(keyspace).Sweep(std::move(after));
  }
}

OrderedCommands::OrderedCommands(runtime::World& world, Parts parts)
    : state_(std::make_unique<State>(world, std::move(parts))) {}
OrderedCommands::~OrderedCommands() = default;

Step OrderedCommands::Begin(const Context& context, Words words, std::string& out,
                            node::WriteTicket&) {
  if (context.transaction == nullptr) return Step::kSuspend;
  Reply reply(out, context.protocol);
  return context.transaction->state_->Begin(context, words, reply) ? Step::kDone : Step::kSuspend;
}

Task<std::string> OrderedCommands::Run(Context context, OwnedWords words) {
  std::string reply;
  if (IsRaft(context)) {
    reply = co_await state_->RunOnRaft(std::move(context), std::move(words));
    co_return reply;
  }
  node::Registers* registers = state_->parts.paxos ? state_->parts.paxos(NameOf(context)) : nullptr;
  if (registers == nullptr) {
    reply = co_await state_->PassOn(std::move(context), std::move(words));
    co_return reply;
  }
  reply = co_await ordered::RunOnRegisters(state_->world, state_->cursors, *registers,
                                           std::move(context), std::move(words));
  co_return reply;
}

bool OrderedCommands::MayJoin(const Context& front, const Command& next) const {
  const auto joins = [](const Command& command) {
    const bool alone = command.id == CommandId::kWatch || command.id == CommandId::kExec;
    return !alone && ordered::KeyspaceHandler(command.id) == nullptr;
  };
  return joins(*front.command) && joins(next);
}

Task<std::vector<std::string>> OrderedCommands::RunTogether(std::vector<Request> requests) {
  const Context& front = requests.front().context;
  const bool one_keyspace = std::ranges::all_of(
      requests, [&](const Request& request) { return NameOf(request.context) == NameOf(front); });
  std::vector<std::string> replies;
  if (one_keyspace && IsRaft(front)) {
    replies = co_await state_->RunTogetherOnRaft(std::move(requests));
    co_return replies;
  }
  node::Registers* registers = state_->parts.paxos ? state_->parts.paxos(NameOf(front)) : nullptr;
  if (one_keyspace && registers != nullptr) {
    replies = co_await ordered::RunTogetherOnRegisters(state_->world, state_->cursors, *registers,
                                                       std::move(requests));
    co_return replies;
  }
  for (Request& request : requests) {  // the map changed between them, or they are passed on
    std::string reply = co_await Run(std::move(request.context), std::move(request.words));
    replies.push_back(std::move(reply));
  }
  co_return replies;
}

void OrderedCommands::SweepExpired(std::string keyspace) {
  state_->scope.Spawn(state_->Sweep(std::move(keyspace)));
}

}  // namespace coterie::door::redis
