#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/status.h"
#include "cli/admin_client.h"
#include "cli/process.h"

namespace coterie::cli {

/// Where a node stands with the cluster map. Not known: nobody who answers has a map.
enum class Standing { kUnknown, kMember, kDraining, kOutside };

/// One node as the command sees it: by its own report, or without one.
struct NodeView {
  std::string name;      ///< as planned, or as reported; the address if neither is known
  std::uint64_t id = 0;  ///< by the map, or as reported; 0: not known
  runtime::Address admin;
  Standing standing = Standing::kUnknown;
  std::optional<ProcessState> process;  ///< of a demo node
  std::uint64_t rss_bytes = 0;          ///< of a demo node that runs; 0: not known
  Result<NodeReport> report = Fail(ErrorCode::kConnectFailed);
};

/// What the members that answered say, and who is known not to run, or not to belong here.
struct Evidence {
  std::vector<const NodeReport*> reports;  ///< of members, or of all where no map is known
  std::set<std::uint64_t> down;            ///< ids
};
Evidence EvidenceOf(const std::vector<NodeView>& nodes);

/// What a keyspace can do now, from what the nodes that answered know.
struct KeyspaceView {
  std::string name;
  std::string replication;
  int replicas = 0;   ///< that count: of a raft keyspace its voters
  int reachable = 0;  ///< of these, in the best connected group
  int majority = 0;
  int joining = 0;      ///< more replicas, which count once they have caught up
  bool served = false;  ///< writes and linearizable reads are answered
  int can_lose = 0;     ///< more nodes, while still served
  std::vector<std::string>
      stale_readers;                   ///< nodes that answer serializable reads whatever happens
  std::vector<std::string> cut_off;    ///< of these, the ones outside the group that serves
  std::vector<std::string> reads_at;   ///< nodes that answer reads as promised
  std::vector<std::string> writes_at;  ///< and writes
  std::string sentence;
};

struct ClusterView {
  std::vector<NodeView> nodes;
  std::vector<KeyspaceView> keyspaces;
  std::string cluster;
  std::string
      leader;  ///< main's, by name; "" if no node that answered leads or hears one that does
  bool AllServed() const;
  bool AnyAnswered() const;
  /// Whether a member says that it cannot keep a promise.
  bool AnyCritical() const;
};

/// Silence after which a node is suspected, whatever its connection says: gossip asks every member
/// about once a second.
inline constexpr std::int64_t kSuspectAfterMs = 3000;

/// Whether a reporter takes `peer` for lost: not connected, or silent for too long.
bool Suspects(const PeerReport& peer);

/// Whether `center` and the peer hear each other. A node that did not answer us may still be heard
/// by `center`: then `center`'s word counts, unless the node is known not to run.
bool Joined(const NodeReport& center, const PeerReport& peer, const Evidence& evidence);
/// The same by id; a node is joined with itself.
bool Joined(const NodeReport& center, std::uint64_t id, const Evidence& evidence);

/// Works on any subset of reports, and says what follows from them alone; those of nodes that are
/// not in the map count for nothing. `keyspaces`: the newest map's, as the admin door tells them,
/// or null.
ClusterView Judge(std::vector<NodeView> nodes, const Json& keyspaces = {});

/// One screen for people, without colour, in lines of at most 100 characters where words allow it.
std::string ClusterText(const ClusterView& view);
Json ClusterJson(const ClusterView& view);

}  // namespace coterie::cli
