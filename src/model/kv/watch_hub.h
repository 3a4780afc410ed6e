#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "model/kv/layout.h"
#include "model/kv/range_index.h"
#include "model/kv/store.h"

namespace coterie::kv {

struct StoreState;

/// One change as watchers see it.
struct RecentEvent {
  Revision revision;
  bool put;
  Revision prev_mod;  ///< of the live version it replaced; 0: there was none
  Head head;
  std::string key;
  std::string value;
  std::size_t bytes() const { return sizeof(RecentEvent) + key.size() + value.size(); }
};

/// A watcher's place in the history. Between matching events it stands still and counts as caught
/// up; the first matching event makes it pending and remembers where.
class WatchCursor final : public Watcher {
 public:
  WatchCursor(StoreState& state, WatchSpec spec, runtime::Notification& wake);
  ~WatchCursor() override;
  Result<Events> Poll(std::size_t bytes_max) override;
  bool pending() const override { return pending_; }
  Revision synced_to() const override;

 private:
  friend class WatchHub;
  void OnEvent(const RecentEvent& event);
  void OnLoad(Revision revision_before);
  bool Wants(bool put) const { return put ? !spec_.no_put : !spec_.no_delete; }
  bool Matches(std::string_view key) const;
  std::unexpected<Error> Compacted() const;
  Status ReadRing(std::size_t bytes_max, std::size_t& bytes, Events& out);
  /// Looks at about `left` records, which it counts down.
  Status ReadEngine(std::size_t bytes_max, std::size_t& left, std::size_t& bytes, Events& out);
  Status Append(const RecentEvent& event, std::size_t& bytes, Events& out);

  StoreState& state_;
  WatchSpec spec_;
  runtime::Notification& wake_;
  std::uint64_t id_ = 0;  // in the hub
  Revision next_ = 0;     // pending: the first revision not yet polled; else: the first one wanted
  bool pending_ = false;
  bool compacted_ = false;  // finished
};

/// Recent events, and who watches which keys. While nobody watches, no events are kept.
class WatchHub {
 public:
  explicit WatchHub(std::size_t bytes_max) : bytes_max_(bytes_max) {}
  WatchHub(const WatchHub&) = delete;
  WatchHub& operator=(const WatchHub&) = delete;

  bool watched() const { return !watchers_.empty(); }
  /// Takes the events of one Apply call, whole revisions in order, and wakes who watches their
  /// keys. `revision`: the store's, now.
  void Publish(std::vector<RecentEvent> events, Revision revision);
  /// Another state was loaded: nothing recent is known, and watchers read on in the Engine.
  void OnLoad(Revision revision_before, Revision revision);

  void Add(WatchCursor& watcher, Revision revision);
  void Remove(WatchCursor& watcher);

  /// Every event from this revision on is in recent().
  Revision recent_from() const { return recent_from_; }
  const std::deque<RecentEvent>& recent() const { return recent_; }

 private:
  void Trim();

  std::size_t bytes_max_;
  std::size_t bytes_ = 0;
  std::deque<RecentEvent> recent_;
  Revision recent_from_ = 0;
  std::uint64_t next_id_ = 1;
  std::map<std::uint64_t, WatchCursor*> watchers_;
  std::unordered_map<std::string, std::vector<WatchCursor*>> by_key_;  // looked up, never iterated
  RangeIndex by_range_;
};

}  // namespace coterie::kv
