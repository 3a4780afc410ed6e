#include "node/node.h"

#include <algorithm>
#include <utility>

#include "base/coding.h"
#include "node/control_keyspace.h"
#include "node/identity.h"
#include "node/join.h"
#include "node/raft_groups.h"
#include "node/transport.h"
#include "storage/durable_dir.h"

namespace coterie::node {

namespace {
constexpr Duration kLook = 1s;
constexpr Duration kReportPatience = 5s;
}  // namespace

std::uint64_t ClusterIdOf(std::string_view cluster) {
  const std::uint64_t low = Crc32c(cluster);
  const std::uint64_t high = Crc32c(cluster, 0x636f7465);
  return (high << 32 | low) | 1;
}

struct Node::Parts {
  Parts(runtime::World& w, NodeConfig c, storage::EngineFactory e)
      : world(w),
        config(std::move(c)),
        cluster_id(ClusterIdOf(config.cluster)),
        engines(std::move(e)) {}
  ~Parts() {
    if (transport) transport->Stop();  // its tasks run handlers of the members below it
  }

  runtime::World& world;
  NodeConfig config;
  const std::uint64_t cluster_id;
  const storage::EngineFactory engines;
  std::unique_ptr<runtime::File> lock;
  std::unique_ptr<runtime::Listener> listener;
  Identity identity;
  placement::ClusterMapPtr book;  // what was told when it joined
  std::unique_ptr<storage::Wal> wal;
  std::unique_ptr<Transport> transport;
  std::unique_ptr<GroupHost> host;
  std::unique_ptr<RaftGroups> groups;
  std::unique_ptr<ControlKeyspace> control;
  bool told_of_removal = false;
  runtime::Scope scope;

  runtime::Task<Status> TakeIdentity();
  runtime::Task<Status> OpenStorage();
  void SetHandlers();
  runtime::Task<void> FollowLoop();
  runtime::Task<void> ReportMoves();
  void SyncPeers();
  Status OnStranger(NodeId id) const;
  placement::ClusterMapPtr KnownMap() const;
  std::vector<Member> Machines() const;
};

runtime::Task<Result<std::unique_ptr<Node>>> Node::Open(runtime::World& world, NodeConfig config,
                                                        storage::EngineFactory engines) {
  auto parts = std::make_unique<Parts>(world, std::move(config), std::move(engines));
  COT_CO_ASSIGN(parts->listener, world.network().Listen(parts->config.peer_listen));
  COT_CO_TRY(co_await parts->TakeIdentity());
  COT_CO_TRY(co_await parts->OpenStorage());
  parts->SetHandlers();
  co_return std::unique_ptr<Node>(new Node(std::move(parts)));
}

void Node::Serve() {
  parts_->transport->Start(std::move(parts_->listener));
  parts_->groups->Start();
  parts_->control->Start();
  parts_->scope.Spawn(parts_->FollowLoop());
}

runtime::Task<Status> Node::Parts::TakeIdentity() {
  const std::string dir = config.data_dir;
  runtime::Disk& disk = world.disk();
  COT_CO_TRY(co_await storage::MakeDirDurable(disk, dir));
  COT_CO_ASSIGN(lock, co_await disk.Lock(dir + "/lock"));
  COT_CO_ASSIGN(const auto known, co_await ReadIdentity(disk, dir, config.cluster));
  std::vector<NodeId> founders;
  if (!known && !config.join.empty()) {
    config.id = NodeId();
    COT_CO_ASSIGN(Joined joined, co_await JoinCluster(&world, &config, cluster_id));
    COT_CO_TRY(co_await WriteBook(disk, dir, std::move(joined.map)));
    config.id = joined.id;
  } else if (!known) {
    for (const MemberConfig& member : config.members) founders.push_back(member.id);
    std::sort(founders.begin(), founders.end());
    if (!std::binary_search(founders.begin(), founders.end(), config.id)) {
      co_return Fail(ErrorCode::kInvalidConfig, "this node is not among the members");
    }
  }
  COT_CO_ASSIGN(identity, co_await BeginIncarnation(disk, dir, config.cluster, config.id,
                                                    std::move(founders)));
  config.id = identity.node;
  if (identity.founders.empty()) config.members.clear();  // it joined: the cluster's map says
  COT_CO_ASSIGN(auto map, co_await ReadBook(disk, dir));
  book = std::make_shared<const placement::ClusterMap>(std::move(map));
  co_return Ok();
}

runtime::Task<Status> Node::Parts::OpenStorage() {
  storage::WalOptions wal_options;
  wal_options.segment_bytes = config.wal_segment_bytes;
  // All that may be proposed and not committed can come in one turn, and has headers on top.
  wal_options.batch_bytes_max = 4 * raft::Config{}.uncommitted_bytes_max;
  COT_CO_ASSIGN(wal, co_await storage::Wal::Open(world, config.data_dir + "/wal", wal_options));
  transport = std::make_unique<Transport>(world, config.id, cluster_id, config.members,
                                          Transport::Limits{});
  host = std::make_unique<GroupHost>(GroupHost{world, config, config.id, *wal, *transport});
  groups = std::make_unique<RaftGroups>(*host, engines, cluster_id, identity.founders,
                                        wal->TakeRecovered(), [this] { return Machines(); });
  COT_CO_TRY(co_await groups->Open());

  std::vector<placement::NodeInfo> first;
  for (const MemberConfig& member : config.members) {
    const auto& founders = identity.founders;
    const bool founder = std::find(founders.begin(), founders.end(), member.id) != founders.end();
    if (founder) first.push_back(InfoOf(member));
  }
  if (first.size() != identity.founders.size()) first.clear();  // addresses are missing
  control = std::make_unique<ControlKeyspace>(
      world, config, config.id, std::move(first), groups->control_state(), groups->control(),
      [this](NodeId node) { return groups->HasVote(node); });
  co_return Ok();
}

void Node::Parts::SetHandlers() {
  transport->OnMessage(FrameType::kRaft,
                       [this](NodeId from, std::string_view body) { groups->OnRaft(from, body); });
  transport->OnLost([this](NodeId peer) { groups->OnUnreachable(peer); });
  transport->OnStranger([this](const MemberConfig& member) { return OnStranger(member.id); });
  transport->OnGuest([this](NodeId, std::string body, Instant deadline) {
    return control->OnJoin(std::move(body), deadline);
  });
  MemberConfig self{.id = config.id, .name = config.name, .peer = config.peer_listen, .etcd = {}};
  for (const MemberConfig& member : config.members) {
    if (member.id == config.id) self = member;
  }
  transport->SetPeer(self);
  SyncPeers();
}

placement::ClusterMapPtr Node::Parts::KnownMap() const {
  placement::ClusterMapPtr map = groups->control_state().map();
  return map->version == 0 ? book : map;
}

void Node::Parts::SyncPeers() {
  const placement::ClusterMapPtr map = KnownMap();
  if (map->version == 0) return;  // the configuration is all there is
  for (const auto& [id, info] : map->nodes) {
    if (const auto member = MemberOf(info)) transport->SetPeer(*member);
  }
  for (const PeerStatus& peer : transport->peers()) {
    // One that the map does not know yet may stay; so may one that a group still needs to go on.
    const bool removed = !map->nodes.contains(peer.id) && peer.id.value < map->next_node;
    if (removed && !groups->IsMember(peer.id)) transport->RemovePeer(peer.id);
  }
}

Status Node::Parts::OnStranger(NodeId id) const {
  const placement::ClusterMapPtr map = KnownMap();
  if (map->version == 0) return Fail(ErrorCode::kNoNode, "the cluster has no such member");
  if (map->nodes.contains(id) || id.value >= map->next_node) return Ok();
  return Fail(ErrorCode::kNoNode,
              "node " + std::to_string(id.value) + " was removed from the cluster");
}

runtime::Task<void> Node::Parts::FollowLoop() {
  for (;;) {
    SyncPeers();
    const Status followed = co_await groups->Follow();
    const placement::ClusterMapPtr map = groups->control_state().map();
    if (!followed) {
      world.Crash(Describe(followed.error()));
      co_return;
    }
    const bool removed =
        map->version != 0 && !map->nodes.contains(config.id) && config.id.value < map->next_node;
    if (removed && !std::exchange(told_of_removal, true)) {
      world.log().Error("node", "this node was removed from the cluster: stop it");
    }
    co_await ReportMoves();
    if (map != groups->control_state().map()) continue;
    const Instant next = world.Now() + kLook;
    co_await groups->control_state().changed().WaitUntil(next);
  }
}

runtime::Task<void> Node::Parts::ReportMoves() {
  for (const RaftGroups::Move& move : groups->FinishedMoves()) {
    const Instant deadline = world.Now() + kReportPatience;
    auto told = co_await control->ReportReplica(move.shard, move.epoch, move.node, deadline);
    if (!told) world.log().Warn("node", "report: {}", Describe(told.error()));
  }
}

std::vector<Member> Node::Parts::Machines() const {
  std::vector<Member> all;
  const auto add = [&all](NodeId id, std::string name, std::string peer, std::string etcd) {
    all.push_back({.id = id,
                   .name = std::move(name),
                   .peer_url = "http://" + std::move(peer),
                   .client_url = "http://" + std::move(etcd)});
  };
  const placement::ClusterMapPtr map = KnownMap();
  for (const auto& [id, info] : map->nodes) add(id, info.name, info.peer, info.etcd);
  if (!all.empty()) return all;
  for (const MemberConfig& m : config.members) add(m.id, m.name, ToText(m.peer), ToText(m.etcd));
  return all;
}

Node::Node(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Node::~Node() = default;

runtime::Task<void> Node::PrepareToStop(Instant deadline) {
  co_await parts_->groups->HandOver(deadline);
}

runtime::World& Node::world() { return parts_->world; }
Replica& Node::replica() { return parts_->groups->main().replica(); }
kv::Store& Node::store() { return parts_->groups->main().store(); }
std::uint64_t Node::cluster_id() const { return parts_->cluster_id; }
std::vector<Member> Node::members() const { return parts_->groups->main().members(); }

runtime::Task<Result<std::int64_t>> Node::LeaseRenew(std::int64_t id, Instant deadline) {
  return parts_->groups->main().LeaseRenew(id, deadline);
}

std::vector<std::int64_t> Node::LeasesByEnd() { return parts_->groups->main().LeasesByEnd(); }

runtime::Task<Result<std::int64_t>> Node::LeaseRemaining(std::int64_t id, Instant deadline) {
  return parts_->groups->main().LeaseRemaining(id, deadline);
}

KvKeyspace* Node::kv(ShardId shard) { return parts_->groups->kv(shard); }
RaftReplica* Node::raft_replica(ShardId shard) {
  if (shard == ShardId(0)) return &parts_->groups->control().replica();
  KvGroup* const kv = parts_->groups->kv(shard);
  return kv == nullptr ? nullptr : &kv->group().replica();
}
Control& Node::control() { return *parts_->control; }
std::uint16_t Node::incarnation() const { return parts_->identity.incarnation; }

runtime::Task<Result<std::uint16_t>> Node::TakeIncarnation() {
  Parts* const parts = parts_.get();
  COT_CO_ASSIGN(const Identity taken,
                co_await BeginIncarnation(parts->world.disk(), parts->config.data_dir,
                                          parts->config.cluster, parts->config.id, {}));
  co_return taken.incarnation;
}
storage::WalShard Node::TakeJournal(ShardId place) { return parts_->groups->TakeJournal(place); }

const NodeConfig& Node::config() const { return parts_->config; }
const storage::EngineFactory& Node::engines() const { return parts_->engines; }
storage::Wal& Node::wal() { return *parts_->wal; }
Transport& Node::transport() { return *parts_->transport; }
RaftReplica& Node::raft_replica() { return parts_->groups->main().group().replica(); }
storage::WalStats Node::wal_stats() const { return parts_->wal->stats(); }
bool Node::ready() const { return parts_->groups->main().group().ready(); }

}  // namespace coterie::node
