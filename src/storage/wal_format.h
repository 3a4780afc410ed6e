#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/status.h"

// The bytes of the write-ahead log; README.md draws them.
namespace coterie::storage::wal {

inline constexpr std::uint32_t kMagic = 0x4c415743;  // "CWAL"
inline constexpr std::uint16_t kVersion = 2;
inline constexpr std::size_t kHeaderBytes = 48;
/// Frames start at multiples of this at least; of the disk's write unit, so that writing one never
/// endangers an older one.
inline constexpr std::size_t kAlignment = 512;

/// The log that a frame is of, and its place there. All of it is under the frame's checksum, so
/// that neither what a recycled file held before nor a write to the wrong place passes for a frame.
struct FramePlace {
  std::uint64_t log_id = 0;
  std::uint64_t segment = 0;
  std::uint64_t offset = 0;
};

/// The layout of the header is the same in every version; `version` is of the records.
struct FrameHeader {
  FramePlace place;
  std::uint16_t version = kVersion;
  std::uint32_t unit = kAlignment;  ///< the frame ends, and the next begins, at a multiple of it
  std::uint64_t number = 0;         ///< of the frame in the whole log, without gaps
  std::uint32_t body_bytes = 0;
  std::uint32_t checksum = 0;
};

/// Fills the first kHeaderBytes of `frame`, whose records are the rest, and pads it with zeros to
/// `unit`, a multiple of kAlignment. A frame of unit kAlignment is of version 1: older programs
/// read it.
void SealFrame(std::string& frame, FramePlace place, std::uint64_t number, std::uint32_t unit);
/// nullopt: not a header. The checksum is not looked at. Requires: kHeaderBytes bytes.
std::optional<FrameHeader> ParseHeader(std::string_view bytes);
/// `bytes`: header and body.
bool ChecksumHolds(const FrameHeader& header, std::string_view bytes);
constexpr std::uint64_t AlignUp(std::uint64_t n, std::uint64_t unit = kAlignment) {
  return (n + unit - 1) / unit * unit;
}

enum class RecordType : std::uint8_t {
  kSegmentStart = 1,  ///< first of each segment; `index` is the oldest segment still needed
  kEntry = 2,
  kHardState = 3,
  kCompaction = 4,  ///< entries up to `index` are gone
  kReset = 5,       ///< all entries are gone; the next is `index` + 1
};

struct Record {
  RecordType type;
  ShardId shard;
  LogIndex index;
  Term term;
  std::uint8_t kind = 0;
  std::string_view bytes;  ///< payload or hard state; points into what was parsed
};

void PutSegmentStart(std::string& out, std::uint64_t oldest_segment);
void PutEntry(std::string& out, ShardId shard, LogIndex index, Term term, std::uint8_t kind,
              std::string_view payload);
void PutHardState(std::string& out, ShardId shard, std::string_view hard_state);
void PutCompaction(std::string& out, ShardId shard, LogIndex index, Term term);
void PutReset(std::string& out, ShardId shard, LogIndex index, Term term);

/// Takes one record from the front of `in`. Errors: kCorruptLog (cut off), kNewerData (unknown
/// type).
Result<Record> GetRecord(std::string_view& in);

}  // namespace coterie::storage::wal
