#include "node/node.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/coding.h"
#include "node/identity.h"
#include "node/kv_group.h"
#include "node/raft_codec.h"
#include "node/raft_group.h"
#include "node/transport.h"
#include "storage/durable_dir.h"

namespace coterie::node {

namespace {
constexpr ShardId kMainShard(1);
}  // namespace

std::uint64_t ClusterIdOf(std::string_view cluster) {
  const std::uint64_t low = Crc32c(cluster);
  const std::uint64_t high = Crc32c(cluster, 0x636f7465);
  return (high << 32 | low) | 1;
}

struct Node::Parts {
  Parts(runtime::World& w, NodeConfig c, storage::EngineFactory e)
      : world(w), config(std::move(c)), cluster_id(ClusterIdOf(config.cluster)), engines(e) {}
  ~Parts() {
    if (transport) transport->Stop();  // its tasks run handlers of the members below it
  }

  runtime::World& world;
  const NodeConfig config;
  const std::uint64_t cluster_id;
  const storage::EngineFactory engines;
  std::unique_ptr<runtime::File> lock;
  std::unique_ptr<runtime::Listener> listener;
  std::unique_ptr<storage::Wal> wal;
  std::map<ShardId, storage::WalShard> recovered;  // what nobody has taken yet
  std::unique_ptr<Transport> transport;
  std::unique_ptr<GroupHost> host;
  std::map<ShardId, std::unique_ptr<KvGroup>> kv;

  runtime::Task<Status> OpenStorage();
  runtime::Task<Status> OpenGroups();
  void OnRaft(NodeId from, std::string_view body);
  std::vector<Member> Machines() const;
  KvGroup& main() { return *kv.at(kMainShard); }
};

runtime::Task<Result<std::unique_ptr<Node>>> Node::Start(runtime::World& world, NodeConfig config,
                                                         storage::EngineFactory engines) {
  const bool known = std::any_of(config.members.begin(), config.members.end(),
                                 [&](const MemberConfig& m) { return m.id == config.id; });
  if (!known) co_return Fail(ErrorCode::kInvalidConfig, "this node is not among the members");
  auto parts = std::make_unique<Parts>(world, std::move(config), std::move(engines));
  COT_CO_ASSIGN(parts->listener, world.network().Listen(parts->config.peer_listen));
  COT_CO_TRY(co_await parts->OpenStorage());
  COT_CO_TRY(co_await parts->OpenGroups());
  Parts* const raw = parts.get();
  parts->transport->OnMessage(
      FrameType::kRaft, [raw](NodeId from, std::string_view body) { raw->OnRaft(from, body); });
  parts->transport->OnLost([raw](NodeId peer) {
    for (auto& [id, kv] : raw->kv) kv->group().replica().OnUnreachable(peer);
  });
  parts->transport->Start(std::move(parts->listener));
  for (auto& [id, kv] : parts->kv) kv->Start();
  co_return std::unique_ptr<Node>(new Node(std::move(parts)));
}

runtime::Task<Status> Node::Parts::OpenStorage() {
  const std::string dir = config.data_dir;
  COT_CO_TRY(co_await storage::MakeDirDurable(world.disk(), dir));
  COT_CO_ASSIGN(lock, co_await world.disk().Lock(dir + "/lock"));
  COT_CO_TRY(co_await CheckIdentity(world.disk(), dir, config.cluster, config.id));

  storage::WalOptions wal_options;
  wal_options.segment_bytes = config.wal_segment_bytes;
  // All that may be proposed and not committed can come in one turn, and has headers on top.
  wal_options.batch_bytes_max = 4 * raft::Config{}.uncommitted_bytes_max;
  COT_CO_ASSIGN(wal, co_await storage::Wal::Open(world, dir + "/wal", wal_options));
  recovered = wal->TakeRecovered();
  transport = std::make_unique<Transport>(world, config.id, cluster_id, config.members,
                                          Transport::Limits{});
  host = std::make_unique<GroupHost>(GroupHost{world, config, config.id, *wal, *transport});
  co_return Ok();
}

runtime::Task<Status> Node::Parts::OpenGroups() {
  raft::Configuration first;
  for (const MemberConfig& member : config.members) first.voters.push_back(member.id);
  COT_CO_ASSIGN(auto opened, co_await KvGroup::Open(host.get(), kMainShard, engines,
                                                    std::exchange(recovered[kMainShard], {}), first,
                                                    cluster_id, [this] { return Machines(); }));
  kv[kMainShard] = std::move(opened);
  co_return Ok();
}

void Node::Parts::OnRaft(NodeId from, std::string_view body) {
  auto decoded = DecodeRaft(body);
  if (!decoded) {  // counted where it is looked for first
    main().group().replica().OnMessage(from, std::nullopt);
    return;
  }
  const auto found = kv.find(decoded->shard);
  // One that is not here yet, or no more: as if lost.
  if (found == kv.end()) return;
  found->second->group().replica().OnMessage(from, std::move(decoded->message));
}

std::vector<Member> Node::Parts::Machines() const {
  std::vector<Member> all;
  for (const MemberConfig& m : config.members) {
    all.push_back({.id = m.id,
                   .name = m.name,
                   .peer_url = "http://" + ToText(m.peer),
                   .client_url = "http://" + ToText(m.etcd)});
  }
  return all;
}

Node::Node(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Node::~Node() = default;

runtime::Task<void> Node::PrepareToStop(Instant deadline) {
  co_await parts_->main().group().HandOver(deadline);
}

runtime::World& Node::world() { return parts_->world; }
Replica& Node::replica() { return parts_->main().replica(); }
kv::Store& Node::store() { return parts_->main().store(); }
std::uint64_t Node::cluster_id() const { return parts_->cluster_id; }
std::vector<Member> Node::members() const { return parts_->main().members(); }

runtime::Task<Result<std::int64_t>> Node::LeaseRenew(std::int64_t id, Instant deadline) {
  return parts_->main().LeaseRenew(id, deadline);
}

runtime::Task<Result<std::int64_t>> Node::LeaseRemaining(std::int64_t id, Instant deadline) {
  return parts_->main().LeaseRemaining(id, deadline);
}

KvKeyspace* Node::kv(ShardId shard) {
  const auto found = parts_->kv.find(shard);
  return found == parts_->kv.end() ? nullptr : found->second.get();
}

storage::WalShard Node::TakeJournal(ShardId place) {
  return std::exchange(parts_->recovered[place], {});
}

const NodeConfig& Node::config() const { return parts_->config; }
const storage::EngineFactory& Node::engines() const { return parts_->engines; }
storage::Wal& Node::wal() { return *parts_->wal; }
Transport& Node::transport() { return *parts_->transport; }
RaftReplica& Node::raft_replica() { return parts_->main().group().replica(); }
storage::WalStats Node::wal_stats() const { return parts_->wal->stats(); }
bool Node::ready() const { return parts_->main().group().ready(); }

}  // namespace coterie::node
