#include "storage/wal_replay.h"

#include <fmt/format.h>

#include <iterator>
#include <utility>

#include "base/assert.h"

namespace coterie::storage::wal {

Status Replay::Apply(std::string_view records, FramePlace place) {
  bool first = true;
  while (!records.empty()) {
    COT_ASSIGN(const Record record, GetRecord(records));
    const bool starts = record.type == RecordType::kSegmentStart;
    if (starts != (first && place.offset == 0)) {
      return Fail(ErrorCode::kCorruptLog,
                  "a segment start that is not at a segment's start, or none there");
    }
    first = false;
    if (!starts) COT_TRY(ApplyRecord(record, place.segment));
  }
  return Ok();
}

Status Replay::ApplyRecord(const Record& record, std::uint64_t segment) {
  COT_ASSERT(record.type != RecordType::kSegmentStart);
  switch (record.type) {
    case RecordType::kEntry:
      return PutEntry(record, segment);
    case RecordType::kHardState:
      shards_[record.shard].state.hard_state = record.bytes;
      index_.PutHardState(record.shard, record.bytes);
      return Ok();
    case RecordType::kReset:
      shards_[record.shard].entries.clear();
      index_.Reset(record.shard, record.index, record.term);
      shards_[record.shard].state.compacted = record.index;
      shards_[record.shard].state.compacted_term = record.term;
      return Ok();
    case RecordType::kCompaction:
      Compact(record);
      return Ok();
    case RecordType::kSegmentStart:
      break;
  }
  return Ok();
}

Status Replay::PutEntry(const Record& record, std::uint64_t segment) {
  Shard& shard = shards_[record.shard];
  auto& entries = shard.entries;
  if (record.index <= shard.state.compacted) {
    return Fail(ErrorCode::kCorruptLog,
                fmt::format("shard {}: entry {} is written after it was compacted",
                            record.shard.value, record.index.value));
  }
  while (!entries.empty() && entries.back().index >= record.index) entries.pop_back();
  if (!entries.empty() && entries.back().index + 1 != record.index) {
    return Fail(ErrorCode::kCorruptLog,
                fmt::format("shard {}: entry {} follows entry {}", record.shard.value,
                            record.index.value, entries.back().index.value));
  }
  entries.push_back({record.index, record.term, record.kind, std::string(record.bytes)});
  index_.PutEntry(record.shard, record.index, record.term, segment);
  return Ok();
}

void Replay::Compact(const Record& record) {
  Shard& shard = shards_[record.shard];
  if (record.index <= shard.state.compacted) return;
  shard.state.compacted = record.index;
  shard.state.compacted_term = record.term;
  auto& entries = shard.entries;
  while (!entries.empty() && entries.front().index <= record.index) entries.pop_front();
  index_.Compact(record.shard, record.index, record.term);
}

Result<std::map<ShardId, WalShard>> Replay::Finish() {
  std::map<ShardId, WalShard> result;
  for (auto& [id, shard] : shards_) {
    const WalShard& state = shard.state;
    if (!shard.entries.empty() && shard.entries.front().index != state.compacted + 1) {
      return Fail(ErrorCode::kCorruptLog,
                  fmt::format("shard {}: entries start at {}, but are compacted up to {}", id.value,
                              shard.entries.front().index.value, state.compacted.value));
    }
    WalShard& out = result[id] = std::move(shard.state);
    out.entries.assign(std::move_iterator(shard.entries.begin()),
                       std::move_iterator(shard.entries.end()));
    shard.entries.clear();
  }
  return result;
}

}  // namespace coterie::storage::wal
