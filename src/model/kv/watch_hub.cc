#include "model/kv/watch_hub.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "model/kv/history.h"
#include "model/kv/range.h"
#include "model/kv/state.h"

namespace coterie::kv {

namespace {
// A watcher that is far behind and whose keys rarely change looks at so much of the log at a time.
constexpr std::size_t kRecordsPerPoll = 4096;
}  // namespace

void WatchHub::Publish(std::vector<RecentEvent> events, Revision revision) {
  for (RecentEvent& event : events) {
    COT_ASSERT(event.revision <= revision);
    COT_ASSERT(recent_.empty() || recent_.back().revision <= event.revision);
    if (const auto found = by_key_.find(event.key); found != by_key_.end()) {
      for (WatchCursor* watcher : found->second) watcher->OnEvent(event);
    }
    if (!by_range_.empty()) {
      by_range_.Stab(event.key, [&](WatchCursor* watcher) { watcher->OnEvent(event); });
    }
    bytes_ += event.bytes();
    recent_.push_back(std::move(event));
  }
  Trim();
}

// Only whole revisions go, so that a reader of the ring never sees half of one.
void WatchHub::Trim() {
  while (bytes_ > bytes_max_ && !recent_.empty()) {
    const Revision oldest = recent_.front().revision;
    while (!recent_.empty() && recent_.front().revision == oldest) {
      bytes_ -= recent_.front().bytes();
      recent_.pop_front();
    }
    COT_ASSERT(recent_from_ <= oldest);
    recent_from_ = oldest + 1;
  }
}

void WatchHub::OnLoad(Revision revision_before, Revision revision) {
  recent_.clear();
  bytes_ = 0;
  recent_from_ = revision + 1;
  for (const auto& [id, watcher] : watchers_) watcher->OnLoad(revision_before);
}

void WatchHub::Add(WatchCursor& watcher, Revision revision) {
  COT_ASSERT(watcher.id_ == 0);
  if (watchers_.empty()) {
    recent_.clear();
    bytes_ = 0;
    recent_from_ = revision + 1;
  }
  watcher.id_ = next_id_++;
  watchers_.emplace(watcher.id_, &watcher);
  const WatchSpec& spec = watcher.spec_;
  if (spec.range_end.empty()) {
    by_key_[spec.key].push_back(&watcher);
  } else {
    by_range_.Insert(spec.key, spec.range_end, watcher.id_, &watcher);
  }
}

void WatchHub::Remove(WatchCursor& watcher) {
  const std::size_t erased = watchers_.erase(watcher.id_);
  COT_ASSERT(erased == 1);
  const WatchSpec& spec = watcher.spec_;
  if (!spec.range_end.empty()) return by_range_.Remove(spec.key, watcher.id_);
  const auto found = by_key_.find(spec.key);
  COT_ASSERT(found != by_key_.end());
  std::erase(found->second, &watcher);
  if (found->second.empty()) by_key_.erase(found);
}

WatchCursor::WatchCursor(StoreState& state, WatchSpec spec, runtime::Notification& wake)
    : state_(state), spec_(std::move(spec)), wake_(wake) {
  const Revision revision = state_.meta.revision;
  if (spec_.key.empty()) spec_.key = std::string(1, '\0');
  next_ = spec_.start > 0 ? spec_.start : revision + 1;
  compacted_ = next_ < state_.meta.compacted;
  pending_ = next_ <= revision;
  state_.hub.Add(*this, revision);
}

WatchCursor::~WatchCursor() { state_.hub.Remove(*this); }

Revision WatchCursor::synced_to() const {
  if (pending_) return next_ - 1;
  return next_ > state_.meta.revision + 1 ? 0 : state_.meta.revision;
}

void WatchCursor::OnEvent(const RecentEvent& event) {
  if (pending_ || event.revision < next_ || !Wants(event.put)) return;
  pending_ = true;
  next_ = event.revision;
  wake_.NotifyAll();
}

void WatchCursor::OnLoad(Revision revision_before) {
  if (pending_) return;
  next_ = std::max(next_, revision_before + 1);
  if (next_ > state_.meta.revision) return;
  pending_ = true;
  wake_.NotifyAll();
}

bool WatchCursor::Matches(std::string_view key) const {
  if (spec_.range_end.empty()) return key == spec_.key;
  if (key < std::string_view(spec_.key)) return false;
  return spec_.range_end == std::string_view("\0", 1) || key < std::string_view(spec_.range_end);
}

std::unexpected<Error> WatchCursor::Compacted() const {
  return Fail(ErrorCode::kCompacted, std::to_string(state_.meta.compacted));
}

Result<Watcher::Events> WatchCursor::Poll(std::size_t bytes_max) {
  if (compacted_) return Compacted();
  Events out;
  out.revision = state_.meta.revision;
  std::size_t bytes = 0;
  std::size_t left = kRecordsPerPoll;
  while (pending_ && out.events.empty() && left > 0) {
    if (next_ >= state_.hub.recent_from()) {
      COT_TRY(ReadRing(bytes_max, bytes, out));
    } else if (next_ < state_.meta.compacted) {
      compacted_ = true;
      return Compacted();
    } else {
      COT_TRY(ReadEngine(bytes_max, left, bytes, out));
    }
    COT_ASSERT(next_ <= state_.meta.revision + 1);
    pending_ = next_ <= state_.meta.revision;
  }
  return out;
}

Status WatchCursor::ReadRing(std::size_t bytes_max, std::size_t& bytes, Events& out) {
  const auto& recent = state_.hub.recent();
  auto at = std::lower_bound(recent.begin(), recent.end(), next_,
                             [](const RecentEvent& e, Revision r) { return e.revision < r; });
  for (; at != recent.end(); ++at) {
    if (at->revision != next_ && bytes >= bytes_max && !out.events.empty()) {
      next_ = at->revision;
      return Ok();
    }
    next_ = at->revision;
    if (Matches(at->key) && Wants(at->put)) COT_TRY(Append(*at, bytes, out));
  }
  next_ = state_.meta.revision + 1;
  return Ok();
}

Status WatchCursor::ReadEngine(std::size_t bytes_max, std::size_t& left, std::size_t& bytes,
                               Events& out) {
  const Revision upto = std::min(state_.hub.recent_from(), state_.meta.revision + 1);
  COT_ASSERT(next_ < upto);
  History history(*state_.engine, state_.cache, nullptr);
  const auto at =
      state_.engine->Iterate(layout::EventRecord(next_, 0), layout::EventRecord(upto, 0));
  for (at->SeekToFirst(); at->Valid(); at->Next()) {
    const auto position = layout::ParseEventRecord(at->key());
    const auto event =
        position ? layout::ParseEvent(position->revision, at->value()) : std::nullopt;
    if (!event) return Fail(ErrorCode::kCorruptState, "kv: event record");
    const bool enough = left == 0 || (bytes >= bytes_max && !out.events.empty());
    if (position->revision != next_ && enough) {
      next_ = position->revision;
      return Ok();
    }
    next_ = position->revision;
    if (left > 0) --left;
    if (!Matches(event->key) || !Wants(event->put)) continue;
    RecentEvent full{.revision = position->revision,
                     .put = event->put,
                     .prev_mod = event->prev_mod,
                     .head = {},
                     .key = std::string(event->key),
                     .value = {}};
    if (full.put) {
      COT_ASSIGN(auto version, history.VersionAt(full.key, full.revision));
      if (!version) return Fail(ErrorCode::kCorruptState, "kv: event without its version");
      full.head = version->head;
      full.value = std::move(version->value);
    }
    COT_TRY(Append(full, bytes, out));
  }
  COT_TRY(at->status());
  next_ = upto;
  return Ok();
}

// A deletion carries its key and revision only. The previous version is what could be read one
// revision earlier: nothing on creation, nothing if that is compacted.
Status WatchCursor::Append(const RecentEvent& event, std::size_t& bytes, Events& out) {
  mvccpb::Event& made = out.events.emplace_back();
  made.set_type(event.put ? mvccpb::Event::PUT : mvccpb::Event::DELETE);
  mvccpb::KeyValue& kv = *made.mutable_kv();
  kv.set_key(event.key);
  kv.set_mod_revision(event.revision);
  if (event.put) {
    kv.set_create_revision(event.head.create);
    kv.set_version(event.head.version);
    kv.set_lease(event.head.lease);
    kv.set_value(event.value);
  }
  bytes += event.key.size() + event.value.size() + 32;
  if (!spec_.prev_kv || event.prev_mod == 0 || event.revision - 1 < state_.meta.compacted)
    return Ok();
  History history(*state_.engine, state_.cache, nullptr);
  COT_ASSIGN(const auto prev, history.VersionAt(event.key, event.prev_mod));
  if (!prev) return Fail(ErrorCode::kCorruptState, "kv: a live version has no record");
  SetKeyValue({event.key, prev->head, prev->value}, *made.mutable_prev_kv());
  bytes += event.key.size() + prev->value.size() + 32;
  return Ok();
}

}  // namespace coterie::kv
