#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/status.h"

// The records of a kv store in its Engine; README.md shows them with a worked example.
namespace coterie::kv {

using Revision = std::int64_t;

/// The newest known change of a key, without its value. `mod` 0: the key was never seen.
struct Head {
  Revision mod = 0;
  Revision create = 0;
  std::int64_t version = 0;  ///< 0: deleted (or never put)
  std::int64_t lease = 0;
  bool live() const { return version > 0; }
  friend bool operator==(const Head&, const Head&) = default;
};

namespace layout {

inline constexpr std::uint64_t kFormat = 1;

/// Spaces are told apart by a record's first byte; [kX, kX + 1) is the whole space.
inline constexpr char kAttachments = 'a';
inline constexpr char kEvents = 'e';
inline constexpr char kKeys = 'k';
inline constexpr char kLeases = 'l';
inline constexpr char kMeta = 'm';

std::string SpaceBegin(char space);
std::string SpaceEnd(char space);

/// Key records: every version of a key together, the newest first; keys in byte order.
/// KeyPrefix is what all records of a key begin with, and is <= the prefix of every greater key.
void AppendKeyPrefix(std::string& out, std::string_view key);
std::string KeyPrefix(std::string_view key);
std::string KeyRecord(std::string_view key, Revision revision);
/// The end, in key records, of a range: range_end as in etcd ("\0": no end).
std::string KeyRangeEnd(std::string_view range_end);
/// Greater than every record that begins with `prefix`.
std::string AfterVersions(std::string_view prefix);

struct ParsedKeyRecord {
  std::string_view prefix;
  Revision revision;
};
std::optional<ParsedKeyRecord> ParseKeyRecord(std::string_view record);
/// The user key of a prefix: a view into it, or into `scratch` when it had to be unescaped.
std::optional<std::string_view> UserKey(std::string_view prefix, std::string& scratch);

std::string EncodeVersion(const Head& head, std::string_view value);
std::string EncodeTombstone();
struct ParsedVersion {
  Head head;
  std::string_view value;
};
/// `revision` is the record's own. Errors: nullopt for bytes that are not of the format.
std::optional<ParsedVersion> ParseVersion(Revision revision, std::string_view bytes);

/// Event records: every change in the order it was made.
std::string EventRecord(Revision revision, std::uint32_t sub);
struct EventPosition {
  Revision revision;
  std::uint32_t sub;
};
std::optional<EventPosition> ParseEventRecord(std::string_view record);
/// `prev_mod`: the revision of the version this change replaced; 0: none was live.
std::string EncodeEvent(bool put, Revision revision, Revision prev_mod, std::string_view key);
struct ParsedEvent {
  bool put;
  Revision prev_mod;
  std::string_view key;
};
std::optional<ParsedEvent> ParseEvent(Revision revision, std::string_view bytes);

/// A lease, and the keys attached to it in key order.
std::string LeaseRecord(std::int64_t id);
std::optional<std::int64_t> ParseLeaseRecord(std::string_view record);
struct Lease {
  std::int64_t ttl_seconds = 0;
  LogIndex granted_at;  ///< the index of the granting command: tells two grants of one id apart
};
std::string EncodeLease(const Lease& lease);
std::optional<Lease> ParseLease(std::string_view bytes);
std::string AttachmentPrefix(std::int64_t lease);
std::string AttachmentRecord(std::int64_t lease, std::string_view key);

/// What the state is the result of: written with every Apply.
struct Meta {
  LogIndex index;
  Term term;
  Revision revision = 1;
  Revision compacted = -1;  ///< etcd's initial value: compacting at 0 is accepted once
};
std::string MetaRecord();
std::string EncodeMeta(const Meta& meta);
/// Errors: kNewerData, kCorruptState.
Result<Meta> ParseMeta(std::string_view bytes);

/// How far PurgeSome came: the next event to look at, and the compaction it has finished with.
struct PurgeCursor {
  EventPosition next{0, 0};
  Revision finished = -1;
};
std::string PurgeRecord();
std::string EncodePurge(const PurgeCursor& cursor);
std::optional<PurgeCursor> ParsePurge(std::string_view bytes);

}  // namespace layout
}  // namespace coterie::kv
