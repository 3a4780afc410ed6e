#include <utility>

#include "storage/wal.h"
#include "storage/wal_format.h"

namespace coterie::storage {

void WalBatch::Begin(ShardId shard, std::uint8_t type, LogIndex index, Term term) {
  if (frame_.empty()) frame_.resize(wal::kHeaderBytes);
  notes_.push_back({shard, type, index, term, frame_.size()});
}

void WalBatch::PutEntry(ShardId shard, LogIndex index, Term term, std::uint8_t kind,
                        std::string_view payload) {
  Begin(shard, static_cast<std::uint8_t>(wal::RecordType::kEntry), index, term);
  wal::PutEntry(frame_, shard, index, term, kind, payload);
}

void WalBatch::PutHardState(ShardId shard, std::string_view hard_state) {
  Begin(shard, static_cast<std::uint8_t>(wal::RecordType::kHardState), {}, {});
  wal::PutHardState(frame_, shard, hard_state);
}

void WalBatch::PutCompaction(ShardId shard, LogIndex index, Term term) {
  Begin(shard, static_cast<std::uint8_t>(wal::RecordType::kCompaction), index, term);
  wal::PutCompaction(frame_, shard, index, term);
}

void WalBatch::PutReset(ShardId shard) {
  Begin(shard, static_cast<std::uint8_t>(wal::RecordType::kReset), {}, {});
  wal::PutReset(frame_, shard, {}, {});
}

void WalBatch::Add(WalBatch other) {
  if (empty()) {
    *this = std::move(other);
    return;
  }
  if (other.empty()) return;
  const std::size_t moved = frame_.size() - wal::kHeaderBytes;
  for (Note& note : other.notes_) {
    note.at += moved;
    notes_.push_back(note);
  }
  frame_.append(other.frame_, wal::kHeaderBytes);
}

}  // namespace coterie::storage
