#include "door/redis/forward.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "base/coding.h"

namespace coterie::door::redis {
namespace {

constexpr std::uint64_t kVersion = 1;
/// A read is asked of the next replica after so long.
constexpr Duration kReadPatience = 1s;

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
    const bool late = !answer && answer.error().code == ErrorCode::kTimedOut;
    if (late) {
      detector_->OnLate(to);
    } else {
      detector_->OnAnswer(to, world_.Now() - asked);
    }
  }
  co_return answer;
}

std::vector<NodeId> Router::OthersOf(const placement::Keyspace& keyspace,
                                     const placement::Shard& shard) const {
  if (IsLeaderless(keyspace) && leaderless_ != nullptr) return leaderless_->Others(shard);
  std::vector<NodeId> others;
  for (const placement::ShardReplica& replica : shard.replicas)
    if (replica.node != self_ && replica.phase == placement::Phase::kActive)
      others.push_back(replica.node);
  if (detector_ != nullptr)
    std::ranges::sort(others, {},
                      [this](NodeId node) { return std::pair(detector_->Cost(node), node); });
  return others;
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
  const std::string body = Encode(command);
  const std::vector<NodeId> replicas = OthersOf(*context.keyspace, shard);
  std::optional<Error> last;
  for (std::size_t i = 0; i < replicas.size() && world_.Now() < context.deadline; ++i) {
    const bool may_ask_next = !writes && i + 1 < replicas.size();
    const Instant patience = world_.Now() + kReadPatience;
    const Instant until = may_ask_next ? std::min(context.deadline, patience) : context.deadline;
    Result<std::string> answer = co_await Ask(replicas[i], body, until);
    if (answer) co_return answer;
    last = answer.error();
    if (writes && last->outcome == Outcome::kUnknown) co_return std::unexpected(*last);
  }
  if (last) co_return std::unexpected(*last);
  co_return Fail(ErrorCode::kTooFewReplicas, "No replica of the key's shard can be asked.");
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
