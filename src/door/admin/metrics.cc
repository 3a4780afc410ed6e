#include <fmt/format.h>

#include <chrono>

#include "door/admin/admin_door.h"
#include "node/raft_replica.h"
#include "node/transport.h"
#include "runtime/turns.h"

namespace coterie::door::admin {
namespace {

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

/// Under the names that every Prometheus client library gives them.
void AppendProcess(const runtime::ProcessUsage& usage, std::string& out) {
  out += fmt::format(
      "# HELP process_resident_memory_bytes Resident memory size in bytes.\n"
      "# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes {}\n"
      "# HELP process_cpu_seconds_total Total user and system CPU time spent in seconds.\n"
      "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total {:.6f}\n",
      usage.resident_bytes, std::chrono::duration<double>(usage.cpu).count());
}

/// What proves that nobody waits for somebody else's work.
void AppendTurns(const runtime::TurnStats& turns, std::string& out) {
  const auto seconds = [](Duration d) { return std::chrono::duration<double>(d).count(); };
  out += fmt::format(
      "# HELP coterie_longest_turn_seconds Processor time of the reactor's longest turn.\n"
      "# TYPE coterie_longest_turn_seconds gauge\ncoterie_longest_turn_seconds {:.6f}\n"
      "# HELP coterie_longest_turn_wall_seconds The longest turn, with waits and preemption.\n"
      "# TYPE coterie_longest_turn_wall_seconds gauge\ncoterie_longest_turn_wall_seconds {:.6f}\n"
      "# HELP coterie_long_turns_total Turns of more than 10 ms of processor time.\n"
      "# TYPE coterie_long_turns_total counter\ncoterie_long_turns_total {}\n",
      seconds(turns.longest), seconds(turns.longest_wall), turns.long_turns);
}

std::string NameOf(const placement::ClusterMap& map, NodeId id) {
  const auto found = map.nodes.find(id);
  return found == map.nodes.end() ? fmt::format("#{}", id.value) : found->second.name;
}

/// One family with a sample for each leaderless keyspace, or each of its peers.
class Family {
 public:
  Family(std::string_view name, std::string_view type, std::string_view help, std::string& out)
      : name_(name), out_(out) {
    out_ += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, type);
  }
  void Sample(const std::string& labels, std::uint64_t value) {
    out_ += fmt::format("{}{{{}}} {}\n", name_, labels, value);
  }

 private:
  const std::string_view name_;
  std::string& out_;
};

void AppendLeaderless(const AdminParts& parts, std::string& out) {
  if (parts.control == nullptr || parts.leaderless == nullptr) return;
  const placement::ClusterMapPtr map = parts.control->map();
  std::vector<const placement::Keyspace*> keyspaces;
  for (const auto& [name, keyspace] : map->keyspaces) {
    if (keyspace.promise.replication == keyspace::Replication::kLeaderless) {
      keyspaces.push_back(&keyspace);
    }
  }
  const auto label = [](const placement::Keyspace& keyspace) {
    return "keyspace=" + Label(keyspace.promise.name);
  };
  Family conflicts("coterie_leaderless_conflicts_total", "counter",
                   "Acknowledged values that lost a last-writer-wins race, seen here.", out);
  for (const auto* keyspace : keyspaces) {
    conflicts.Sample(label(*keyspace), parts.leaderless->conflicts(*keyspace).count);
  }
  Family mutations("coterie_leaderless_pending_mutations", "gauge",
                   "Mutations of this node that a peer has not acknowledged.", out);
  for (const auto* keyspace : keyspaces) {
    for (const auto& lag : parts.leaderless->lag(*keyspace)) {
      mutations.Sample(label(*keyspace) + ",peer=" + Label(NameOf(*map, lag.node)), lag.mutations);
    }
  }
  Family bytes("coterie_leaderless_pending_bytes", "gauge", "The same in bytes.", out);
  for (const auto* keyspace : keyspaces) {
    for (const auto& lag : parts.leaderless->lag(*keyspace)) {
      bytes.Sample(label(*keyspace) + ",peer=" + Label(NameOf(*map, lag.node)), lag.bytes);
    }
  }
  if (!parts.tombstones) return;
  Family tombstones("coterie_leaderless_tombstones", "gauge",
                    "Removed cells that some replica may not know of yet.", out);
  for (const auto* keyspace : keyspaces) {
    tombstones.Sample(label(*keyspace), parts.tombstones(*keyspace));
  }
}

/// One sample for each condition that holds; none is a good sign.
void AppendConditions(const Conditions& conditions, std::string& out) {
  Family family("coterie_condition", "gauge", "1 while the condition holds.", out);
  for (const auto& [key, condition] : conditions.all()) {
    const ConditionInfo& info = InfoOf(key.first);
    family.Sample(fmt::format("name=\"{}\",severity=\"{}\",subject={}", info.name,
                              NameOf(info.severity), Label(key.second)),
                  1);
  }
}

}  // namespace

std::string MetricsText(node::Node& node, std::string_view version, const AdminParts& parts) {
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
  metric("coterie_ready", "gauge",
         "1 if a leader is known, recovery is over and the keyspaces are open.",
         node.ready() && CheckKeyspaces(node, parts) ? 1 : 0);
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
  AppendProcess(node.world().Usage(), out);
  AppendTurns(runtime::Turns(), out);
  AppendConditions(node.world().conditions(), out);
  AppendLeaderless(parts, out);
  return out;
}

}  // namespace coterie::door::admin
