#include "storage/snapshot_stream.h"

#include <utility>

#include "base/assert.h"
#include "base/coding.h"

namespace coterie::storage {

namespace {
// A chunk: format u8, flags u8 (1: last), the key it follows, then (key, value) until the end, all
// length-prefixed, then CRC32C of all before.
constexpr char kFormat = 1;
constexpr char kLast = 1;

std::unexpected<Error> Malformed(std::string_view what) {
  return Fail(ErrorCode::kMalformed, "snapshot chunk: " + std::string(what));
}
}  // namespace

SnapshotReader::SnapshotReader(const Engine& engine, std::string lower, std::string upper,
                               std::size_t chunk_bytes)
    : chunk_bytes_(chunk_bytes),
      view_(engine.View()),
      it_(engine.Iterate(std::move(lower), std::move(upper), view_.get())) {
  Seek({});
}

void SnapshotReader::Seek(std::string_view cursor) {
  cursor_ = cursor;
  if (cursor_.empty()) return it_->SeekToFirst();
  it_->Seek(cursor_);
  if (it_->Valid() && it_->key() == cursor_) it_->Next();
}

Result<SnapshotChunk> SnapshotReader::NextChunk() {
  SnapshotChunk chunk;
  chunk.bytes.push_back(kFormat);
  chunk.bytes.push_back(0);
  PutLengthPrefixed(chunk.bytes, cursor_);
  for (bool first = true; it_->Valid() && (first || chunk.bytes.size() < chunk_bytes_);
       first = false) {
    PutLengthPrefixed(chunk.bytes, it_->key());
    PutLengthPrefixed(chunk.bytes, it_->value());
    cursor_ = it_->key();
    it_->Next();
  }
  COT_TRY(it_->status());
  chunk.last = !it_->Valid();
  if (chunk.last) chunk.bytes[1] = kLast;
  PutFixed32(chunk.bytes, Crc32c(chunk.bytes));
  chunk.cursor = cursor_;
  return chunk;
}

Status SnapshotWriter::Apply(std::string_view chunk) {
  if (chunk.size() < 2 + 4) return Malformed("too short");
  const std::uint32_t crc = LoadFixed32(chunk.data() + chunk.size() - 4);
  chunk.remove_suffix(4);
  if (Crc32c(chunk) != crc) return Malformed("checksum mismatch");
  if (chunk[0] != kFormat) return Malformed("unknown format");
  const bool last = chunk[1] == kLast;
  chunk.remove_prefix(2);
  const auto after = GetLengthPrefixed(chunk);
  if (!after) return Malformed("cut off");
  if (*after != cursor_ || complete_)
    return Malformed("it does not go on where the last one ended");
  Batch batch;
  std::string cursor = cursor_;
  while (!chunk.empty()) {
    const auto key = GetLengthPrefixed(chunk);
    if (!key) return Malformed("cut off in a key");
    const auto value = GetLengthPrefixed(chunk);
    if (!value) return Malformed("cut off in a value");
    const bool ordered = cursor.empty() ? true : *key > std::string_view(cursor);
    if (!ordered) return Malformed("keys out of order");
    batch.Put(std::string(*key), std::string(*value));
    cursor = *key;
  }
  COT_TRY(engine_.Write(std::move(batch)));
  cursor_ = std::move(cursor);
  complete_ = last;
  return Ok();
}

}  // namespace coterie::storage
