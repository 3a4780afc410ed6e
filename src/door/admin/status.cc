#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "door/admin/admin_door.h"
#include "node/raft_replica.h"
#include "node/transport.h"

namespace coterie::door::admin {
namespace {

std::string Quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

/// A label's value in the Prometheus text format.
std::string Label(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string_view RoleOf(const node::ReplicaStatus& status, raft::Role role) {
  if (status.learner) return "learner";
  switch (role) {
    case raft::Role::kLeader:
      return "leader";
    case raft::Role::kFollower:
      return "follower";
    case raft::Role::kPreCandidate:
    case raft::Role::kCandidate:
      return "candidate";
  }
  return "follower";
}

std::int64_t Millis(Duration d) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(d).count();
}

std::string PeerJson(const node::PeerStatus& peer, const raft::Raft& core) {
  std::string faults;
  if (peer.fault.cut) faults = "\"cut\"";
  if (peer.fault.delay > Duration::zero()) {
    faults += fmt::format("{}\"delay {}ms\"", faults.empty() ? "" : ",", Millis(peer.fault.delay));
  }
  return fmt::format(
      R"({{"id":{},"name":{},"connected":{},"last_heard_ms":{},"match":{},"faults":[{}]}})",
      peer.id.value, Quote(peer.name), peer.connected,
      peer.silent_for == Duration::max() ? -1 : Millis(peer.silent_for),
      core.MatchIndex(peer.id).value, faults);
}

}  // namespace

std::string StatusJson(node::Node& node, std::string_view version) {
  const node::ReplicaStatus status = node.replica().status();
  const raft::Raft& core = node.raft_replica().core();
  const WallInterval wall = node.world().WallNow();
  const std::size_t voters = core.configuration().voters.size();
  std::string peers;
  for (const node::PeerStatus& peer : node.transport().peers()) {
    if (!peers.empty()) peers += ',';
    peers += PeerJson(peer, core);
  }
  return fmt::format(
      R"({{"node":{},"id":{},"version":{},"cluster":{},"cluster_id":"{:016x}","role":"{}",)"
      R"("leader":{},"term":{},"commit":{},"applied":{},"revision":{},"ready":{},"demo":{},)"
      R"("clock":{{"synchronized":{},"bound_ms":{:.3f}}},"peers":[{}],)"
      R"("keyspaces":[{{"name":"main","replication":"raft","replicas":{},"tolerates":{}}}],)"
      R"("state_bytes":{}}})"
      "\n",
      Quote(node.config().name), status.self.value, Quote(version), Quote(node.config().cluster),
      node.cluster_id(), RoleOf(status, core.role()), status.leader.value, status.term.value,
      status.commit.value, status.applied.value, node.store().revision(), node.ready(),
      node.config().demo, wall.synchronized,
      static_cast<double>(wall.latest_ns - wall.earliest_ns) / 2e6, peers, voters,
      voters == 0 ? 0 : (voters - 1) / 2, node.store().approximate_bytes());
}

std::string MetricsText(node::Node& node, std::string_view version) {
  const node::ReplicaStatus status = node.replica().status();
  const storage::WalStats wal = node.wal_stats();
  std::string out;
  const auto metric = [&out](std::string_view name, std::string_view type, std::string_view help,
                             auto value) {
    out += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n{0} {3}\n", name, help, type, value);
  };
  out += fmt::format(
      "# HELP coterie_build_info The running version.\n# TYPE coterie_build_info gauge\n"
      "coterie_build_info{{version=\"{}\"}} 1\n",
      version);
  metric("coterie_ready", "gauge", "1 if a leader is known and recovery is over.",
         node.ready() ? 1 : 0);
  metric("coterie_raft_is_leader", "gauge", "1 if this replica leads.", status.leading ? 1 : 0);
  metric("coterie_raft_term", "gauge", "Raft term.", status.term.value);
  metric("coterie_raft_commit_index", "gauge", "Last committed log index.", status.commit.value);
  metric("coterie_raft_applied_index", "gauge", "Last applied log index.", status.applied.value);
  metric("coterie_raft_last_index", "gauge", "Last log index.", status.last.value);
  metric("coterie_raft_log_bytes", "gauge", "Bytes of log entries in memory.",
         node.raft_replica().core().log_bytes());
  metric("coterie_raft_malformed_messages_total", "counter",
         "Messages of nodes that could not be read, or denied what is committed.",
         node.raft_replica().malformed_messages());
  metric("coterie_kv_revision", "gauge", "Revision of the kv store.", node.store().revision());
  metric("coterie_kv_compact_revision", "gauge", "Compacted revision.",
         node.store().compact_revision());
  metric("coterie_kv_state_bytes", "gauge", "Bytes of state, roughly.",
         node.store().approximate_bytes());
  metric("coterie_wal_appends_total", "counter", "Appends given to the log.", wal.appends);
  metric("coterie_wal_syncs_total", "counter", "Writes with one fdatasync each.", wal.batches);
  metric("coterie_wal_bytes_total", "counter", "Bytes written to the log.", wal.bytes);
  metric("coterie_wal_segments", "gauge", "Segment files of the log.", wal.segments);
  out +=
      "# HELP coterie_peer_connected 1 if our connection to the peer stands.\n"
      "# TYPE coterie_peer_connected gauge\n";
  for (const node::PeerStatus& peer : node.transport().peers()) {
    out += fmt::format("coterie_peer_connected{{peer={}}} {}\n", Label(peer.name),
                       peer.connected ? 1 : 0);
  }
  return out;
}

}  // namespace coterie::door::admin
