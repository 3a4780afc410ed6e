#pragma once

#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "etcd/rpc.pb.h"
#include "model/kv/history.h"
#include "model/kv/layout.h"

namespace coterie::kv {

/// Whether `asked` (<= 0: now) can be read. Errors: kFutureRevision, kCompacted, each with the
/// bound.
Status CheckRevision(Revision asked, Revision current, Revision compacted);

/// How many keys are left behind the pages that readers are at. etcd's count is exact, so a page of
/// a long list would cost a scan of all that follows; at a fixed revision it is the last page's
/// count less that page. Bounded: the oldest of kPagesMax goes first.
class PageCounts {
 public:
  std::optional<std::int64_t> Find(std::string_view key, std::string_view range_end,
                                   Revision at) const;
  void Remember(std::string key, std::string range_end, Revision at, std::int64_t count);
  void Clear() { pages_.clear(); }

 private:
  static constexpr std::size_t kPagesMax = 64;
  struct Page {
    std::string key;
    std::string range_end;
    Revision at;
    std::int64_t count;
  };
  std::deque<Page> pages_;
};

/// Whether the order of the answer is not that of the keys.
bool IsOrdered(const etcdserverpb::RangeRequest& request);
/// Whether a version passes the request's bounds of revisions.
bool PassesFilter(const etcdserverpb::RangeRequest& request, const Head& head);
bool HasFilter(const etcdserverpb::RangeRequest& request);
/// Whether the next page continues right behind this one's last key.
bool IsPage(const etcdserverpb::RangeRequest& request);
/// Puts `kvs` into the order asked for.
void Sort(const etcdserverpb::RangeRequest& request,
          google::protobuf::RepeatedPtrField<mvccpb::KeyValue>& kvs);

/// Answers `request`, whose revision was checked, with the store at `current`; sets
/// header.revision. `pages` nullptr: none are remembered, as for a state that is not applied yet.
Result<etcdserverpb::RangeResponse> EvaluateRange(History& history,
                                                  const etcdserverpb::RangeRequest& request,
                                                  Revision current, PageCounts* pages);

/// Fills `out` with a version as clients see it.
void SetKeyValue(const VersionView& version, mvccpb::KeyValue& out);

}  // namespace coterie::kv
