#include "model/kv/range.h"

#include <algorithm>
#include <limits>
#include <string>

#include "base/assert.h"

namespace coterie::kv {
namespace {

using etcdserverpb::RangeRequest;
using etcdserverpb::RangeResponse;
using KeyValues = google::protobuf::RepeatedPtrField<mvccpb::KeyValue>;

bool Within(Revision revision, Revision min, Revision max) {
  return (min == 0 || revision >= min) && (max == 0 || revision <= max);
}

int Order(RangeRequest::SortTarget target, const mvccpb::KeyValue& a, const mvccpb::KeyValue& b) {
  const auto by = [](std::int64_t x, std::int64_t y) { return x < y ? -1 : x > y ? 1 : 0; };
  switch (target) {
    case RangeRequest::VERSION:
      return by(a.version(), b.version());
    case RangeRequest::CREATE:
      return by(a.create_revision(), b.create_revision());
    case RangeRequest::MOD:
      return by(a.mod_revision(), b.mod_revision());
    case RangeRequest::VALUE:
      return a.value().compare(b.value());
    default:
      return a.key().compare(b.key());
  }
}

}  // namespace

bool HasFilter(const RangeRequest& r) {
  return r.min_mod_revision() != 0 || r.max_mod_revision() != 0 || r.min_create_revision() != 0 ||
         r.max_create_revision() != 0;
}

bool PassesFilter(const RangeRequest& r, const Head& head) {
  return Within(head.mod, r.min_mod_revision(), r.max_mod_revision()) &&
         Within(head.create, r.min_create_revision(), r.max_create_revision());
}

bool IsOrdered(const RangeRequest& request) {
  return request.sort_target() != RangeRequest::KEY ||
         request.sort_order() == RangeRequest::DESCEND;
}

// A target other than the key, with no order given, sorts ascending.
void Sort(const RangeRequest& request, KeyValues& kvs) {
  if (!IsOrdered(request)) return;
  const auto target = request.sort_target();
  const bool descending = request.sort_order() == RangeRequest::DESCEND;
  std::sort(kvs.pointer_begin(), kvs.pointer_end(),
            [&](const mvccpb::KeyValue* a, const mvccpb::KeyValue* b) {
              const int order = Order(target, *a, *b);
              if (order == 0) return a->key() < b->key();
              return descending ? order > 0 : order < 0;
            });
}

bool IsPage(const RangeRequest& r) {
  return r.limit() > 0 && !r.range_end().empty() && r.sort_order() == RangeRequest::NONE &&
         r.sort_target() == RangeRequest::KEY && !HasFilter(r) && !r.count_only();
}

std::optional<std::int64_t> PageCounts::Find(std::string_view key, std::string_view range_end,
                                             Revision at) const {
  for (const Page& page : pages_) {
    if (page.at == at && page.key == key && page.range_end == range_end) return page.count;
  }
  return std::nullopt;
}

void PageCounts::Remember(std::string key, std::string range_end, Revision at, std::int64_t count) {
  COT_ASSERT(count >= 0);
  if (Find(key, range_end, at)) return;
  if (pages_.size() == kPagesMax) pages_.pop_front();
  pages_.push_back({std::move(key), std::move(range_end), at, count});
}

Status CheckRevision(Revision asked, Revision current, Revision compacted) {
  if (asked > current) return Fail(ErrorCode::kFutureRevision, std::to_string(current));
  if (asked > 0 && asked < compacted) return Fail(ErrorCode::kCompacted, std::to_string(compacted));
  return Ok();
}

void SetKeyValue(const VersionView& version, mvccpb::KeyValue& out) {
  COT_ASSERT(version.head.live());
  out.set_key(version.key.data(), version.key.size());
  out.set_create_revision(version.head.create);
  out.set_mod_revision(version.head.mod);
  out.set_version(version.head.version);
  out.set_lease(version.head.lease);
  out.set_value(version.value.data(), version.value.size());
}

// The limit cuts the natural order unless an order or a filter is asked for: then everything is
// gathered, ordered and cut last. A bare sort target (order NONE) sorts what the limit, plus the
// one that proves `more`, let through: so does etcd.
Result<RangeResponse> EvaluateRange(History& history, const RangeRequest& request, Revision current,
                                    PageCounts* pages) {
  COT_ASSERT(request.revision() <= current);
  const Revision at = request.revision() > 0 ? request.revision() : current;
  const bool limit_last = request.sort_order() != RangeRequest::NONE || HasFilter(request);
  const auto limit =
      request.limit() > 0 ? request.limit() : std::numeric_limits<std::int64_t>::max();
  const std::int64_t gather_max =
      limit_last || limit == std::numeric_limits<std::int64_t>::max() ? limit : limit + 1;
  const bool wants_value = !request.keys_only() || request.sort_target() == RangeRequest::VALUE;
  if (!IsPage(request)) pages = nullptr;
  const auto known_count =
      pages != nullptr ? pages->Find(request.key(), request.range_end(), at) : std::nullopt;
  RangeResponse response;
  response.mutable_header()->set_revision(current);
  std::int64_t count = 0;
  COT_TRY(history.Scan(request.key(), request.range_end(), at, [&](const VersionView& version) {
    ++count;
    if (request.count_only() || !PassesFilter(request, version.head)) return true;
    if (!limit_last && response.kvs_size() >= gather_max) return !known_count;
    SetKeyValue(wants_value ? version : VersionView{version.key, version.head, {}},
                *response.add_kvs());
    return true;
  }));
  response.set_count(known_count.value_or(count));
  Sort(request, *response.mutable_kvs());
  if (response.kvs_size() > limit) {
    response.mutable_kvs()->DeleteSubrange(static_cast<int>(limit),
                                           response.kvs_size() - static_cast<int>(limit));
    response.set_more(true);
    if (pages != nullptr) {
      pages->Remember(response.kvs().rbegin()->key() + '\0', request.range_end(), at,
                      response.count() - limit);
    }
  }
  if (request.keys_only() && wants_value) {
    for (auto& kv : *response.mutable_kvs()) kv.clear_value();
  }
  return response;
}

}  // namespace coterie::kv
