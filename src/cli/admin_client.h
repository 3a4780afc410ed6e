#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "cli/json.h"
#include "runtime/network.h"

namespace coterie::cli {

/// What one node says of another.
struct PeerReport {
  std::uint64_t id = 0;
  std::string name;
  bool connected = false;
  std::optional<std::int64_t> last_heard_ms;  ///< absent: never heard since it started
  std::uint64_t match = 0;                    ///< leader only
  std::vector<std::string> faults;            ///< injected on the way to it: "cut", "delay 50ms"
};

/// A keyspace as one node knows it.
struct KeyspaceReport {
  std::string name;
  std::string replication;
  int replicas = 0;
};

/// A node's part in the Raft group of a keyspace.
struct GroupReport {
  std::string keyspace;
  std::string role;  ///< "leader", "follower", "candidate", "learner"
  std::uint64_t leader = 0;
  std::uint64_t term = 0;
  bool ready = false;
  std::vector<std::uint64_t> voters;    ///< ids, by the newest configuration that it has
  std::vector<std::uint64_t> outgoing;  ///< those that vote as well, while the group moves
  std::vector<std::uint64_t> learners;
};

/// What lasts on a node and an operator should know of.
struct ConditionReport {
  std::string name;
  std::string severity;  ///< "notice", "warning", "critical"
  std::string subject;
  std::string text;
  std::string meaning;
  std::string hint;
  std::int64_t since_ms = 0;
};

/// What one node believes of a machine, by gossip.
struct HealthReport {
  std::string name;
  std::string state;  ///< "alive", "suspected", "dead"
  std::string by;     ///< who said so first; "": nobody
  std::int64_t since_ms = 0;
};

/// What GET /status of the admin door answers.
struct NodeReport {
  std::string name;
  std::uint64_t id = 0;
  std::string version;
  std::string cluster;
  std::string role;
  std::uint64_t leader = 0;
  std::uint64_t term = 0;
  std::uint64_t commit = 0;
  std::uint64_t applied = 0;
  std::int64_t revision = 0;
  bool ready = false;
  bool clock_synchronized = false;
  double clock_bound_ms = 0;
  std::string redis;           ///< "": no Redis door
  std::string failure_domain;  ///< "": one of its own
  std::vector<PeerReport> peers;
  std::vector<HealthReport> health;
  std::vector<KeyspaceReport> keyspaces;
  std::vector<GroupReport> groups;
  std::vector<ConditionReport> conditions;
  Json raw;  ///< the document itself, for --output json
};

NodeReport ParseNodeReport(Json document);

/// One request to one node's admin door.
struct AdminRequest {
  runtime::Address node;
  std::string method;  ///< "GET", "POST"
  std::string path;
  std::string query;
  std::string body;  ///< JSON, or empty
};

/// Sends every request at once over connections of their own and answers when each is answered or
/// has failed, in order: the JSON body, null if the body is empty. Errors: kConnectFailed,
/// kTimedOut (unknown for a POST), kMalformed, and what the node answered, with its outcome; for a
/// status other than 200 without a known error kRefusedOutsideDemo or kInvalidArgument. Blocks.
std::vector<Result<Json>> CallAdmin(std::vector<AdminRequest> requests, Duration timeout);

/// GET /status of each node.
std::vector<Result<NodeReport>> AskStatus(const std::vector<runtime::Address>& nodes,
                                          Duration timeout);

}  // namespace coterie::cli
