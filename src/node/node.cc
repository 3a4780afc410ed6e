#include "node/node.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "coterie/peer.pb.h"
#include "node/control_keyspace.h"
#include "node/founding.h"
#include "node/identity.h"
#include "node/join.h"
#include "node/raft_groups.h"
#include "node/transport.h"
#include "storage/durable_dir.h"

namespace coterie::node {

namespace {
constexpr Duration kLook = 1s;
constexpr Duration kReportPatience = 5s;
constexpr Duration kLeaderSilence = 5s;
constexpr Duration kNoControlAfter = 30s;
}  // namespace

struct Node::Parts {
  Parts(runtime::World& w, NodeConfig c, storage::EngineFactory e)
      : world(w), config(std::move(c)), engines(std::move(e)), ended(world.executor()) {}
  ~Parts() {
    if (transport) transport->Stop();  // its tasks run handlers of the members below it
  }

  runtime::World& world;
  NodeConfig config;
  const storage::EngineFactory engines;
  std::unique_ptr<runtime::File> lock;
  std::shared_ptr<runtime::Listener> listener;
  Identity identity;
  std::unique_ptr<KnownBirths> births;
  placement::ClusterMapPtr book;  // what was told when it joined
  std::unique_ptr<storage::Wal> wal;
  std::unique_ptr<LostMemory> lost;
  std::unique_ptr<Transport> transport;
  std::unique_ptr<GroupHost> host;
  std::unique_ptr<RaftGroups> groups;
  std::unique_ptr<ControlKeyspace> control;
  std::optional<Error> end;  // why this node must stop
  runtime::Notification ended;
  runtime::Scope scope;

  runtime::Task<Status> TakeIdentity();
  runtime::Task<Result<Identity>> Join();
  runtime::Task<Result<Identity>> Found();
  runtime::Task<Result<std::string>> OnFounding(std::string body);
  runtime::Task<Status> OnIntroduced(NodeId from, Transport::Manifest manifest);
  std::uint32_t KnownByAll(const placement::ClusterMap& map) const;
  void End(Error why);
  bool WasRemoved(NodeId id) const;
  runtime::Task<void> WatchControl();
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
  parts_->transport->Start(parts_->listener);
  parts_->groups->Start();
  parts_->control->Start();
  parts_->scope.Spawn(parts_->FollowLoop());
  parts_->scope.Spawn(parts_->WatchControl());
}

runtime::Task<Status> Node::Parts::TakeIdentity() {
  const std::string dir = config.data_dir;
  runtime::Disk& disk = world.disk();
  COT_CO_ASSIGN(const bool there, co_await disk.Exists(dir));
  COT_CO_TRY(co_await storage::MakeDirDurable(disk, dir));
  COT_CO_ASSIGN(lock, co_await disk.Lock(dir + "/lock"));
  COT_CO_ASSIGN(auto known,
                co_await ReadIdentity(disk, dir, config.cluster, config.id, config.name));
  if (!known) {
    auto made = config.join.empty() ? co_await Found() : co_await Join();
    if (!made) {
      lock.reset();
      // A directory that was made for nothing is not left behind: it may be a mistyped name.
      if (!there && config.join.empty()) (void)co_await disk.Remove(dir);
      co_return std::unexpected(std::move(made.error()));
    }
    known = std::move(*made);
  }
  if (known->birth == 0) {
    COT_CO_ASSIGN(known->birth, co_await DrawnToken(&world, dir, "birth"));
  }
  COT_CO_ASSIGN(identity, co_await BeginIncarnation(disk, dir, config.cluster, std::move(*known)));
  config.id = identity.node;
  if (identity.founders.empty()) config.members.clear();  // it joined: the cluster's map says
  COT_CO_ASSIGN(births, co_await KnownBirths::Open(&world, dir));
  COT_CO_ASSIGN(auto map, co_await ReadBook(disk, dir));
  book = std::make_shared<const placement::ClusterMap>(std::move(map));
  co_return Ok();
}

runtime::Task<Result<Identity>> Node::Parts::Join() {
  config.id = NodeId();
  COT_CO_ASSIGN(Joined joined, co_await JoinCluster(&world, &config));
  COT_CO_TRY(co_await WriteBook(world.disk(), config.data_dir, std::move(joined.map)));
  Identity made;
  made.node = joined.id;
  made.name = config.name;
  made.cluster_id = joined.cluster_id;
  co_return made;
}

runtime::Task<Result<Identity>> Node::Parts::Found() {
  Identity made;
  made.node = config.id;
  made.name = config.name;
  made.founders = FoundersOf(config);
  if (!std::binary_search(made.founders.begin(), made.founders.end(), config.id)) {
    co_return Fail(ErrorCode::kInvalidConfig, "this node is not among the members");
  }
  COT_CO_ASSIGN(made.birth, co_await DrawnToken(&world, config.data_dir, "birth"));
  COT_CO_ASSIGN(made.cluster_id, co_await FoundCluster(&world, &config, listener, made.birth));
  co_return made;
}

/// Another founder, with a new data directory, asks whether it may begin.
runtime::Task<Result<std::string>> Node::Parts::OnFounding(std::string body) {
  peer::Founding asked;
  if (!asked.ParseFromString(body)) co_return Fail(ErrorCode::kMalformed);
  const NodeId from(asked.from());
  if (WasRemoved(from)) co_return Fail(ErrorCode::kRemovedNode);
  // A cluster of an earlier version: nobody has noted whom it had heard.
  const bool heard =
      from == config.id || births->Has(from) || identity.cluster_id == NameIdOf(config.cluster);
  if (heard) co_return Fail(ErrorCode::kForgottenNode, fmt::format("node {}", from.value));
  if (!identity.founders.empty()) COT_CO_TRY(SameFounders(identity.founders, asked));
  peer::FoundingReply reply;
  reply.set_begun(true);
  reply.set_cluster_id(identity.cluster_id);
  for (const auto& [id, info] : KnownMap()->nodes) {
    if (id != from) reply.add_peers(info.peer);
  }
  co_return reply.SerializeAsString();
}

runtime::Task<Status> Node::Parts::OnIntroduced(NodeId from, Transport::Manifest manifest) {
  const std::uint32_t active = KnownMap()->active_version;
  if (manifest.version < active) {
    co_return Fail(ErrorCode::kNewerCommand, fmt::format("version {} is active, node {} knows {}",
                                                         active, from.value, manifest.version));
  }
  auto learned = co_await births->Learn(from, manifest.birth);
  co_return learned;
}

std::uint32_t Node::Parts::KnownByAll(const placement::ClusterMap& map) const {
  std::map<NodeId, std::uint32_t> known{{config.id, config.version}};
  for (const PeerStatus& peer : transport->peers()) known[peer.id] = peer.version;
  std::uint32_t lowest = config.version;
  for (const auto& [id, info] : map.nodes) {
    const auto said = known.find(id);
    lowest = std::min(lowest, said == known.end() ? 0 : said->second);
  }
  return lowest;
}

void Node::Parts::End(Error why) {
  if (end) return;
  const bool removed = why.code == ErrorCode::kRemovedNode;
  if (removed) world.Raise(ConditionKind::kRemoved, {}, why.message);
  world.log().Error("node", "this node stops: {}", Describe(why));
  end = std::move(why);
  ended.NotifyAll();
}

bool Node::Parts::WasRemoved(NodeId id) const {
  const placement::ClusterMapPtr map = KnownMap();
  return map->version != 0 && !map->nodes.contains(id) && id.value < map->next_node;
}

runtime::Task<Status> Node::Parts::OpenStorage() {
  storage::WalOptions wal_options;
  wal_options.segment_bytes = config.wal_segment_bytes;
  // All that may be proposed and not committed can come in one turn, and has headers on top.
  wal_options.batch_bytes_max = 4 * raft::Config{}.uncommitted_bytes_max;
  // Made after the log was opened for the first time, and never removed.
  COT_CO_ASSIGN(wal_options.used_before, co_await world.disk().Exists(config.data_dir + "/shards"));
  COT_CO_ASSIGN(wal, co_await storage::Wal::Open(world, config.data_dir + "/wal", wal_options));
  lost = std::make_unique<LostMemory>(world, *wal);
  transport = std::make_unique<Transport>(world, config.id, identity.cluster_id, config.members,
                                          Transport::Limits{});
  host = std::make_unique<GroupHost>(
      GroupHost{world, config, config.id, *wal, *transport, lost.get()});
  groups = std::make_unique<RaftGroups>(*host, engines, identity.cluster_id, identity.founders,
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
      world, config, config.id, identity.cluster_id, std::move(first), groups->control_state(),
      groups->control(), [this](NodeId node) { return groups->HasVote(node); },
      [this](const placement::ClusterMap& map) { return KnownByAll(map); });
  co_return Ok();
}

void Node::Parts::SetHandlers() {
  transport->OnMessage(FrameType::kRaft,
                       [this](NodeId from, std::string_view body) { groups->OnRaft(from, body); });
  transport->OnLost([this](NodeId peer) { groups->OnUnreachable(peer); });
  transport->OnStranger([this](const MemberConfig& member) { return OnStranger(member.id); });
  transport->SetNameId(NameIdOf(config.cluster));
  transport->SetManifest({.birth = identity.birth, .version = config.version});
  transport->OnIntroduced(
      [this](NodeId from, Transport::Manifest manifest) { return OnIntroduced(from, manifest); });
  transport->OnRefused([this](NodeId, Error why) {
    if (why.code == ErrorCode::kNewerCommand) {
      world.Raise(ConditionKind::kNewerVersion, {}, why.message);
    }
    const bool final = why.code == ErrorCode::kRemovedNode || why.code == ErrorCode::kForgottenNode;
    if (final) End(std::move(why));
  });
  transport->OnGuest(Method::kControl, [this](NodeId, std::string body, Instant deadline) {
    return control->OnJoin(std::move(body), deadline);
  });
  transport->OnGuest(Method::kFounding, [this](NodeId, std::string body, Instant) {
    return OnFounding(std::move(body));
  });
  MemberConfig self{.id = config.id, .name = config.name, .peer = config.peer_listen, .etcd = {}};
  for (const MemberConfig& member : config.members) {
    if (member.id == config.id) self = member;
  }
  const std::string& here = config.peer_listen.host;
  if (here != "0.0.0.0" && here != "::") self.peer = config.peer_listen;
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
    const auto member = id == config.id ? std::nullopt : MemberOf(info);
    if (member) transport->SetPeer(*member);
  }
  for (const PeerStatus& peer : transport->peers()) {
    // One that the map does not know yet may stay; so may one that a group still needs to go on.
    if (WasRemoved(peer.id) && !groups->IsMember(peer.id)) transport->RemovePeer(peer.id);
  }
}

Status Node::Parts::OnStranger(NodeId id) const {
  if (KnownMap()->version == 0) return Fail(ErrorCode::kNoNode, "the cluster has no such member");
  if (!WasRemoved(id)) return Ok();
  return Fail(ErrorCode::kRemovedNode, fmt::format("node {}", id.value));
}

// A leader is known while a majority follows it; a member that hears nothing of it for long cannot
// know whether it was removed.
runtime::Task<void> Node::Parts::WatchControl() {
  Instant reached = world.Now();
  for (;;) {
    const ReplicaStatus status = groups->control().replica().status();
    const std::vector<PeerStatus> peers = transport->peers();
    const bool heard = std::ranges::any_of(peers, [&](const PeerStatus& peer) {
      return peer.id == status.leader && peer.silent_for < kLeaderSilence;
    });
    if (status.leading || heard) {
      reached = world.Now();
      world.Clear(ConditionKind::kNoControl);
    } else if (world.Now() - reached >= kNoControlAfter) {
      world.Raise(
          ConditionKind::kNoControl, {},
          fmt::format(
              "for {} s",
              std::chrono::duration_cast<std::chrono::seconds>(world.Now() - reached).count()));
    }
    co_await runtime::Sleep(world.executor(), kLook);
  }
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
    if (WasRemoved(config.id)) End({ErrorCode::kRemovedNode, Outcome::kNotApplied, {}});
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
  co_await parts_->wal->Flush();
  const Status marked = co_await parts_->wal->MarkEnd();
  if (!marked) parts_->world.log().Warn("node", "stopping: {}", Describe(marked.error()));
}

runtime::World& Node::world() { return parts_->world; }
Replica& Node::replica() { return parts_->groups->main().replica(); }
kv::Store& Node::store() { return parts_->groups->main().store(); }
std::uint64_t Node::cluster_id() const { return parts_->identity.cluster_id; }
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
  const NodeConfig& config = parts->config;
  runtime::Disk& disk = parts->world.disk();
  COT_CO_ASSIGN(auto newest, co_await ReadIdentity(disk, config.data_dir, config.cluster, config.id,
                                                   parts->identity.name));
  if (!newest) co_return Fail(ErrorCode::kCorruptState, config.data_dir + "/identity");
  COT_CO_ASSIGN(
      const Identity taken,
      co_await BeginIncarnation(disk, config.data_dir, config.cluster, std::move(*newest)));
  co_return taken.incarnation;
}
storage::WalShard Node::TakeJournal(ShardId place) { return parts_->groups->TakeJournal(place); }

const NodeConfig& Node::config() const { return parts_->config; }
const storage::EngineFactory& Node::engines() const { return parts_->engines; }
LostMemory& Node::lost_memory() { return *parts_->lost; }
storage::Wal& Node::wal() { return *parts_->wal; }
Transport& Node::transport() { return *parts_->transport; }
RaftReplica& Node::raft_replica() { return parts_->groups->main().group().replica(); }
storage::WalStats Node::wal_stats() const { return parts_->wal->stats(); }
const std::optional<Error>& Node::end() const { return parts_->end; }
runtime::Notification& Node::ended() { return parts_->ended; }
bool Node::ready() const { return parts_->groups->main().group().ready(); }

}  // namespace coterie::node
