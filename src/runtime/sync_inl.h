#pragma once

#include "runtime/scope.h"
#include "runtime/sync.h"

namespace coterie::runtime {

namespace internal {
template <class T>
Task<void> FillSlot(Task<T> task, Slot<T>* slot) {
  slot->Set(co_await std::move(task));
}
}  // namespace internal

template <class T>
Task<std::optional<T>> WithDeadline(Executor& executor, Task<T> task, Instant deadline) {
  Slot<T> slot(executor);
  Scope scope;  // destroyed before the slot
  scope.Spawn(internal::FillSlot<T>(std::move(task), &slot));
  auto result = co_await slot.WaitUntil(deadline);
  co_return result;
}

}  // namespace coterie::runtime
