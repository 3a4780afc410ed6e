#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "storage/engine.h"

namespace coterie::storage {

/// A part of an Engine's state: the keys that follow `after` in order, with their values.
struct SnapshotChunk {
  std::string bytes;   ///< encoded and checksummed, for SnapshotWriter
  std::string cursor;  ///< the last key it holds: where the next one goes on
  bool last = false;
};

/// Yields the keys in [lower, upper) of one state of an Engine as chunks. Destroy it before the
/// Engine.
class SnapshotReader {
 public:
  /// Reads the state of this call, whatever is written later. A chunk holds at least one key and is
  /// over `chunk_bytes` by at most its last key and value.
  SnapshotReader(const Engine& engine, std::string lower, std::string upper,
                 std::size_t chunk_bytes);

  /// The next chunk; after the last one, an empty last one again. Errors: kIo, kCorruptState.
  Result<SnapshotChunk> NextChunk();
  /// Goes on behind `cursor` ("": from the start): resumes, or sends again, from what a receiver
  /// has.
  void Seek(std::string_view cursor);

 private:
  const std::size_t chunk_bytes_;
  std::unique_ptr<ReadView> view_;
  std::unique_ptr<Iterator> it_;
  std::string cursor_;
};

/// Puts chunks into an Engine. The chunks of one snapshot come in order, each once.
class SnapshotWriter {
 public:
  /// `cursor`: where an earlier writer of the same snapshot stopped.
  explicit SnapshotWriter(Engine& engine, std::string cursor = {})
      : engine_(engine), cursor_(std::move(cursor)) {}

  /// Errors, nothing applied: kMalformed (not a chunk, damaged, or not the one that goes on behind
  /// cursor()); otherwise the Engine's.
  Status Apply(std::string_view chunk);
  const std::string& cursor() const { return cursor_; }
  bool complete() const { return complete_; }

 private:
  Engine& engine_;
  std::string cursor_;
  bool complete_ = false;
};

}  // namespace coterie::storage
