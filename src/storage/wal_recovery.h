#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/ids.h"
#include "base/status.h"
#include "runtime/task.h"
#include "runtime/world.h"
#include "storage/wal.h"
#include "storage/wal_index.h"
#include "storage/wal_segments.h"

namespace coterie::storage::wal {

/// What a directory's segments held, and how the log goes on. It always goes on in a new segment.
struct Recovered {
  std::map<ShardId, WalShard> shards;
  Index index;
  std::uint64_t log_id = 0;
  std::uint64_t segment = 1;  ///< to start
  std::uint64_t number = 1;   ///< of that segment's first frame
  std::uint64_t oldest = 1;   ///< segments below it are not needed once that frame is durable
  std::string first_frame;    ///< room for the header, then its records
  std::uint64_t newest = 0;   ///< the newest frame found; 0: none
  std::string torn;           ///< where the log ends in something that is no whole frame; or ""
};

/// Reads all segments. `new_log_id` names the log if there is none yet. Writes nothing.
/// Errors: kCorruptLog, kNewerData, kIo.
runtime::Task<Result<Recovered>> Recover(runtime::World& world, Segments* segments,
                                         std::uint64_t new_log_id);

}  // namespace coterie::storage::wal
