#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/kv/history.h"
#include "model/kv/state.h"

namespace coterie::kv {

/// The changes of one Apply call: gathers their records in one batch, counts revisions, and lets
/// every command read what those before it did.
class Writer {
 public:
  explicit Writer(StoreState& state)
      : state_(state), history_(*state.engine, state.cache, &pending_) {}
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  StoreState& state() { return state_; }
  History& history() { return history_; }
  /// Changes of keys so far.
  std::uint64_t changed() const { return changed_; }
  /// What the command under way reads: the last revision, or its own once it has changed something.
  Revision current() const { return state_.meta.revision + (changes_ > 0 ? 1 : 0); }
  /// The revision of what the command under way changes.
  Revision next() const { return state_.meta.revision + 1; }

  /// `old`: the key's newest version. At most one change of a key per command.
  void Put(std::string_view key, std::string_view value, const Head& old, std::int64_t lease);
  void Delete(std::string_view key, const Head& old);
  void GrantLease(std::int64_t id, std::int64_t ttl_seconds, LogIndex index);
  void RevokeLease(std::int64_t id);
  /// The command is over; if it changed a key it has made a revision.
  void EndCommand();

  /// Writes it all, with the applied position, and tells watchers. Errors: the Engine's.
  Status Commit(LogIndex index, Term term);

 private:
  void Record(std::string_view key, const Head& old, const Head& head, std::string_view value);

  StoreState& state_;
  Pending pending_;
  History history_;
  std::uint32_t changes_ = 0;  // of the command under way
  std::uint64_t changed_ = 0;  // of all commands
  std::vector<RecentEvent> events_;
};

}  // namespace coterie::kv
