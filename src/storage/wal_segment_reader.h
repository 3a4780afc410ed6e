#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "runtime/disk.h"
#include "runtime/task.h"
#include "storage/wal_format.h"

namespace coterie::storage::wal {

/// A frame as read; `body` is valid until the reader reads again.
struct Frame {
  FrameHeader header;
  std::string_view body;
};

/// Reads the frames of one segment file through a window. Errors: kIo; kNewerData for a valid frame
/// of a later version.
class SegmentReader {
 public:
  static runtime::Task<Result<SegmentReader>> Open(runtime::Disk& disk, std::string path,
                                                   std::uint64_t segment);

  /// The frame at `offset`, or nullopt if there is no valid one. With `log_id`, only one of that
  /// log.
  runtime::Task<Result<std::optional<Frame>>> Read(std::uint64_t offset,
                                                   std::optional<std::uint64_t> log_id);
  /// The offset of the first valid frame at `from` or later, if any.
  runtime::Task<Result<std::optional<std::uint64_t>>> Find(std::uint64_t from,
                                                           std::optional<std::uint64_t> log_id);
  /// No frame of this log was ever begun at `offset`: there are zeros, or what a reused file held
  /// before.
  runtime::Task<Result<bool>> IsBlank(std::uint64_t offset);
  const std::string& path() const { return path_; }

 private:
  bool IsPlace(const FrameHeader& header, std::uint64_t offset,
               std::optional<std::uint64_t> log_id) const;
  /// `size` bytes at `offset`, fewer at the end of the file; valid until the next call.
  runtime::Task<Result<std::string_view>> Window(std::uint64_t offset, std::size_t size);

  std::string path_;
  std::uint64_t segment_ = 0;
  std::unique_ptr<runtime::File> file_;
  std::uint64_t file_bytes_ = 0;
  std::string window_;
  std::uint64_t window_at_ = 0;
};

}  // namespace coterie::storage::wal
