#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/log.h"
#include "base/time.h"
#include "keyspace/promise.h"
#include "runtime/network.h"

namespace coterie::node {

/// The newest version of commands, formats and messages that this program knows; a cluster's active
/// version is at most this.
///   1  the first
///   2  nodes say of themselves where they are, by id; 7 voters, 100 nodes; raised versions
inline constexpr std::uint32_t kNewestVersion = 2;

/// One machine as the configuration names it.
struct MemberConfig {
  NodeId id;
  std::string name;
  runtime::Address peer;        ///< node-to-node
  runtime::Address etcd;        ///< what etcd clients are told
  runtime::Address redis = {};  ///< port 0: not known
  runtime::Address admin = {};
  std::string failure_domain = {};  ///< "": its own
};

/// Everything a node is started with. Filled by cli/ from file, environment and flags; by sim/ in
/// code.
struct NodeConfig {
  NodeId id;
  std::string name;
  std::string cluster = "coterie";  ///< its hash is the cluster id; a data directory remembers it
  std::string data_dir;
  runtime::Address peer_listen;
  runtime::Address etcd_listen;
  runtime::Address redis_listen;  ///< port 0: no Redis door
  runtime::Address admin_listen;
  /// The first start of a cluster: all of its nodes, this one included. Later the cluster map says.
  std::vector<MemberConfig> members;
  /// The first start of a node that joins: peer addresses of nodes that are in the cluster. No
  /// `members` and no `id` then; a restart needs neither.
  std::vector<runtime::Address> join;
  std::string failure_domain;  ///< of this node; "": its own
  /// Made beside `main` when the cluster is new.
  std::vector<keyspace::Promise> default_keyspaces;
  /// What this node knows; below kNewestVersion it stands for an earlier program, in tests.
  std::uint32_t version = kNewestVersion;
  bool demo = false;  ///< faults may be injected through the admin door

  Duration heartbeat_interval = 100ms;
  Duration election_timeout = 1000ms;
  Duration request_timeout = 7s;  ///< of a write without a deadline of its own
  std::size_t request_bytes_max = 1536u << 10;
  Duration watch_progress_interval = std::chrono::minutes(10);  ///< of the etcd door's watchers
  std::uint64_t wal_segment_bytes = 16u << 20;
  std::uint64_t log_entries_kept = 5000;  ///< after a snapshot, for followers that lag
  std::uint64_t snapshot_every_entries = 100000;
  std::size_t engine_cache_bytes = 64u << 20;
  std::size_t engine_memtable_bytes = 64u << 20;
  /// Of the leaderless keyspaces' cells: how long changed ones stay in memory alone (and in the
  /// journal), and how much of the journal is kept for them.
  Duration cells_write_back = 20s;
  std::uint64_t cells_journal_bytes = 128u << 20;
  /// Of a raft keyspace that Redis commands change: younger revisions are kept, but so many at most
  /// (0: all of them, until a client compacts).
  Duration redis_history_kept = 300s;
  std::uint64_t redis_history_revisions = 100'000;
  LogLevel log_level = LogLevel::kInfo;
};

}  // namespace coterie::node
