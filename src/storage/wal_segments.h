#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "runtime/disk.h"
#include "runtime/scope.h"
#include "runtime/sync.h"
#include "runtime/task.h"
#include "runtime/world.h"

namespace coterie::storage::wal {

/// "wal-0000000000000007.log", and back; nullopt for any other name.
std::string SegmentName(std::uint64_t number);
std::optional<std::uint64_t> ParseSegmentName(std::string_view name);

/// The segment files of a log's directory: makes the next one before it is needed, and reuses those
/// that are no longer needed, since overwriting allocated blocks spares the file system's journal.
class Segments {
 public:
  /// Files kept for reuse; more are removed.
  static constexpr std::size_t kRecycledMax = 8;

  Segments(runtime::World& world, std::string dir, std::uint64_t segment_bytes);

  std::string PathOf(std::uint64_t number) const { return dir_ + "/" + SegmentName(number); }
  /// Numbers of the segment files found, ascending. Removes files for reuse over the bound.
  runtime::Task<Result<std::vector<std::uint64_t>>> List();
  /// Opens the segment that the log continues in after Open, whether or not its file exists.
  runtime::Task<Result<std::unique_ptr<runtime::File>>> Start(std::uint64_t number);

  /// In the background: retires the segments below `oldest` and makes `next` ready. Requires:
  /// everything that needs them is durable elsewhere, and that `next` was not asked for yet.
  void Advance(std::uint64_t oldest, std::uint64_t next);
  /// The segment made ready, waiting for it if need be. If there was no space for the whole of it:
  /// an empty file that grows as it is written.
  runtime::Task<Result<std::unique_ptr<runtime::File>>> Take(std::uint64_t number);

 private:
  runtime::Task<void> Tend(std::uint64_t oldest, std::uint64_t next);
  runtime::Task<void> Retire(std::uint64_t number);
  runtime::Task<Status> Prepare(std::uint64_t number);
  runtime::Task<Status> Allocate(runtime::File* file);
  runtime::Task<Status> SyncNames();

  runtime::World& world_;
  const std::string dir_;
  const std::uint64_t segment_bytes_;
  std::set<std::uint64_t> on_disk_;
  std::vector<std::string> recycled_;  // paths
  std::unique_ptr<runtime::File> ready_;
  bool tending_ = false;
  runtime::Notification tended_;
  runtime::Scope scope_;
};

}  // namespace coterie::storage::wal
