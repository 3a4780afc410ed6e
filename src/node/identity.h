#pragma once

#include <string>

#include "node/config.h"
#include "runtime/world.h"

namespace coterie::node {

/// What a data directory is: `<dir>/identity`, three lines of text: "coterie-data <format
/// version>", "cluster <name>", "node <id>". Written once, before anything else.
inline constexpr int kDataFormatVersion = 1;

/// Writes it into a new directory, or checks that it is this node's. Errors: kForeignData,
/// kNewerData, kCorruptState, kIo.
runtime::Task<Status> CheckIdentity(runtime::Disk& disk, std::string data_dir, std::string cluster,
                                    NodeId node);

}  // namespace coterie::node
