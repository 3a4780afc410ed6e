#include "door/redis/forward.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "base/coding.h"

namespace coterie::door::redis {
namespace {

constexpr std::uint64_t kVersion = 1;
/// A replica that has not answered for so long is late: a read is asked of the next one as well.
constexpr Duration kReadPatience = 100ms;
constexpr Duration kLongReadPatience = 1s;  // of what is about all keys of a shard
constexpr std::size_t kPreferredMax = 1u << 16;

bool IsLeaderless(const placement::Keyspace& keyspace) {
  return keyspace.promise.replication == keyspace::Replication::kLeaderless;
}

bool HasReplica(const placement::Shard& shard, NodeId node) {
  return std::ranges::any_of(shard.replicas, [node](const auto& r) { return r.node == node; });
}

}  // namespace

std::string Encode(const ForwardedCommand& command) {
  std::string out;
  PutVarint(out, kVersion);
  PutLengthPrefixed(out, command.keyspace);
  PutVarint(out, command.shard.value);
  PutVarint(out, command.epoch.value);
  PutVarint(out, static_cast<std::uint64_t>(command.protocol));
  PutVarint(out, command.read);
  PutVarint(out, command.write);
  PutVarint(out, (command.fresh ? 1u : 0u) | (command.whole_keyspace ? 2u : 0u));
  PutLengthPrefixed(out, command.operation);
  PutVarint(out, command.words.size());
  for (const std::string& word : command.words) PutLengthPrefixed(out, word);
  return out;
}

Result<ForwardedCommand> DecodeForwarded(std::string_view body) {
  const auto version = GetVarint(body);
  const auto keyspace = GetLengthPrefixed(body);
  const auto shard = GetVarint(body);
  const auto epoch = GetVarint(body);
  const auto protocol = GetVarint(body);
  const auto read = GetVarint(body);
  const auto write = GetVarint(body);
  const auto flags = GetVarint(body);
  const auto operation = GetLengthPrefixed(body);
  const auto words = GetVarint(body);
  const bool whole = version && keyspace && shard && epoch && protocol && read && write && flags &&
                     operation && words;
  if (!whole || *version != kVersion || (*protocol != 2 && *protocol != 3))
    return Fail(ErrorCode::kMalformed, "forwarded command");
  ForwardedCommand command;
  command.keyspace = *keyspace;
  command.shard = ShardId(*shard);
  command.epoch = Epoch(*epoch);
  command.protocol = static_cast<int>(*protocol);
  command.read = static_cast<std::uint32_t>(*read);
  command.write = static_cast<std::uint32_t>(*write);
  command.fresh = (*flags & 1) != 0;
  command.whole_keyspace = (*flags & 2) != 0;
  command.operation = *operation;
  for (std::uint64_t i = 0; i < *words; ++i) {
    const auto word = GetLengthPrefixed(body);
    if (!word) return Fail(ErrorCode::kMalformed, "forwarded command: words");
    command.words.emplace_back(*word);
  }
  if (command.words.empty() || !body.empty())
    return Fail(ErrorCode::kMalformed, "forwarded command: length");
  return command;
}

Router::Router(runtime::World& world, NodeId self, node::Control& control,
               node::Leaderless* leaderless, node::Transport* transport,
               node::FailureDetector* detector, FindExecutor find)
    : world_(world),
      self_(self),
      control_(control),
      leaderless_(leaderless),
      transport_(transport),
      detector_(detector),
      find_(std::move(find)) {
  if (transport_ == nullptr) return;
  transport_->OnCall(node::Method::kRedisCommand,
                     [this](NodeId, std::string body, Instant deadline) {
                       return Serve(std::move(body), deadline);
                     });
}

runtime::Task<Result<std::string>> Router::Ask(NodeId to, std::string body, Instant deadline) {
  const Instant asked = world_.Now();
  ++forwarded_;
  Result<std::string> answer =
      co_await transport_->Call(to, node::Method::kRedisCommand, std::move(body), deadline);
  if (detector_ != nullptr) {
    const auto is = [&](ErrorCode code) { return !answer && answer.error().code == code; };
    if (is(ErrorCode::kTimedOut)) {
      detector_->OnLate(to);
    } else if (!is(ErrorCode::kConnectFailed) && !is(ErrorCode::kConnectionClosed)) {
      detector_->OnAnswer(to, world_.Now() - asked);
    }
  }
  co_return answer;
}

std::vector<NodeId> Router::OthersOf(const placement::Keyspace& keyspace,
                                     const placement::Shard& shard) const {
  if (IsLeaderless(keyspace) && leaderless_ != nullptr) {
    std::vector<NodeId> others = leaderless_->Others(shard);
    // Another replica may not have yet what clients of this node were shown, or wrote, at the last.
    const auto preferred = preferred_.find(shard.id);
    if (preferred == preferred_.end() || IsSuspected(preferred->second)) return others;
    const auto found = std::ranges::find(others, preferred->second);
    if (found != others.end()) std::rotate(others.begin(), found, found + 1);
    return others;
  }
  std::vector<NodeId> others;
  for (const placement::ShardReplica& replica : shard.replicas)
    if (replica.node != self_ && replica.phase == placement::Phase::kActive)
      others.push_back(replica.node);
  if (detector_ != nullptr)
    std::ranges::sort(others, {},
                      [this](NodeId node) { return std::pair(detector_->Cost(node), node); });
  return others;
}

bool Router::IsSuspected(NodeId node) const {
  if (!transport_->connected(node)) return true;
  if (detector_ == nullptr) return false;
  return std::ranges::any_of(detector_->view(), [&](const node::NodeHealth& of) {
    return of.node == node && (of.route_around || of.health != node::Health::kAlive);
  });
}

runtime::Task<std::string> Router::PassOn(Context context, OwnedWords words) {
  const placement::Shard shard = context.keyspace->shards.front();
  const int protocol = context.protocol;
  Result<std::string> answer = co_await Forward(shard, std::move(context), std::move(words), false);
  if (answer) co_return std::move(*answer);
  std::string out;
  Reply(out, protocol).Error(answer.error());
  co_return out;
}

runtime::Task<Result<std::string>> Router::Forward(placement::Shard shard, Context context,
                                                   OwnedWords words, bool whole_keyspace) {
  if (transport_ == nullptr) co_return Fail(ErrorCode::kTooFewReplicas, "No other node is known.");
  const bool writes =
      (context.command->flags & kWrite) != 0 || context.command->id == CommandId::kExec;
  const ForwardedCommand command{.keyspace = context.keyspace->promise.name,
                                 .shard = shard.id,
                                 .epoch = shard.epoch,
                                 .protocol = context.protocol,
                                 .read = context.read,
                                 .write = context.write,
                                 .fresh = context.fresh,
                                 .whole_keyspace = whole_keyspace,
                                 .operation = context.operation,
                                 .words = std::move(words)};
  Asking asking(world_.executor());
  asking.shard = shard.id;
  asking.body = Encode(command);
  asking.replicas = OthersOf(*context.keyspace, shard);
  asking.writes = writes;
  asking.patience = whole_keyspace ? kLongReadPatience : kReadPatience;
  asking.deadline = context.deadline;
  co_return co_await AskOneOf(&asking);
}

/// Asks the replicas in order: the next when one has refused or, for what only reads, is late. The
/// first answer counts.
runtime::Task<Result<std::string>> Router::AskOneOf(Asking* asking) {
  runtime::Scope scope;  // ends before this returns, with whoever has not answered
  std::size_t next = 0;
  const auto ask_next = [&] { scope.Spawn(AskFor(asking, asking->replicas[next++])); };
  while (!asking->answer) {
    const bool maybe = asking->writes && asking->last && asking->last->outcome == Outcome::kUnknown;
    if (maybe) co_return std::unexpected(*asking->last);
    const bool more = next < asking->replicas.size();
    if (asking->waiting.empty()) {
      const bool refused = asking->last && asking->last->code != ErrorCode::kConnectFailed;
      if (!more && refused) co_return std::unexpected(*asking->last);
      if (!more)
        co_return Fail(ErrorCode::kTooFewReplicas, "No replica of the shard can be reached.");
      ask_next();
      continue;
    }
    const Instant now = world_.Now();
    const bool in_time = co_await asking->changed.WaitUntil(now + asking->patience);
    if (in_time || asking->answer) continue;
    for (const NodeId node : asking->waiting)
      if (detector_ != nullptr) detector_->OnLate(node);
    asking->patience = std::min(2 * asking->patience, kLongReadPatience);
    if (more && !asking->writes) ask_next();
  }
  co_return std::move(*asking->answer);
}

runtime::Task<void> Router::AskFor(Asking* asking, NodeId node) {
  asking->waiting.insert(node);
  Result<std::string> answer = co_await Ask(node, asking->body, asking->deadline);
  asking->waiting.erase(node);
  if (!answer) {
    asking->last = answer.error();
  } else if (!asking->answer) {
    asking->answer = std::move(*answer);
    if (preferred_.size() >= kPreferredMax) preferred_.clear();
    preferred_[asking->shard] = node;
  }
  asking->changed.NotifyAll();
}

runtime::Task<Result<std::string>> Router::Serve(std::string body, Instant deadline) {
  COT_CO_ASSIGN(ForwardedCommand command, DecodeForwarded(body));
  Context context;
  context.map = control_.map();
  const placement::Keyspace* declared = context.map->Find(command.keyspace);
  if (declared == nullptr) co_return Fail(ErrorCode::kNoKeyspace, command.keyspace);
  const auto keyspace = std::make_unique<placement::Keyspace>(*declared);
  if (command.read > 0) keyspace->promise.read = command.read;
  if (command.write > 0) keyspace->promise.write = command.write;
  const auto shard = std::ranges::find(keyspace->shards, command.shard, &placement::Shard::id);
  if (shard == keyspace->shards.end() || shard->epoch != command.epoch)
    co_return Fail(ErrorCode::kStaleEpoch, command.keyspace);
  const bool here = IsLeaderless(*keyspace) ? leaderless_ != nullptr && leaderless_->Serves(*shard)
                                            : HasReplica(*shard, self_);
  if (!here) co_return Fail(ErrorCode::kNotReplica, command.keyspace);
  context.command = FindCommand(command.words[0]);
  // A transaction comes as one EXEC with all of its commands, which OrderedCommands reads.
  const bool whole_words =
      context.command != nullptr && (context.command->id == CommandId::kExec ||
                                     context.command->AcceptsWords(command.words.size()));
  if (!whole_words) co_return Fail(ErrorCode::kMalformed, "forwarded command: unknown");
  context.keyspace = keyspace.get();
  context.protocol = command.protocol;
  context.deadline = deadline;
  context.read = command.read;
  context.write = command.write;
  context.operation = command.operation;
  context.fresh = command.fresh;
  context.forwarded = true;
  if (command.whole_keyspace) context.only = &*shard;
  const std::vector<std::string_view> words(command.words.begin(), command.words.end());
  Executor* executor = find_(*context.command, KindOf(keyspace->promise), words);
  if (executor == nullptr) co_return Fail(ErrorCode::kMalformed, "forwarded command: refused");

  std::string reply;
  node::WriteTicket ticket;
  const Step step = executor->Begin(context, words, reply, ticket);
  if (step == Step::kSuspend) {
    reply = co_await executor->Run(context, std::move(command.words));
  } else if (step == Step::kAcked && ticket.number != 0) {
    Status acknowledged = co_await leaderless_->Acknowledged(ticket, deadline);
    if (!acknowledged) co_return std::unexpected(acknowledged.error());
  }
  co_return reply;
}

}  // namespace coterie::door::redis
