#include "storage/wal_format.h"

#include <algorithm>

#include "base/assert.h"
#include "base/coding.h"

namespace coterie::storage::wal {

namespace {
// Header: magic u32, version u16, unit / kAlignment u16 (0: 1), log id u64, segment u64, offset
// u64, number u64, body bytes u32, CRC32C u32 of all before it and the body.
constexpr std::size_t kChecksumAt = 44;

std::uint32_t Checksum(std::string_view header, std::string_view body) {
  return Crc32c(body, Crc32c(header.substr(0, kChecksumAt)));
}

void PutType(std::string& out, RecordType type) { out.push_back(static_cast<char>(type)); }
}  // namespace

void SealFrame(std::string& frame, FramePlace place, std::uint64_t number, std::uint32_t unit) {
  COT_ASSERT(unit >= kAlignment && unit % kAlignment == 0 && unit / kAlignment <= UINT16_MAX);
  COT_ASSERT(frame.size() > kHeaderBytes);
  COT_ASSERT(frame.size() - kHeaderBytes <= UINT32_MAX);
  char* header = frame.data();
  StoreFixed32(header, kMagic);
  const std::uint32_t sectors = unit == kAlignment ? 0 : unit / kAlignment;
  StoreFixed32(header + 4, (sectors == 0 ? 1u : kVersion) | sectors << 16);
  StoreFixed64(header + 8, place.log_id);
  StoreFixed64(header + 16, place.segment);
  StoreFixed64(header + 24, place.offset);
  StoreFixed64(header + 32, number);
  StoreFixed32(header + 40, static_cast<std::uint32_t>(frame.size() - kHeaderBytes));
  const std::string_view bytes = frame;
  StoreFixed32(header + kChecksumAt, Checksum(bytes, bytes.substr(kHeaderBytes)));
  frame.resize(AlignUp(frame.size(), unit), '\0');
}

std::optional<FrameHeader> ParseHeader(std::string_view bytes) {
  COT_ASSERT(bytes.size() >= kHeaderBytes);
  if (LoadFixed32(bytes.data()) != kMagic) return std::nullopt;
  FrameHeader header;
  const std::uint32_t version_and_unit = LoadFixed32(bytes.data() + 4);
  header.version = static_cast<std::uint16_t>(version_and_unit);
  if (header.version >= 2) header.unit = std::max(version_and_unit >> 16, 1u) * kAlignment;
  header.place.log_id = LoadFixed64(bytes.data() + 8);
  header.place.segment = LoadFixed64(bytes.data() + 16);
  header.place.offset = LoadFixed64(bytes.data() + 24);
  header.number = LoadFixed64(bytes.data() + 32);
  header.body_bytes = LoadFixed32(bytes.data() + 40);
  header.checksum = LoadFixed32(bytes.data() + kChecksumAt);
  return header;
}

bool ChecksumHolds(const FrameHeader& header, std::string_view bytes) {
  COT_ASSERT(bytes.size() >= kHeaderBytes);
  return Checksum(bytes, bytes.substr(kHeaderBytes)) == header.checksum;
}

void PutSegmentStart(std::string& out, std::uint64_t oldest_segment) {
  PutType(out, RecordType::kSegmentStart);
  PutVarint(out, oldest_segment);
}

void PutEntry(std::string& out, ShardId shard, LogIndex index, Term term, std::uint8_t kind,
              std::string_view payload) {
  PutType(out, RecordType::kEntry);
  PutVarint(out, shard.value);
  PutVarint(out, index.value);
  PutVarint(out, term.value);
  out.push_back(static_cast<char>(kind));
  PutLengthPrefixed(out, payload);
}

void PutHardState(std::string& out, ShardId shard, std::string_view hard_state) {
  PutType(out, RecordType::kHardState);
  PutVarint(out, shard.value);
  PutLengthPrefixed(out, hard_state);
}

void PutCompaction(std::string& out, ShardId shard, LogIndex index, Term term) {
  PutType(out, RecordType::kCompaction);
  PutVarint(out, shard.value);
  PutVarint(out, index.value);
  PutVarint(out, term.value);
}

void PutReset(std::string& out, ShardId shard, LogIndex index, Term term) {
  PutType(out, RecordType::kReset);
  PutVarint(out, shard.value);
  PutVarint(out, index.value);
  PutVarint(out, term.value);
}

namespace {

std::unexpected<Error> CutOff() { return Fail(ErrorCode::kCorruptLog, "a record is cut off"); }

Result<Record> GetPosition(Record record, std::string_view& in) {
  const auto index = GetVarint(in);
  if (!index) return CutOff();
  const auto term = GetVarint(in);
  if (!term) return CutOff();
  record.index = LogIndex(*index);
  record.term = Term(*term);
  return record;
}

Result<Record> GetBytes(Record record, std::string_view& in) {
  const auto bytes = GetLengthPrefixed(in);
  if (!bytes) return CutOff();
  record.bytes = *bytes;
  return record;
}

}  // namespace

Result<Record> GetRecord(std::string_view& in) {
  if (in.empty()) return CutOff();
  Record record{.type = static_cast<RecordType>(in.front())};
  in.remove_prefix(1);
  const auto first = GetVarint(in);
  if (!first) return CutOff();
  record.shard = ShardId(*first);
  switch (record.type) {
    case RecordType::kSegmentStart:
      record.shard = ShardId(0);
      record.index = LogIndex(*first);
      return record;
    case RecordType::kHardState:
      return GetBytes(record, in);
    case RecordType::kCompaction:
    case RecordType::kReset:
      return GetPosition(record, in);
    case RecordType::kEntry: {
      COT_ASSIGN(record, GetPosition(record, in));
      if (in.empty()) return CutOff();
      record.kind = static_cast<std::uint8_t>(in.front());
      in.remove_prefix(1);
      return GetBytes(record, in);
    }
  }
  return Fail(ErrorCode::kNewerData, "a record of an unknown type");
}

}  // namespace coterie::storage::wal
