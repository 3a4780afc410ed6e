#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "cli/json.h"
#include "keyspace/explain.h"

namespace coterie::cli {

// What the admin door says of keyspaces, put together for people and for scripts. Pure.

/// The rows of `keyspace list`: who promises what, and how many replicas each machine holds.
std::string KeyspaceTable(const Json& keyspaces);

/// The promise of a keyspace as the admin door tells it. Error kMalformed.
Result<keyspace::Promise> PromiseFromJson(const Json& keyspace);
Json ToJson(const keyspace::Explanation& explanation);

/// What `keyspace digest` found.
struct DigestReport {
  bool converged = false;
  std::string text;  ///< a line for each shard and replica, and a last one with the verdict
  Json document;
};
/// Of GET /keyspaces/NAME/digest. Converged: every active replica answered, and those of each shard
/// have equal digests.
DigestReport JudgeDigests(const Json& answer);

/// What `keyspace conflicts` found: of each node's answer its count, and the newest losers, each
/// once however many nodes saw it, newest first. Nodes that did not answer are told as such.
struct ConflictsReport {
  std::string text;
  Json document;
};
ConflictsReport CollectConflicts(const std::string& keyspace,
                                 const std::vector<std::pair<std::string, Result<Json>>>& answers);

}  // namespace coterie::cli
