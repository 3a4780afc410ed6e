#pragma once

#include "node/config.h"

namespace coterie::cli {

/// Runs one node on this machine, with its doors, until SIGINT or SIGTERM; then closes the doors,
/// lets open requests end and closes the log. Logs to stderr. When the node cannot start, the last
/// line on stderr is Describe(error). Answers the exit code.
int RunNode(node::NodeConfig config);

}  // namespace coterie::cli
