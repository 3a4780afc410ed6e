#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "cli/admin_client.h"
#include "cli/cluster_view.h"

namespace CLI {
class App;
}

namespace coterie::cli {

/// Which cluster a command is about: the endpoints named, else the demo of `dir`, else the demo
/// that runs.
struct ClusterChoice {
  std::string dir;
  std::vector<std::string> endpoints;
};
/// Adds --dir and --endpoints.
void AddClusterChoice(CLI::App& command, ClusterChoice& choice);

/// The nodes that the choice names, none asked yet. Errors: kNoDemo, kInvalidArgument.
Result<std::vector<NodeView>> NodesOf(const ClusterChoice& choice);

/// Those nodes and every other machine of the cluster map, each with its standing and its report:
/// the map is the newest of those who answer, and whoever it names is asked as well. Errors: as
/// NodesOf. Blocks, for each round at most `patience`; there are at most three.
Result<std::vector<NodeView>> FindNodes(const ClusterChoice& choice, Duration patience);

/// One request to a cluster, whoever of its members answers. A node that cannot be reached, or that
/// knows of no leader, is passed over; any other answer, a refusal too, is the cluster's. If nobody
/// is left, what a node said counts before that another could not be reached. Errors: as CallAdmin.
/// Blocks.
Result<Json> AskCluster(const ClusterChoice& choice, AdminRequest request, Duration timeout);

/// The newest of the cluster maps that the nodes know: of GET `path`, "/keyspaces" or "/nodes".
/// Errors: as CallAdmin, of the last node, if none answers. Blocks.
Result<Json> NewestMap(const ClusterChoice& choice, const std::string& path, Duration timeout);
/// The same of nodes that were found.
Result<Json> NewestMapOf(const std::vector<NodeView>& nodes, const std::string& path,
                         Duration timeout);

}  // namespace coterie::cli
