#include "model/kv/layout.h"

#include "base/assert.h"
#include "base/coding.h"

namespace coterie::kv::layout {
namespace {

// A zero byte of a key is written 00 FF and the key is ended by 00 01, so that a key sorts before
// every longer key it begins.
constexpr char kEscape = '\x00';
constexpr char kEscapedZero = '\xff';
constexpr char kTerminator = '\x01';
constexpr std::size_t kRevisionBytes = 8;

enum Tag : char { kTombstone = 0, kVersion = 1 };
enum EventTag : char { kDeleted = 0, kPut = 1 };

std::uint64_t Bits(std::int64_t v) { return static_cast<std::uint64_t>(v); }
std::int64_t Signed(std::uint64_t v) { return static_cast<std::int64_t>(v); }

void AppendEscaped(std::string& out, std::string_view key) {
  while (true) {
    const std::size_t zero = key.find(kEscape);
    out.append(key.substr(0, zero));
    if (zero == std::string_view::npos) return;
    out.push_back(kEscape);
    out.push_back(kEscapedZero);
    key.remove_prefix(zero + 1);
  }
}

void PutBigEndian32(std::string& out, std::uint32_t v) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(v >> shift));
}

}  // namespace

std::string SpaceBegin(char space) { return std::string(1, space); }
std::string SpaceEnd(char space) { return std::string(1, static_cast<char>(space + 1)); }

void AppendKeyPrefix(std::string& out, std::string_view key) {
  out.push_back(kKeys);
  AppendEscaped(out, key);
  out.push_back(kEscape);
  out.push_back(kTerminator);
}

std::string KeyPrefix(std::string_view key) {
  std::string out;
  out.reserve(key.size() + 3 + kRevisionBytes);
  AppendKeyPrefix(out, key);
  return out;
}

std::string KeyRecord(std::string_view key, Revision revision) {
  COT_ASSERT(revision >= 0);
  std::string out = KeyPrefix(key);
  PutBigEndian64(out, ~Bits(revision));
  return out;
}

std::string KeyRangeEnd(std::string_view range_end) {
  COT_ASSERT(!range_end.empty());
  if (range_end == std::string_view("\0", 1)) return SpaceEnd(kKeys);
  return KeyPrefix(range_end);
}

std::string AfterVersions(std::string_view prefix) {
  std::string out(prefix);
  out.append(kRevisionBytes + 1, '\xff');
  return out;
}

std::optional<ParsedKeyRecord> ParseKeyRecord(std::string_view record) {
  if (record.size() < 3 + kRevisionBytes || record[0] != kKeys) return std::nullopt;
  const std::string_view prefix = record.substr(0, record.size() - kRevisionBytes);
  if (prefix[prefix.size() - 2] != kEscape || prefix.back() != kTerminator) return std::nullopt;
  std::string_view tail = record.substr(prefix.size());
  return ParsedKeyRecord{prefix, Signed(~*GetBigEndian64(tail))};
}

std::optional<std::string_view> UserKey(std::string_view prefix, std::string& scratch) {
  if (prefix.size() < 3) return std::nullopt;
  std::string_view escaped = prefix.substr(1, prefix.size() - 3);
  if (escaped.find(kEscape) == std::string_view::npos) return escaped;
  scratch.clear();
  for (std::size_t i = 0; i < escaped.size(); ++i) {
    scratch.push_back(escaped[i]);
    if (escaped[i] != kEscape) continue;
    if (++i == escaped.size() || escaped[i] != kEscapedZero) return std::nullopt;
  }
  return scratch;
}

std::string EncodeVersion(const Head& head, std::string_view value) {
  COT_ASSERT(head.version > 0);
  COT_ASSERT(head.create > 0 && head.create <= head.mod);
  std::string out;
  out.reserve(value.size() + 20);
  out.push_back(kVersion);
  PutVarint(out, Bits(head.mod - head.create));
  PutVarint(out, Bits(head.version));
  PutVarint(out, Bits(head.lease));
  out.append(value);
  return out;
}

std::string EncodeTombstone() { return std::string(1, kTombstone); }

std::optional<ParsedVersion> ParseVersion(Revision revision, std::string_view bytes) {
  if (bytes.empty() || bytes[0] < kTombstone || bytes[0] > kVersion) return std::nullopt;
  ParsedVersion parsed;
  parsed.head.mod = revision;
  if (bytes[0] == kTombstone) return bytes.size() == 1 ? std::optional(parsed) : std::nullopt;
  bytes.remove_prefix(1);
  const auto age = GetVarint(bytes);
  if (!age || *age >= Bits(revision)) return std::nullopt;
  const auto version = GetVarint(bytes);
  if (!version || Signed(*version) <= 0) return std::nullopt;
  const auto lease = GetVarint(bytes);
  if (!lease) return std::nullopt;
  parsed.head.create = revision - Signed(*age);
  parsed.head.version = Signed(*version);
  parsed.head.lease = Signed(*lease);
  parsed.value = bytes;
  return parsed;
}

std::string EventRecord(Revision revision, std::uint32_t sub) {
  COT_ASSERT(revision >= 0);
  std::string out;
  out.reserve(13);
  out.push_back(kEvents);
  PutBigEndian64(out, Bits(revision));
  PutBigEndian32(out, sub);
  return out;
}

std::optional<EventPosition> ParseEventRecord(std::string_view record) {
  if (record.size() != 13 || record[0] != kEvents) return std::nullopt;
  record.remove_prefix(1);
  const auto revision = GetBigEndian64(record);
  std::uint32_t sub = 0;
  for (const char c : record) sub = sub << 8 | static_cast<unsigned char>(c);
  return EventPosition{Signed(*revision), sub};
}

std::string EncodeEvent(bool put, Revision revision, Revision prev_mod, std::string_view key) {
  COT_ASSERT(prev_mod < revision);
  std::string out;
  out.reserve(key.size() + 11);
  out.push_back(put ? kPut : kDeleted);
  PutVarint(out, prev_mod == 0 ? 0 : Bits(revision - prev_mod));
  out.append(key);
  return out;
}

std::optional<ParsedEvent> ParseEvent(Revision revision, std::string_view bytes) {
  if (bytes.empty() || bytes[0] < kDeleted || bytes[0] > kPut) return std::nullopt;
  const bool put = bytes[0] == kPut;
  bytes.remove_prefix(1);
  const auto distance = GetVarint(bytes);
  if (!distance || *distance >= Bits(revision)) return std::nullopt;
  return ParsedEvent{put, *distance == 0 ? 0 : revision - Signed(*distance), bytes};
}

std::string LeaseRecord(std::int64_t id) {
  std::string out(1, kLeases);
  PutBigEndian64(out, Bits(id));
  return out;
}

std::optional<std::int64_t> ParseLeaseRecord(std::string_view record) {
  if (record.size() != 9 || record[0] != kLeases) return std::nullopt;
  record.remove_prefix(1);
  return Signed(*GetBigEndian64(record));
}

std::string EncodeLease(const Lease& lease) {
  std::string out;
  PutVarint(out, Bits(lease.ttl_seconds));
  PutVarint(out, lease.granted_at.value);
  return out;
}

std::optional<Lease> ParseLease(std::string_view bytes) {
  const auto ttl = GetVarint(bytes);
  if (!ttl) return std::nullopt;
  const auto index = GetVarint(bytes);
  if (!index) return std::nullopt;
  return Lease{Signed(*ttl), LogIndex(*index)};
}

std::string AttachmentPrefix(std::int64_t lease) {
  std::string out(1, kAttachments);
  PutBigEndian64(out, Bits(lease));
  return out;
}

std::string AttachmentRecord(std::int64_t lease, std::string_view key) {
  std::string out = AttachmentPrefix(lease);
  out.append(key);
  return out;
}

std::string MetaRecord() { return "mstate"; }

std::string EncodeMeta(const Meta& meta) {
  std::string out;
  PutVarint(out, kFormat);
  PutVarint(out, meta.index.value);
  PutVarint(out, meta.term.value);
  PutVarint(out, Bits(meta.revision));
  PutVarint(out, Bits(meta.compacted + 1));
  return out;
}

Result<Meta> ParseMeta(std::string_view bytes) {
  const auto format = GetVarint(bytes);
  if (!format) return Fail(ErrorCode::kCorruptState, "kv: state record");
  if (*format > kFormat) return Fail(ErrorCode::kNewerData, "kv: record format");
  const auto index = GetVarint(bytes);
  const auto term = index ? GetVarint(bytes) : std::nullopt;
  const auto revision = term ? GetVarint(bytes) : std::nullopt;
  const auto compacted = revision ? GetVarint(bytes) : std::nullopt;
  if (!compacted || Signed(*revision) < 1)
    return Fail(ErrorCode::kCorruptState, "kv: state record");
  return Meta{LogIndex(*index), Term(*term), Signed(*revision), Signed(*compacted) - 1};
}

std::string PurgeRecord() { return "mpurge"; }

std::string EncodePurge(const PurgeCursor& cursor) {
  std::string out;
  PutVarint(out, Bits(cursor.next.revision));
  PutVarint(out, cursor.next.sub);
  PutVarint(out, Bits(cursor.finished + 1));
  return out;
}

std::optional<PurgeCursor> ParsePurge(std::string_view bytes) {
  const auto revision = GetVarint(bytes);
  const auto sub = revision ? GetVarint(bytes) : std::nullopt;
  const auto finished = sub ? GetVarint(bytes) : std::nullopt;
  if (!finished) return std::nullopt;
  return PurgeCursor{{Signed(*revision), static_cast<std::uint32_t>(*sub)}, Signed(*finished) - 1};
}

}  // namespace coterie::kv::layout
