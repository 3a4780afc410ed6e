#include "door/etcd/watch.h"

#include <algorithm>
#include <charconv>
#include <span>
#include <utility>

#include "door/etcd/services.h"

namespace coterie::door::etcd {
namespace {

using net::GrpcStatus;
using runtime::Task;

constexpr Duration kSyncedCheckInterval = 100ms;  // while a progress request waits
constexpr std::int64_t kInvalidWatchId = -1;      // of refusals and of answers to progress requests

constexpr std::string_view kEmptyRange = "mvcc: watcher range is empty";
constexpr std::string_view kDuplicateId = "mvcc: duplicate watch ID provided on the WatchStream";
constexpr std::string_view kTooManyWatchers = "mvcc: too many watchers on the WatchStream";

kv::WatchSpec SpecOf(const etcdserverpb::WatchCreateRequest& request) {
  kv::WatchSpec spec;
  // An empty key is the first of all keys [etcd v3rpc/watch.go, recvLoop].
  spec.key = request.key().empty() ? std::string(1, '\0') : request.key();
  spec.range_end = request.range_end();
  spec.start = request.start_revision();
  spec.prev_kv = request.prev_kv();
  for (const int filter : request.filters()) {
    spec.no_put |= filter == etcdserverpb::WatchCreateRequest::NOPUT;
    spec.no_delete |= filter == etcdserverpb::WatchCreateRequest::NODELETE;
  }
  return spec;
}

/// Whether a range can hold a key. "\0" as its end means "to the last key".
bool IsEmptyRange(const kv::WatchSpec& spec) {
  const bool open_ended = spec.range_end == std::string_view("\0", 1);
  return !spec.range_end.empty() && !open_ended && spec.range_end <= spec.key;
}

kv::Revision CompactedRevisionIn(const Error& error) {
  kv::Revision revision = 0;
  std::from_chars(error.message.data(), error.message.data() + error.message.size(), revision);
  return revision;
}

}  // namespace

struct WatchSession::Entry : runtime::ListNode {
  Entry(runtime::Executor& executor, std::int64_t watch_id) : id(watch_id), wake(executor) {}

  const std::int64_t id;
  kv::Revision start = 0;  // as asked for; nothing is known of the watcher's keys before it
  bool fragment = false;
  bool progress_notify = false;
  bool quiet = true;                         // nothing was sent since the last progress turn
  std::optional<kv::Revision> caught_up_at;  // the store's revision when Poll last had nothing
  runtime::Notification wake;
  std::unique_ptr<kv::Watcher> watcher;
  runtime::Scope scope;  // FollowWakes
};

WatchSession::WatchSession(Shared& shared, net::GrpcStream& stream)
    : shared_(shared),
      stream_(stream),
      work_(shared.keyspace.world().executor()),
      room_(shared.keyspace.world().executor()),
      done_(shared.keyspace.world().executor()) {}

WatchSession::~WatchSession() = default;

Task<GrpcStatus> WatchSession::Run() {
  auto refusal = Refusal(shared_, stream_.context(), OnLearner::kRefused);
  if (refusal) co_return std::move(*refusal);
  if (AsksForLeader(stream_.context())) scope_.Spawn(EndWithoutLeader(&shared_, &done_));
  scope_.Spawn(ReceiveRequests());
  scope_.Spawn(SendAnswers());
  GrpcStatus status = co_await done_.Wait();
  co_return status;
}

// ---- requests

Task<void> WatchSession::ReceiveRequests() {
  for (;;) {
    while (answers_.size() >= shared_.options.watch_answers_max) co_await room_.Wait();
    auto message = co_await stream_.Receive();
    if (!message) co_return;  // the client has ended its side; its watchers go on
    etcdserverpb::WatchRequest request;
    if (!Decode(*message, request)) {
      done_.Set(MalformedRequest("WatchRequest"));
      co_return;
    }
    switch (request.request_union_case()) {
      case etcdserverpb::WatchRequest::kCreateRequest:
        Create(request.create_request());
        break;
      case etcdserverpb::WatchRequest::kCancelRequest:
        Cancel(request.cancel_request().watch_id());
        break;
      case etcdserverpb::WatchRequest::kProgressRequest:
        progress_requested_ = true;
        break;
      case etcdserverpb::WatchRequest::REQUEST_UNION_NOT_SET:
        break;  // of a later version: ignored
    }
    work_.NotifyAll();
  }
}

void WatchSession::Create(const etcdserverpb::WatchCreateRequest& request) {
  kv::WatchSpec spec = SpecOf(request);
  if (spec.start < 0) return RefuseCreate(TextOf(EtcdError::kCompacted));
  if (IsEmptyRange(spec)) return RefuseCreate(kEmptyRange);
  if (request.watch_id() != 0 && entries_.contains(request.watch_id()))
    return RefuseCreate(kDuplicateId);
  if (entries_.size() >= shared_.options.watchers_max) return RefuseCreate(kTooManyWatchers);

  const std::int64_t id = ChooseId(request.watch_id());
  auto& slot = entries_[id];
  COT_ASSERT(slot == nullptr);
  slot = std::make_unique<Entry>(shared_.keyspace.world().executor(), id);
  Entry& entry = *slot;
  entry.start = spec.start;
  entry.fragment = request.fragment();
  entry.progress_notify = request.progress_notify();
  etcdserverpb::WatchResponse created;
  created.set_watch_id(id);
  created.set_created(true);
  // The revision the watch starts after: a client that saw no event resumes from it
  // [clientv3/watch.go].
  created.mutable_header()->set_revision(shared_.keyspace.store().revision());
  QueueAnswer(std::move(created));
  entry.watcher = shared_.keyspace.store().Watch(std::move(spec), entry.wake);
  entry.scope.Spawn(FollowWakes(&entry));
  if (entry.watcher->pending()) MarkReady(entry);
  if (entry.progress_notify && notified_entries_++ == 0) ScheduleProgress();
}

std::int64_t WatchSession::ChooseId(std::int64_t wanted) {
  if (wanted != 0) return wanted;
  while (entries_.contains(next_id_)) ++next_id_;
  return next_id_++;
}

void WatchSession::RefuseCreate(std::string_view reason) {
  etcdserverpb::WatchResponse refused;
  refused.mutable_header()->set_revision(shared_.keyspace.store().revision());
  refused.set_watch_id(kInvalidWatchId);
  refused.set_created(true);
  refused.set_canceled(true);
  refused.set_cancel_reason(std::string(reason));
  QueueAnswer(std::move(refused));
}

void WatchSession::Cancel(std::int64_t id) {
  const auto found = entries_.find(id);
  if (found == entries_.end()) return;  // as etcd: no answer
  if (found->second->progress_notify) --notified_entries_;
  entries_.erase(found);
  etcdserverpb::WatchResponse canceled;
  canceled.mutable_header()->set_revision(shared_.keyspace.store().revision());
  canceled.set_watch_id(id);
  canceled.set_canceled(true);
  QueueAnswer(std::move(canceled));
}

void WatchSession::QueueAnswer(etcdserverpb::WatchResponse response) {
  answers_.push_back(Encode(shared_, response));
}

// ---- events

Task<void> WatchSession::FollowWakes(Entry* entry) {
  for (;;) {
    co_await entry->wake.Wait();
    MarkReady(*entry);
    work_.NotifyAll();
  }
}

void WatchSession::MarkReady(Entry& entry) {
  if (!entry.linked()) ready_.PushBack(entry);
}

Task<void> WatchSession::SendAnswers() {
  runtime::Executor& executor = shared_.keyspace.world().executor();
  for (;;) {
    while (!answers_.empty()) {
      std::string answer = std::move(answers_.front());
      answers_.pop_front();
      room_.NotifyAll();
      co_await stream_.Send(std::move(answer));
    }
    if (ready_.front() != nullptr) {
      const std::size_t room = co_await stream_.Room();
      if (ready_.front() == nullptr) continue;  // canceled meanwhile
      std::deque<std::string> messages = TakeEvents(room);
      // A long stretch of history without events for a watcher is not walked in one go.
      if (messages.empty()) co_await runtime::Yield(executor);
      while (!messages.empty()) {
        std::string message = std::move(messages.front());
        messages.pop_front();
        co_await stream_.Send(std::move(message));
      }
      continue;
    }
    if (progress_requested_ && TakeRequestedProgress()) continue;
    if (executor.Now() >= next_progress_) {
      TakeDueProgress();
      continue;
    }
    const Instant look_again = NextLook();
    if (look_again == Instant::max())
      co_await work_.Wait();
    else
      co_await work_.WaitUntil(look_again);
  }
}

std::deque<std::string> WatchSession::TakeEvents(std::size_t room) {
  COT_ASSERT(ready_.front() != nullptr);
  Entry& entry = *static_cast<Entry*>(ready_.front());
  COT_ASSERT(entry.watcher != nullptr);
  entry.Unlink();
  auto polled = entry.watcher->Poll(std::min(room, shared_.options.watch_batch_bytes));
  std::deque<std::string> messages;
  if (!polled) {
    EndCompacted(entry, polled.error());
    return messages;
  }
  if (polled->events.empty() && entry.watcher->pending()) {
    MarkReady(entry);
    return messages;
  }
  if (polled->events.empty()) {
    entry.caught_up_at = shared_.keyspace.store().revision();
    return messages;
  }
  entry.quiet = false;
  if (entry.watcher->pending()) MarkReady(entry);  // behind the others: they have their turn first
  std::span<mvccpb::Event> rest(polled->events);
  const std::size_t bytes_max = shared_.options.watch_fragment_bytes;
  while (!rest.empty()) {
    std::size_t count = rest.size();
    if (entry.fragment) {
      std::size_t bytes = 0;
      for (count = 0; count < rest.size(); ++count) {
        bytes += rest[count].ByteSizeLong();
        if (count > 0 && bytes >= bytes_max) break;
      }
    }
    messages.push_back(
        EncodeEvents(entry.id, polled->revision, rest.first(count), count < rest.size()));
    rest = rest.subspan(count);
  }
  return messages;
}

std::string WatchSession::EncodeEvents(std::int64_t id, kv::Revision revision,
                                       std::span<mvccpb::Event> events, bool more_fragments) {
  etcdserverpb::WatchResponse response;
  response.mutable_header()->set_revision(revision);
  response.set_watch_id(id);
  response.set_fragment(more_fragments);
  response.mutable_events()->Reserve(static_cast<int>(events.size()));
  for (mvccpb::Event& event : events) *response.add_events() = std::move(event);
  return Encode(shared_, response);
}

void WatchSession::EndCompacted(Entry& entry, const Error& error) {
  etcdserverpb::WatchResponse canceled;
  canceled.mutable_header()->set_revision(shared_.keyspace.store().revision());
  canceled.set_watch_id(entry.id);
  canceled.set_canceled(true);
  if (error.code == ErrorCode::kCompacted) {
    canceled.set_compact_revision(CompactedRevisionIn(error));  // which says why, as etcd's
  } else {
    canceled.set_cancel_reason(StatusOf(error).message);
  }
  if (entry.progress_notify) --notified_entries_;
  entries_.erase(entry.id);
  QueueAnswer(std::move(canceled));
}

// ---- progress: "you have seen everything up to this revision"

bool WatchSession::Synced(Entry& entry) const {
  const kv::Revision now = shared_.keyspace.store().revision();
  if (entry.linked() || now < entry.start) return false;
  return !entry.watcher->pending() || entry.caught_up_at == now;
}

bool WatchSession::TakeRequestedProgress() {
  bool all_synced = true;
  for (const auto& [id, entry] : entries_) {
    if (Synced(*entry)) continue;
    all_synced = false;
    if (entry->watcher->pending()) MarkReady(*entry);
  }
  if (!all_synced) return ready_.front() != nullptr;
  progress_requested_ = false;
  // As etcd: with no watcher there is no progress to speak of.
  if (!entries_.empty()) answers_.push_back(Progress(kInvalidWatchId));
  return true;
}

Instant WatchSession::NextLook() const {
  // A watcher that starts in the future becomes synced without an event, hence without a wake.
  if (!progress_requested_) return next_progress_;
  return std::min(next_progress_, shared_.keyspace.world().Now() + kSyncedCheckInterval);
}

std::string WatchSession::Progress(std::int64_t id) {
  etcdserverpb::WatchResponse response;
  response.mutable_header()->set_revision(shared_.keyspace.store().revision());
  response.set_watch_id(id);
  return Encode(shared_, response);
}

void WatchSession::TakeDueProgress() {
  for (const auto& [id, entry] : entries_) {
    if (!entry->progress_notify) continue;
    // Events say as much: a watcher that had some since the last turn needs no notice.
    if (entry->quiet && Synced(*entry)) answers_.push_back(Progress(id));
    entry->quiet = true;
  }
  ScheduleProgress();
}

void WatchSession::ScheduleProgress() {
  if (notified_entries_ == 0) {
    next_progress_ = Instant::max();
    return;
  }
  const Duration interval = shared_.options.watch_progress_interval;
  const auto jitter_max = static_cast<std::uint64_t>(interval.count() / 10) + 1;
  const auto jitter =
      static_cast<std::int64_t>(shared_.keyspace.world().random().Below(jitter_max));
  next_progress_ = shared_.keyspace.world().Now() + interval + Duration(jitter);
}

// ---- the service

namespace {

Task<GrpcStatus> Watch(Shared& shared, net::GrpcStream& stream) {
  WatchSession session(shared, stream);
  GrpcStatus status = co_await session.Run();
  co_return status;
}

}  // namespace

void RegisterWatch(Shared& shared, net::GrpcMethods& methods) {
  methods.Streaming("/etcdserverpb.Watch/Watch",
                    [&shared](net::GrpcStream& stream) { return Watch(shared, stream); });
}

}  // namespace coterie::door::etcd
