#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "cli/admin_client.h"
#include "cli/process.h"

namespace coterie::cli {

/// One node as the command sees it: by its own report, or without one.
struct NodeView {
  std::string name;  ///< as planned, or as reported; the address if neither is known
  runtime::Address admin;
  std::optional<ProcessState> process;  ///< of a demo node
  std::uint64_t rss_bytes = 0;          ///< of a demo node that runs; 0: not known
  Result<NodeReport> report = Fail(ErrorCode::kConnectFailed);
};

/// What a keyspace can do now, from what the nodes that answered know.
struct KeyspaceView {
  std::string name;
  std::string replication;
  int replicas = 0;
  int reachable = 0;  ///< replicas in the best connected group, see JudgeKeyspace
  int majority = 0;
  bool served = false;  ///< writes and linearizable reads are answered
  int can_lose = 0;     ///< more nodes, while still served
  std::vector<std::string>
      stale_readers;                   ///< nodes that answer serializable reads whatever happens
  std::vector<std::string> cut_off;    ///< of these, the ones outside the group that serves
  std::vector<std::string> reads_at;   ///< nodes that answer reads as promised; not told for main
  std::vector<std::string> writes_at;  ///< and writes
  std::string sentence;
};

struct ClusterView {
  std::vector<NodeView> nodes;
  std::vector<KeyspaceView> keyspaces;
  std::string cluster;
  std::string leader;  ///< its name; "" if no node that answered leads or names a leader it hears
  bool AllServed() const;
  bool AnyAnswered() const;
};

/// Silence after which a node is suspected, whatever its connection says.
inline constexpr std::int64_t kSuspectAfterMs = 2000;

/// Whether `reporter` takes `peer` for lost: not connected, or silent for too long. Silence counts
/// only between a leader and the others: two followers have nothing to say to each other [Raft
/// §5.2].
bool Suspects(const NodeReport& reporter, const PeerReport& peer);

/// Whether `center` and the peer hear each other. A node that did not answer us may still be heard
/// by `center`: then `center`'s word counts.
bool Joined(const NodeReport& center, const PeerReport& peer,
            const std::vector<const NodeReport*>& reports);

/// Works on any subset of reports, and says what follows from them alone. A raft keyspace is served
/// when a majority of its replicas answered, hear one another, and agree on a leader among them.
/// `keyspaces`: the newest map's, as the admin door tells them, or null.
ClusterView Judge(std::vector<NodeView> nodes, const Json& keyspaces = {});

/// One screen for people, without colour.
std::string ClusterText(const ClusterView& view);
Json ClusterJson(const ClusterView& view);

}  // namespace coterie::cli
