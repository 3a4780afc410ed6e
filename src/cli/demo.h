#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/status.h"
#include "base/time.h"
#include "cli/demo_state.h"

namespace coterie::cli {

struct DemoOptions {
  int nodes = 3;
  std::optional<std::string> dir;           ///< nullopt: a temporary one
  std::string first_address = "127.0.0.1";  ///< node i listens on the i-th address from it
  std::string executable;                   ///< of the nodes; "" is this program
  bool end_with_parent = false;
  Duration ready_within = 30s;
  LogLevel log_level = LogLevel::kInfo;
};

/// Starts the nodes and answers when all of them are ready. On an error, which names the node and
/// what its log says, nothing is left running. Asks `interrupted` while it waits; true ends the
/// start with kCancelled. Errors: kInvalidArgument, kAddressInUse, kTimedOut, kStopped (a node
/// ended), kIo.
Result<DemoState> StartDemo(const DemoOptions& options, const std::function<bool()>& interrupted);

/// Stops every node, and removes a temporary directory.
Status StopDemo(const std::string& dir);

/// Starts the process of one node that has ended, and records it in `state` and its file.
Status RestartNode(DemoState& state, std::string_view name);

/// Starts one more node at the address after the last one ever used, which joins the cluster, and
/// answers when it serves; records it in `state` and its file. The demo is not locked meanwhile. A
/// node that ended by itself is forgotten. Errors: as StartDemo; unknown, and the node stays
/// recorded: kTimedOut (it runs on), kCancelled (it was stopped).
Result<DemoNode> AddDemoNode(DemoState& state, Duration ready_within,
                             const std::function<bool()>& interrupted);

/// Stops the process of a node that is no longer in the cluster, and forgets it; its data stays.
Status RetireDemoNode(const std::string& dir, std::string_view name);

/// What a node's log gives as its reason to end: its last line that names an error code, else its
/// last; without the outcome and the hint.
std::string LastWords(const std::string& log_path);

/// Commands that work against the demo, one per protocol, for people to copy.
std::string DemoBanner(const DemoState& state);

}  // namespace coterie::cli
