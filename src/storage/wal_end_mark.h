#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/status.h"
#include "runtime/disk.h"
#include "runtime/task.h"

namespace coterie::storage::wal {

/// How far the log was durable, kept outside of the log's directory. The newest frame of a log says
/// nothing of whether one after it was acknowledged and is gone: this does, but for what was
/// acknowledged since it was written last.
struct EndMark {
  std::uint64_t log_id = 0;
  std::uint64_t number = 0;  ///< of the newest frame known to be durable
  /// What the log held beyond its end is lost, and nobody has said yet that it is made good.
  bool cut = false;
};

/// The file with the mark: two slots, written in turn, so that a torn write leaves the older one.
class EndMarkFile {
 public:
  /// Opens or creates it; its name is durable then. Errors: kIo, kDiskFull.
  static runtime::Task<Result<std::unique_ptr<EndMarkFile>>> Open(runtime::Disk& disk,
                                                                  std::string path);
  /// The newest mark; nullopt: never written, or damaged.
  const std::optional<EndMark>& found() const { return found_; }
  /// Answers when it is durable; one at a time. Errors: kIo, kDiskFull, kSyncFailed.
  runtime::Task<Status> Write(EndMark mark);

 private:
  std::unique_ptr<runtime::File> file_;
  std::optional<EndMark> found_;
  std::uint64_t sequence_ = 0;
};

}  // namespace coterie::storage::wal
