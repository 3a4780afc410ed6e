#include "model/kv/range_reader.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "base/assert.h"
#include "base/coding.h"
#include "model/kv/range.h"
#include "model/kv/state.h"

namespace coterie::kv {
namespace {

using etcdserverpb::RangeRequest;

// Field numbers of RangeResponse and of KeyValue (etcd/rpc.proto, etcd/kv.proto).
enum ResponseField : unsigned { kKvs = 2, kMore = 3, kCount = 4 };
enum KeyValueField : unsigned { kKey = 1, kCreate, kMod, kVersion, kValue, kLease };
constexpr unsigned kWireVarint = 0;
constexpr unsigned kWireBytes = 2;

// So many are put in order in passing; more are work for another thread.
constexpr int kOrderedInPassing = 4096;

void PutTag(std::string& out, unsigned field, unsigned wire) {
  out.push_back(static_cast<char>(field << 3 | wire));
}
void PutNumber(std::string& out, unsigned field, std::int64_t value) {
  if (value == 0) return;
  PutTag(out, field, kWireVarint);
  PutVarint(out, static_cast<std::uint64_t>(value));
}
void PutBytes(std::string& out, unsigned field, std::string_view value) {
  if (value.empty()) return;
  PutTag(out, field, kWireBytes);
  PutLengthPrefixed(out, value);
}

/// Appends a version to a serialized RangeResponse; `scratch` is for its use.
void AppendKeyValue(std::string& out, std::string& scratch, const VersionView& version) {
  scratch.clear();
  PutBytes(scratch, kKey, version.key);
  PutNumber(scratch, kCreate, version.head.create);
  PutNumber(scratch, kMod, version.head.mod);
  PutNumber(scratch, kVersion, version.head.version);
  PutBytes(scratch, kValue, version.value);
  PutNumber(scratch, kLease, version.head.lease);
  PutTag(out, kKvs, kWireBytes);
  PutLengthPrefixed(out, scratch);
}

VersionView ViewOf(const mvccpb::KeyValue& kv) {
  return {kv.key(),
          {.mod = kv.mod_revision(),
           .create = kv.create_revision(),
           .version = kv.version(),
           .lease = kv.lease()},
          kv.value()};
}

/// What is to be put in order, and its size once serialized. Shared with the thread that does it.
struct Gathered {
  google::protobuf::RepeatedPtrField<mvccpb::KeyValue> kvs;
  std::size_t bytes = 0;

  void Order(const RangeRequest& request, std::int64_t limit) {
    Sort(request, kvs);
    if (kvs.size() <= limit) return;
    kvs.DeleteSubrange(static_cast<int>(limit), kvs.size() - static_cast<int>(limit));
  }
  void Finish(const RangeRequest& request, std::int64_t limit) {
    Order(request, limit);
    std::string out;
    std::string scratch;
    bytes = 0;
    for (auto& kv : kvs) {
      if (request.keys_only()) kv.clear_value();
      out.clear();
      AppendKeyValue(out, scratch, ViewOf(kv));
      bytes += out.size();
    }
  }
};

}  // namespace

/// The same answers as EvaluateRange gives, which takes one turn for all of it.
struct RangeReader::State {
  State(StoreState& s, RangeRequest r, RangeReaderOptions o)
      : store(s),
        request(std::move(r)),
        options(o),
        loads(s.leases.loads()),
        current(s.meta.revision),
        at(request.revision() > 0 ? request.revision() : current),
        pin(s.read_at.insert(at)),
        begin(layout::KeyPrefix(request.key())),
        end(request.range_end().empty() ? layout::AfterVersions(begin)
                                        : layout::KeyRangeEnd(request.range_end())),
        ordered(IsOrdered(request)),
        limit(request.limit() > 0 ? request.limit() : std::numeric_limits<std::int64_t>::max()),
        next(begin) {
    if (IsPage(request)) {
      known_count = store.pages.Find(request.key(), request.range_end(), at);
    }
  }
  ~State() { store.read_at.erase(pin); }

  Result<bool> Step(const History::Visit& visit);
  bool Measures(const VersionView& version);
  void Gather(const VersionView& version);
  void KeepFirst();
  void Finish();
  std::string Tail() const;

  StoreState& store;
  const RangeRequest request;
  const RangeReaderOptions options;
  const std::uint64_t loads;
  const Revision current;
  const Revision at;
  const std::multiset<Revision>::iterator pin;
  const std::string begin;
  const std::string end;
  const bool ordered;
  const std::int64_t limit;
  std::optional<std::int64_t> known_count;

  std::string next;  // the record to go on at
  std::string scratch;
  std::string last_key;
  std::int64_t count = 0;
  std::int64_t taken = 0;  // that pass; of them `limit` are answered
  std::size_t kv_bytes = 0;
  bool holding = true;
  std::string held;  // what was encoded, while it is little
  std::shared_ptr<Gathered> gathered = std::make_shared<Gathered>();  // if ordered
  std::size_t gathered_bytes = 0;
  bool measured = false;
  // While it is sent:
  std::int64_t sent = 0;
  std::size_t sent_bytes = 0;
  bool tail_sent = false;
};

/// Visits from `next` on; true at the end.
Result<bool> RangeReader::State::Step(const History::Visit& visit) {
  if (loads != store.leases.loads() && at < store.meta.compacted) {
    return Fail(ErrorCode::kCompacted, std::to_string(store.meta.compacted));
  }
  History history(*store.engine, store.cache, nullptr);
  History::Stop stop{.records_max = options.records_per_step, .next = {}};
  COT_TRY(history.ScanSome(next, end, at, visit, stop));
  next = std::move(stop.next);
  return next.empty();
}

/// False: enough for now, or for good.
bool RangeReader::State::Measures(const VersionView& version) {
  ++count;
  if (request.count_only() || !PassesFilter(request, version.head)) return true;
  // A bare sort target sorts what the limit, and the one that proves `more`, let through.
  const bool cut_first = request.sort_order() == RangeRequest::NONE && !HasFilter(request);
  if (ordered) {
    if (!cut_first || taken <= limit) Gather(version);
    ++taken;
    return true;
  }
  ++taken;
  if (taken > limit) return !known_count;
  if (taken == limit) last_key = version.key;
  const std::size_t before = held.size();
  AppendKeyValue(held, scratch,
                 request.keys_only() ? VersionView{version.key, version.head, {}} : version);
  kv_bytes += held.size() - before;
  if (!holding) held.clear();
  return true;
}

void RangeReader::State::Gather(const VersionView& version) {
  const bool wants_value = !request.keys_only() || request.sort_target() == RangeRequest::VALUE;
  SetKeyValue(wants_value ? version : VersionView{version.key, version.head, {}},
              *gathered->kvs.Add());
  gathered_bytes += version.key.size() + (wants_value ? version.value.size() : 0) + 64;
  // Only the first `limit` of the order count: what is behind them need not be kept.
  if (gathered->kvs.size() > 2 * std::min<std::int64_t>(limit, kOrderedInPassing) &&
      limit < kOrderedInPassing) {
    KeepFirst();
  }
}

void RangeReader::State::KeepFirst() {
  gathered->Order(request, limit);
  gathered_bytes = 0;
  for (const auto& kv : gathered->kvs) gathered_bytes += kv.key().size() + kv.value().size() + 64;
}

/// Everything was seen.
void RangeReader::State::Finish() {
  measured = true;
  if (ordered) return;
  count = known_count.value_or(count);
  if (IsPage(request) && taken > limit) {
    store.pages.Remember(last_key + '\0', request.range_end(), at, count - limit);
  }
  next = begin;
}

std::string RangeReader::State::Tail() const {
  std::string tail;
  PutNumber(tail, kMore, !request.count_only() && taken > limit ? 1 : 0);
  PutNumber(tail, kCount, count);
  return tail;
}

RangeReader::RangeReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
RangeReader::~RangeReader() = default;

Result<std::unique_ptr<RangeReader>> RangeReader::Open(const Store& store, RangeRequest request,
                                                       RangeReaderOptions options) {
  const layout::Meta& meta = store.state_->meta;
  COT_TRY(CheckRevision(request.revision(), meta.revision, meta.compacted));
  return std::unique_ptr<RangeReader>(
      new RangeReader(std::make_unique<State>(*store.state_, std::move(request), options)));
}

Revision RangeReader::store_revision() const { return state_->current; }

Result<bool> RangeReader::Measure() {
  State& s = *state_;
  COT_ASSERT(!s.measured);
  const std::size_t stop_at = s.kv_bytes + s.gathered_bytes + s.options.bytes_per_step;
  bool enough = false;
  COT_ASSIGN(const bool end, s.Step([&](const VersionView& version) {
    if (!s.Measures(version)) {
      enough = true;
      return false;
    }
    return s.kv_bytes + s.gathered_bytes < stop_at;
  }));
  if (s.holding && s.held.size() > s.options.held_bytes_max) {
    s.holding = false;
    s.held = {};
  }
  if (s.gathered_bytes > s.options.ordered_bytes_max || s.kv_bytes > s.options.answer_bytes_max) {
    return Fail(ErrorCode::kTooLarge, "the answer of a range");
  }
  if (end || enough) s.Finish();
  return s.measured;
}

std::function<void()> RangeReader::OrderWork() {
  State& s = *state_;
  COT_ASSERT(s.measured);
  if (!s.ordered) return nullptr;
  // Owns what it works on: whoever asked may be gone before it is done.
  auto work = [gathered = s.gathered, request = s.request, limit = s.limit] {
    gathered->Finish(request, limit);
  };
  if (s.gathered->kvs.size() > kOrderedInPassing) return work;
  work();
  return nullptr;
}

std::size_t RangeReader::bytes() const {
  const State& s = *state_;
  COT_ASSERT(s.measured);
  return (s.ordered ? s.gathered->bytes : s.kv_bytes) + s.Tail().size();
}

Result<std::optional<std::string>> RangeReader::NextPart() {
  State& s = *state_;
  COT_ASSERT(s.measured);
  if (s.tail_sent) return std::nullopt;
  std::string part;
  bool end = true;
  if (s.ordered) {
    const auto& kvs = s.gathered->kvs;
    while (s.sent < kvs.size() && part.size() < s.options.bytes_per_step) {
      AppendKeyValue(part, s.scratch, ViewOf(kvs.Get(static_cast<int>(s.sent++))));
    }
    end = s.sent == kvs.size();
  } else if (s.holding) {
    part = std::move(s.held);
  } else {
    COT_ASSIGN(const bool scanned, s.Step([&](const VersionView& version) {
      if (s.sent == s.limit) return false;
      if (!PassesFilter(s.request, version.head)) return true;
      ++s.sent;
      AppendKeyValue(part, s.scratch,
                     s.request.keys_only() ? VersionView{version.key, version.head, {}} : version);
      return part.size() < s.options.bytes_per_step;
    }));
    s.sent_bytes += part.size();
    end = scanned || s.sent_bytes >= s.kv_bytes;
    // The state is not what was measured: damage, or another engine's.
    const bool differs = s.sent_bytes > s.kv_bytes || (end && s.sent_bytes < s.kv_bytes);
    if (differs) return Fail(ErrorCode::kCorruptState, "kv: a range was read twice and differs");
  }
  if (end) {
    part += s.Tail();
    s.tail_sent = true;
  }
  return std::optional(std::move(part));
}

}  // namespace coterie::kv
