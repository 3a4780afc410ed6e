#pragma once

#include <string>

#include "cli/cluster_view.h"

namespace coterie::cli {

/// What a raft keyspace can do now. It is served when a majority of the voters of its group, of
/// both configurations while it moves [Raft §6], hear the leader and are heard by it. The group's
/// own configuration counts, not the map's replicas: those that only learn or join do not vote.
KeyspaceView JudgeRaft(const KeyspaceReport& keyspace, const Evidence& evidence);

/// The name of the group's leader, "" if none answered and none is heard.
std::string RaftLeader(const std::string& keyspace, const Evidence& evidence);

}  // namespace coterie::cli
