#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/scope.h"
#include "runtime/sync.h"
#include "runtime/task.h"

namespace coterie::door::redis {

namespace internal {
template <class T>
runtime::Task<void> Into(runtime::Task<T> task, std::optional<T>* into, std::size_t* left,
                         runtime::Notification* done) {
  *into = co_await std::move(task);
  if (--*left == 0) done->NotifyAll();
}
}  // namespace internal

/// Runs `tasks` at the same time and answers their values in the same order.
template <class T>
runtime::Task<std::vector<T>> All(runtime::Executor& executor,
                                  std::vector<runtime::Task<T>> tasks) {
  std::vector<std::optional<T>> values(tasks.size());
  std::size_t left = tasks.size();
  runtime::Notification done(executor);
  runtime::Scope scope;  // destroyed before what its tasks write to
  for (std::size_t i = 0; i < tasks.size(); ++i)
    scope.Spawn(internal::Into<T>(std::move(tasks[i]), &values[i], &left, &done));
  while (left > 0) co_await done.Wait();
  std::vector<T> all;
  all.reserve(values.size());
  for (std::optional<T>& value : values) all.push_back(std::move(*value));
  co_return all;
}

/// The encoded elements of a reply that is an array, and no null; nullopt if it is anything else.
/// Elements may be nested kArrayDepthMax deep.
constexpr int kArrayDepthMax = 8;
std::optional<std::vector<std::string_view>> ElementsOf(std::string_view reply);
/// The bytes of an encoded bulk string; "" if it is none.
std::string_view BytesOf(std::string_view bulk);
/// The value of an encoded integer; nullopt if it is none.
std::optional<std::int64_t> IntegerOf(std::string_view reply);

}  // namespace coterie::door::redis
