#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "door/etcd/service.h"
#include "runtime/scope.h"

namespace coterie::door::etcd {

/// One Watch stream: many watchers, numbered by the client or from 0. One task receives requests,
/// one sends. The sender polls ready watchers in turn, a bounded batch each, and waits while the
/// stream's send buffer is full: a slow client costs a cursor per watcher, never a queue of events.
class WatchSession {
 public:
  WatchSession(Shared& shared, net::GrpcStream& stream);
  ~WatchSession();

  /// Serves until the stream must end; the status to end it with.
  runtime::Task<net::GrpcStatus> Run();

 private:
  struct Entry;

  runtime::Task<void> ReceiveRequests();
  runtime::Task<void> SendAnswers();
  /// Moves `entry` to the ready list each time the store says that there may be something for it.
  runtime::Task<void> FollowWakes(Entry* entry);

  void Create(const etcdserverpb::WatchCreateRequest& request);
  void Cancel(std::int64_t id);
  void RefuseCreate(std::string_view reason);
  std::int64_t ChooseId(std::int64_t wanted);
  void MarkReady(Entry& entry);

  /// The messages for the next events of the ready list's first watcher, about `room` bytes; empty
  /// if it had none.
  std::deque<std::string> TakeEvents(std::size_t room);
  void EndCompacted(Entry& entry, const Error& error);
  std::string EncodeEvents(std::int64_t id, kv::Revision revision, std::span<mvccpb::Event> events,
                           bool more_fragments);

  bool Synced(Entry& entry) const;
  /// Answers a progress request if every watcher is synced; true if the sender has something to do.
  bool TakeRequestedProgress();
  /// When the sender must look again though nobody wakes it.
  Instant NextLook() const;
  std::string Progress(std::int64_t id);
  void TakeDueProgress();
  void ScheduleProgress();
  void QueueAnswer(etcdserverpb::WatchResponse response);

  Shared& shared_;
  net::GrpcStream& stream_;
  runtime::Notification work_;  // the sender has something to look at
  runtime::Notification room_;  // answers_ is under its bound again
  runtime::Slot<net::GrpcStatus> done_;
  std::deque<std::string> answers_;  // created, canceled and progress answers, in order
  std::map<std::int64_t, std::unique_ptr<Entry>> entries_;
  runtime::ListNode ready_;  // of Entry: may have events
  std::int64_t next_id_ = 0;
  std::size_t notified_entries_ = 0;  // those with progress_notify
  bool progress_requested_ = false;
  Instant next_progress_ = Instant::max();
  runtime::Scope scope_;  // last: its tasks refer to all of the above
};

}  // namespace coterie::door::etcd
