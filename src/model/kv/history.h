#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "model/kv/key_cache.h"
#include "model/kv/layout.h"
#include "model/kv/pending.h"

namespace coterie::kv {

/// One version of one key. Views are valid during the visit, or as long as what they were read
/// from.
struct VersionView {
  std::string_view key;
  Head head;
  std::string_view value;
};

/// Reading versions: of the Engine alone, or with an Apply call's pending batch laid over it. Lives
/// for one read or one Apply call. All reads may answer kCorruptState and the Engine's errors.
class History {
 public:
  /// `pending` nullptr: the Engine alone.
  History(const storage::Engine& engine, KeyCache& cache, Pending* pending)
      : engine_(engine), cache_(cache), pending_(pending) {}

  /// The newest change of `key`; what it learns goes into the cache.
  Result<Head> Newest(std::string_view key);
  /// The version of `key` made at `revision`; nullopt: not stored (any more).
  struct Version {
    Head head;
    std::string value;
  };
  Result<std::optional<Version>> VersionAt(std::string_view key, Revision revision);

  /// Answers whether to go on.
  using Visit = std::function<bool(const VersionView&)>;
  /// Visits, in key order, the version live at `revision` of each key in [key, range_end) (etcd's
  /// meaning of range_end). The batch must not change meanwhile.
  Status Scan(std::string_view key, std::string_view range_end, Revision revision,
              const Visit& visit);
  /// Where a scan that is made in steps stands.
  struct Stop {
    std::size_t records_max;  ///< to look at in this step
    std::string next;         ///< the record to go on at; "": everything was visited
  };
  /// Visits as Scan does from key record `begin` to `end`, until `visit` answers false or
  /// `stop.records_max` records were looked at. Without a pending batch.
  Status ScanSome(const std::string& begin, const std::string& end, Revision revision,
                  const Visit& visit, Stop& stop);
  /// Visits the keys attached to a lease, in order.
  Status ScanAttachments(std::int64_t lease,
                         const std::function<void(std::string_view key)>& visit);

 private:
  Cursor& KeysCursor();
  Status ScanRecords(Cursor& cursor, const std::string& begin, const std::string& end,
                     Revision revision, const Visit& visit, Stop* stop = nullptr);
  Status ScanOne(std::string_view key, Revision revision, const Visit& visit);

  const storage::Engine& engine_;
  KeyCache& cache_;
  Pending* pending_;
  std::unique_ptr<Cursor> keys_;  // over all keys, shared by the reads of one Apply call
};

}  // namespace coterie::kv
