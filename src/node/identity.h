#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "runtime/disk.h"
#include "runtime/task.h"

namespace coterie::node {

/// What a data directory is: `<dir>/identity`, lines of text: "coterie-data <format version>",
/// "cluster <name>", "node <id>", "incarnation <number>", "founders <ids>".
inline constexpr int kDataFormatVersion = 1;

struct Identity {
  NodeId node;
  std::uint16_t incarnation = 0;  ///< of the newest start
  /// The nodes that the cluster began with, if this is one of them: the first voters of the control
  /// group and of `main`'s. Empty on a node that joined: its groups wait until a leader calls.
  std::vector<NodeId> founders;
  friend bool operator==(const Identity&, const Identity&) = default;
};

/// nullopt: the directory is nobody's yet. Errors: kForeignData (another cluster's), kNewerData,
/// kCorruptState, kIo.
runtime::Task<Result<std::optional<Identity>>> ReadIdentity(runtime::Disk& disk,
                                                            std::string data_dir,
                                                            std::string cluster);

/// Begins a start of `known`'s node, or of a new directory's: its identity, with an incarnation
/// that no earlier start had, durable when it answers. `node` 0: whoever it is. Errors: as
/// ReadIdentity; kForeignData (another node's); kInvalidConfig (there are no incarnations left).
runtime::Task<Result<Identity>> BeginIncarnation(runtime::Disk& disk, std::string data_dir,
                                                 std::string cluster, NodeId node,
                                                 std::vector<NodeId> founders);

}  // namespace coterie::node
