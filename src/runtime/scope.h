#pragma once

#include <functional>

#include "runtime/executor.h"
#include "runtime/task.h"

namespace coterie::runtime {

/// Owns running background tasks. Destroying it destroys the frames that have not finished,
/// innermost first, which withdraws their timers and queued resumptions. There are no detached
/// tasks.
///
/// Single reactor. Must not be destroyed from inside one of its own tasks.
class Scope {
 public:
  Scope() = default;
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  ~Scope() { Cancel(); }

  /// Starts `task` at once, on this call's stack, until its first suspension.
  void Spawn(Task<void> task);
  /// Destroys every unfinished task. The scope may be used again.
  void Cancel();
  bool empty() const { return count_ == 0; }
  std::size_t size() const { return count_; }

 private:
  struct Frame;
  ListNode frames_;
  std::size_t count_ = 0;
};

}  // namespace coterie::runtime
