#include "model/kv/history.h"

#include "base/assert.h"
#include "base/coding.h"

namespace coterie::kv {
namespace {

// So many records are stepped over before a seek is cheaper.
constexpr int kStepsBeforeSeek = 6;

std::unexpected<Error> Corrupt(std::string_view record) {
  return Fail(ErrorCode::kCorruptState, "kv record " + Hex(record));
}

}  // namespace

Cursor& History::KeysCursor() {
  if (!keys_) {
    keys_ = std::make_unique<Cursor>(engine_, pending_, layout::SpaceBegin(layout::kKeys),
                                     layout::SpaceEnd(layout::kKeys));
  }
  return *keys_;
}

Result<Head> History::Newest(std::string_view key) {
  if (const KeyCache::Row* known = cache_.Find(key)) return known->head;
  // What the pending batch changed is in the cache until it is written.
  COT_ASSIGN(const auto found, engine_.FirstVersion(layout::KeyPrefix(key)));
  if (!found) return Head{};
  const auto record = layout::ParseKeyRecord(found->key);
  if (!record) return Corrupt(found->key);
  const auto parsed = layout::ParseVersion(record->revision, found->value);
  if (!parsed) return Corrupt(found->key);
  cache_.Set(key, parsed->head, parsed->value);
  return parsed->head;
}

Result<std::optional<History::Version>> History::VersionAt(std::string_view key,
                                                           Revision revision) {
  const std::string record = layout::KeyRecord(key, revision);
  std::optional<std::string> bytes;
  const storage::Batch::Change* change = pending_ != nullptr ? pending_->Find(record) : nullptr;
  if (change != nullptr) {
    if (change->kind == storage::Batch::Kind::kPut) bytes = change->value;
  } else {
    COT_ASSIGN(bytes, engine_.Get(record));
  }
  if (!bytes) return std::optional<Version>();
  const auto parsed = layout::ParseVersion(revision, *bytes);
  if (!parsed) return Corrupt(record);
  const Head head = parsed->head;
  bytes->erase(0, bytes->size() - parsed->value.size());
  return Version{head, std::move(*bytes)};
}

Status History::ScanOne(std::string_view key, Revision revision, const Visit& visit) {
  COT_ASSIGN(const Head head, Newest(key));
  if (head.mod <= revision) {
    if (!head.live()) return Ok();
    if (const KeyCache::Row* row = cache_.Find(key); row != nullptr && row->has_value) {
      visit({key, head, row->value});
      return Ok();
    }
    COT_ASSIGN(const auto version, VersionAt(key, head.mod));
    if (!version) return Corrupt(layout::KeyRecord(key, head.mod));
    visit({key, head, version->value});
    return Ok();
  }
  const std::string prefix = layout::KeyPrefix(key);
  const std::string end = layout::AfterVersions(prefix);
  if (pending_ != nullptr) return ScanRecords(KeysCursor(), prefix, end, revision, visit);
  Cursor cursor(engine_, nullptr, prefix, end);
  return ScanRecords(cursor, prefix, end, revision, visit);
}

Status History::Scan(std::string_view key, std::string_view range_end, Revision revision,
                     const Visit& visit) {
  if (range_end.empty()) return ScanOne(key, revision, visit);
  const std::string begin = layout::KeyPrefix(key);
  const std::string end = layout::KeyRangeEnd(range_end);
  if (begin >= end) return Ok();
  if (pending_ != nullptr) return ScanRecords(KeysCursor(), begin, end, revision, visit);
  Cursor cursor(engine_, nullptr, begin, end);
  return ScanRecords(cursor, begin, end, revision, visit);
}

// One forward scan. Of each key's records, newest first: those after `revision` are stepped over,
// the next one counts, the rest is stepped over; a long run is left with a seek.
Status History::ScanRecords(Cursor& cursor, const std::string& begin, const std::string& end,
                            Revision revision, const Visit& visit, Stop* stop) {
  COT_ASSERT(revision >= 0);
  if (stop != nullptr) stop->next.clear();
  std::string done;     // the prefix of the key already decided
  std::string scratch;  // an unescaped key
  int steps = 0;
  cursor.Seek(begin);
  while (cursor.Valid() && cursor.key() < end) {
    const auto record = layout::ParseKeyRecord(cursor.key());
    if (!record) return Corrupt(cursor.key());
    if (stop != nullptr && stop->records_max-- == 0) {
      stop->next = record->prefix == done ? layout::AfterVersions(done) : cursor.key();
      return Ok();
    }
    if (record->prefix == done) {
      if (++steps <= kStepsBeforeSeek) {
        cursor.Next();
      } else {
        cursor.Seek(layout::AfterVersions(done));
      }
      continue;
    }
    if (record->revision > revision) {
      if (++steps <= kStepsBeforeSeek) {
        cursor.Next();
        continue;
      }
      std::string target(record->prefix);
      PutBigEndian64(target, ~static_cast<std::uint64_t>(revision));
      cursor.Seek(target);
      steps = 0;
      continue;
    }
    const auto parsed = layout::ParseVersion(record->revision, cursor.value());
    const auto user_key = layout::UserKey(record->prefix, scratch);
    if (!parsed || !user_key) return Corrupt(cursor.key());
    if (parsed->head.live() && !visit({*user_key, parsed->head, parsed->value})) {
      if (stop != nullptr) stop->next = layout::AfterVersions(record->prefix);
      return Ok();
    }
    done = record->prefix;
    steps = 0;
    cursor.Next();
  }
  return cursor.status();
}

Status History::ScanSome(const std::string& begin, const std::string& end, Revision revision,
                         const Visit& visit, Stop& stop) {
  COT_ASSERT(pending_ == nullptr);
  if (begin >= end) return Ok();
  Cursor cursor(engine_, nullptr, begin, end);
  return ScanRecords(cursor, begin, end, revision, visit, &stop);
}

Status History::ScanAttachments(std::int64_t lease,
                                const std::function<void(std::string_view)>& visit) {
  const std::string prefix = layout::AttachmentPrefix(lease);
  // -1 is the id with the greatest bit pattern.
  const std::string end = lease == -1 ? layout::SpaceEnd(layout::kAttachments)
                                      : layout::AttachmentPrefix(static_cast<std::int64_t>(
                                            static_cast<std::uint64_t>(lease) + 1));
  Cursor cursor(engine_, pending_, prefix, end);
  for (cursor.Seek(prefix); cursor.Valid(); cursor.Next()) {
    visit(cursor.key().substr(prefix.size()));
  }
  return cursor.status();
}

}  // namespace coterie::kv
