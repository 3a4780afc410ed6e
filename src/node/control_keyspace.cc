#include "node/control_keyspace.h"

#include <algorithm>

#include "node/control_apply.h"
#include "node/join.h"
#include "placement/plan.h"

namespace coterie::node {

namespace {
constexpr Duration kPatience = 5s;
constexpr Duration kAskAgain = 50ms;
constexpr Duration kElection = 3s;  // longer than one takes
constexpr Duration kLook = 1s;
}  // namespace

ControlKeyspace::ControlKeyspace(runtime::World& world, const NodeConfig& config, NodeId self,
                                 std::uint64_t cluster_id,
                                 std::vector<placement::NodeInfo> founders, ControlState& state,
                                 RaftGroup& group, HasVote has_vote, KnownByAll known_by_all)
    : world_(world),
      config_(config),
      self_(self),
      cluster_id_(cluster_id),
      founders_(std::move(founders)),
      state_(state),
      group_(group),
      has_vote_(std::move(has_vote)),
      known_by_all_(std::move(known_by_all)) {}

void ControlKeyspace::Start() {
  scope_.Spawn(LeadLoop());
  scope_.Spawn(AnnounceLoop());
}

runtime::Task<Result<NodeId>> ControlKeyspace::Propose(std::string command, Instant deadline) {
  auto answer = co_await group_.replica().Propose(command, deadline);
  // A change of the cluster is worth waiting for an election, as long as it did not happen.
  const Instant give_up = std::min(deadline, world_.Now() + kElection);
  while (!answer && answer.error().code == ErrorCode::kNoLeader &&
         answer.error().outcome == Outcome::kNotApplied && world_.Now() < give_up) {
    // A loss that is known is refused at once.
    co_await runtime::Sleep(world_.executor(), kAskAgain);
    answer = co_await group_.replica().Propose(command, deadline);
  }
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  auto& made = static_cast<ControlState::Answer&>(**answer);
  if (!made.status) co_return std::unexpected(std::move(made.status.error()));
  while (state_.map()->version < made.version) {
    const bool notified = co_await state_.changed().WaitUntil(deadline);
    if (!notified && state_.map()->version < made.version) {
      co_return FailUnknown(ErrorCode::kTimedOut, "the change is made, and not durable here yet");
    }
  }
  co_return made.node;
}

namespace {
Status Only(Result<NodeId> result) {
  if (!result) return std::unexpected(std::move(result.error()));
  return Ok();
}
}  // namespace

runtime::Task<Status> ControlKeyspace::CreateKeyspace(keyspace::Promise promise, Instant deadline) {
  control::Command command;
  ToProto(promise, command.mutable_create_keyspace());
  auto done = co_await Propose(command.SerializeAsString(), deadline);
  co_return Only(std::move(done));
}

runtime::Task<Status> ControlKeyspace::DropKeyspace(std::string name, Instant deadline) {
  control::Command command;
  command.set_drop_keyspace(std::move(name));
  auto done = co_await Propose(command.SerializeAsString(), deadline);
  co_return Only(std::move(done));
}

runtime::Task<Result<NodeId>> ControlKeyspace::AddNode(placement::NodeInfo info, Instant deadline) {
  control::Command command;
  ToProto(info, command.mutable_add_node()->mutable_node());
  auto done = co_await Propose(command.SerializeAsString(), deadline);
  co_return done;
}

runtime::Task<Status> ControlKeyspace::DrainNode(NodeId node, Instant deadline) {
  control::Command command;
  command.set_drain_node(node.value);
  auto done = co_await Propose(command.SerializeAsString(), deadline);
  co_return Only(std::move(done));
}

runtime::Task<Status> ControlKeyspace::RemoveNode(NodeId node, Instant deadline) {
  control::Command command;
  command.set_remove_node(node.value);
  auto done = co_await Propose(command.SerializeAsString(), deadline);
  co_return Only(std::move(done));
}

runtime::Task<Status> ControlKeyspace::ReportReplica(ShardId shard, Epoch epoch, NodeId node,
                                                     Instant deadline) {
  control::Command command;
  command.mutable_report_replica()->set_shard(shard.value);
  command.mutable_report_replica()->set_epoch(epoch.value);
  command.mutable_report_replica()->set_node(node.value);
  auto done = co_await Propose(command.SerializeAsString(), deadline);
  co_return Only(std::move(done));
}

runtime::Task<Result<std::string>> ControlKeyspace::OnJoin(std::string body, Instant deadline) {
  control::Command command;
  if (!command.mutable_add_node()->ParseFromString(body)) co_return Fail(ErrorCode::kMalformed);
  if (command.add_node().token() == 0) co_return Fail(ErrorCode::kInvalidArgument, "no token");
  const std::uint32_t version = std::max(1U, command.add_node().version());
  if (version < state_.map()->active_version) co_return Fail(ErrorCode::kNewerCommand);
  command.mutable_add_node()->clear_version();
  command.mutable_add_node()->mutable_node()->clear_id();
  auto id = co_await Propose(command.SerializeAsString(), deadline);
  if (!id) co_return std::unexpected(std::move(id.error()));
  control::JoinReply reply;
  reply.set_node(id->value);
  reply.set_cluster_id(cluster_id_);
  ToProto(*state_.map(), reply.mutable_map());
  co_return reply.SerializeAsString();
}

// Whatever this node leads for was decided from its own applied map, which may be behind: every
// command names what it rests on, and is refused by the state machine if that has changed.
runtime::Task<Status> ControlKeyspace::Advance() {
  const placement::ClusterMapPtr map = state_.map();
  const Instant deadline = world_.Now() + kPatience;
  if (map->version == 0) {
    if (founders_.empty()) co_return Ok();
    control::Command command;
    for (const auto& info : founders_) ToProto(info, command.mutable_bootstrap()->add_nodes());
    for (const auto& promise : config_.default_keyspaces) {
      ToProto(promise, command.mutable_bootstrap()->add_keyspaces());
    }
    auto done = co_await Propose(command.SerializeAsString(), deadline);
    co_return Only(std::move(done));
  }
  if (const std::uint32_t known = known_by_all_(*map); known > map->active_version) {
    control::Command command;
    command.set_raise_version(known);
    auto raised = co_await Propose(command.SerializeAsString(), deadline);
    if (!raised) co_return Only(std::move(raised));
    world_.log().Info("control", "version {} is active", known);
  }
  placement::ClusterMap placed = *map;
  placed.keyspaces.erase(std::string(kMainKeyspace));  // it is on every node: nothing to plan
  for (const placement::ShardChange& change : placement::NextSteps(placed)) {
    control::Command command;
    command.mutable_set_replicas()->set_shard(change.shard.value);
    command.mutable_set_replicas()->set_from_epoch(change.from.value);
    for (const auto& replica : change.replicas) {
      ToProto(replica, command.mutable_set_replicas()->add_replicas());
    }
    auto done = co_await Propose(command.SerializeAsString(), deadline);
    if (!done && done.error().code != ErrorCode::kStaleEpoch) co_return Only(std::move(done));
  }
  for (const auto& [id, info] : map->nodes) {
    if (!info.draining || has_vote_(id)) continue;
    control::Command command;
    command.set_forget_node(id.value);
    auto done = co_await Propose(command.SerializeAsString(), deadline);
    // It still holds replicas: later.
    if (!done && done.error().code != ErrorCode::kInvalidArgument) co_return Only(std::move(done));
  }
  co_return Ok();
}

runtime::Task<void> ControlKeyspace::LeadLoop() {
  for (;;) {
    if (!group_.replica().status().leading) {
      co_await group_.replica().leadership_changed().Wait();
      continue;
    }
    auto advanced = co_await Advance();
    if (!advanced) {
      world_.log().Warn("control", "{}", Describe(advanced.error()));
      co_await runtime::Sleep(world_.executor(), 200ms);
      continue;
    }
    const Instant next = world_.Now() + kLook;
    co_await state_.changed().WaitUntil(next);
  }
}

// The configuration that a cluster starts with need not know every door of every node: each node
// says itself where its doors are.
runtime::Task<void> ControlKeyspace::AnnounceLoop() {
  const placement::NodeInfo own = SelfInfo(config_);
  for (;;) {
    const placement::ClusterMapPtr map = state_.map();
    const auto self = map->nodes.find(self_);
    if (self != map->nodes.end()) {
      placement::NodeInfo wanted = self->second;
      if (map->active_version >= 2) {
        const std::string& host = config_.peer_listen.host;
        if (host != "0.0.0.0" && host != "::") wanted.peer = own.peer;
      }
      if (!own.redis.empty()) wanted.redis = own.redis;
      if (!own.admin.empty()) wanted.admin = own.admin;
      if (!own.failure_domain.empty()) wanted.failure_domain = own.failure_domain;
      if (wanted == self->second) {
        co_await state_.changed().Wait();
        continue;
      }
      const Instant deadline = world_.Now() + kPatience;
      auto told = co_await AddNode(wanted, deadline);
      if (!told) {
        world_.log().Warn("control", "announcing this node: {}", Describe(told.error()));
        co_await runtime::Sleep(world_.executor(), kLook);
      }
      continue;
    }
    co_await state_.changed().Wait();
  }
}

}  // namespace coterie::node
