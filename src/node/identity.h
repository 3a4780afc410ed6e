#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "runtime/disk.h"
#include "runtime/sync.h"
#include "runtime/task.h"
#include "runtime/world.h"

namespace coterie::node {

/// What a data directory is: `<dir>/identity`, lines of text: "coterie-data <format version>",
/// "cluster <name>", "cluster-id <16 hex digits>", "node <id>", "name <name>", "birth <16 hex
/// digits>", "incarnation <number>", "founders <ids>". Format 1 had neither cluster-id, name nor
/// birth; it is read, and written anew as this one.
inline constexpr int kDataFormatVersion = 2;

struct Identity {
  NodeId node;
  std::string name;
  std::uint64_t cluster_id = 0;  ///< drawn when the cluster began, or a checksum of its name
  /// Drawn with the directory. Peers remember it: under the same id another directory is another
  /// machine, that knows nothing of what this one acknowledged. 0: not known yet, from format 1.
  std::uint64_t birth = 0;
  std::uint16_t incarnation = 0;  ///< of the newest start
  /// The nodes that the cluster began with, if this is one of them: the first voters of the control
  /// group and of `main`'s. Empty on a node that joined: its groups wait until a leader calls.
  std::vector<NodeId> founders;
  friend bool operator==(const Identity&, const Identity&) = default;
};

/// nullopt: the directory is nobody's yet. `node` 0: whoever it is. Errors: kForeignData (of
/// another cluster or node, or of a node of another name), kNewerData, kCorruptState, kIo.
runtime::Task<Result<std::optional<Identity>>> ReadIdentity(runtime::Disk& disk,
                                                            std::string data_dir,
                                                            std::string cluster, NodeId node,
                                                            std::string name);

/// Begins a start: writes `identity` with the next incarnation, durable when it answers. Errors:
/// kInvalidConfig (there are no incarnations left), kIo, kDiskFull.
runtime::Task<Result<Identity>> BeginIncarnation(runtime::Disk& disk, std::string data_dir,
                                                 std::string cluster, Identity identity);

/// The births of the other nodes' data directories that this node has heard, in `<dir>/births`:
/// whoever it once listened to is never another later.
class KnownBirths {
 public:
  /// Errors: kCorruptState, kIo.
  static runtime::Task<Result<std::unique_ptr<KnownBirths>>> Open(runtime::World* world,
                                                                  std::string data_dir);
  bool Has(NodeId node) const { return births_.contains(node); }
  /// Durable when it answers. Errors: kForgottenNode (it has another one), kIo, kDiskFull.
  runtime::Task<Status> Learn(NodeId node, std::uint64_t birth);

 private:
  KnownBirths(runtime::World& world, std::string path)
      : world_(world), path_(std::move(path)), written_(world.executor()) {}

  runtime::World& world_;
  const std::string path_;
  std::map<NodeId, std::uint64_t> births_;
  bool writing_ = false;
  runtime::Notification written_;
};

}  // namespace coterie::node
