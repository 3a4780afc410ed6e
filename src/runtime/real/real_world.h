#pragma once

#include <memory>
#include <optional>

#include "base/status.h"
#include "runtime/real/offload_pool.h"
#include "runtime/real/reactor.h"
#include "runtime/real/real_disk.h"
#include "runtime/real/real_network.h"
#include "runtime/real/wall_clock.h"
#include "runtime/scope.h"
#include "runtime/sync.h"
#include "runtime/world.h"

namespace coterie::runtime {

struct RealOptions {
  LogLevel log_minimum = LogLevel::kInfo;
  Logger::Sink log_sink;         ///< where log lines go; stderr with the date if empty
  std::size_t pool_threads = 2;  ///< for blocking work
  /// Blocks SIGINT and SIGTERM and delivers them to WaitSignal. The mask is inherited by child
  /// processes: reset it before exec. Otherwise they end the process as usual.
  bool handle_signals = false;
};

/// The machine as a World: one epoll loop on the thread that calls Run, and a small pool for
/// blocking work. Ignores SIGPIPE for the process. All frames that use it must be destroyed before
/// it.
class RealWorld final : public World {
 public:
  /// Errors: kIo.
  static Result<std::unique_ptr<RealWorld>> Create(RealOptions options = {});
  ~RealWorld() override;

  Executor& executor() override { return reactor_; }
  WallInterval WallNow() override { return wall_clock_.Read(); }
  Random& random() override { return random_; }
  Network& network() override { return network_; }
  Disk& disk() override { return disk_; }
  Logger& log() override { return log_; }
  ProcessUsage Usage() override;
  Task<void> Offload(std::function<void()> work) override;
  /// Logs `reason` and ends the process with exit code 70 at once; nothing is flushed or unwound.
  [[noreturn]] void Crash(std::string_view reason) override;

  /// Runs the loop until Stop.
  void Run() { reactor_.Run(); }
  /// Runs the loop until `*done` is true at the end of a turn, or Stop.
  void RunUntil(const bool* done) { reactor_.Run(done); }
  /// Ends Run at the end of its turn. The only call that may be made on another thread.
  void Stop() { reactor_.Stop(); }
  /// The next SIGINT or SIGTERM. Requires: handle_signals.
  Task<int> WaitSignal();

 private:
  class Signals;

  RealWorld(RealOptions options, std::uint64_t seed);

  Reactor reactor_;
  std::unique_ptr<Signals> signals_;  // before the pool: its threads inherit the signal mask
  OffloadPool pool_;
  Logger log_;
  Random random_;
  RealNetwork network_;
  RealDisk disk_;
  WallClock wall_clock_;
};

namespace internal {

template <class T>
Task<void> RunInto(Task<T> task, std::optional<T>* result, bool* done) {
  result->emplace(co_await std::move(task));
  *done = true;
}
inline Task<void> RunToEnd(Task<void> task, bool* done) {
  co_await std::move(task);
  *done = true;
}

}  // namespace internal

/// Runs `world` until `task` has ended, and answers its value: for main(), the command line and
/// tests. A Stop meanwhile has no effect.
template <class T>
T BlockOn(RealWorld& world, Task<T> task) {
  bool done = false;
  Scope scope;
  if constexpr (std::is_void_v<T>) {
    scope.Spawn(internal::RunToEnd(std::move(task), &done));
    while (!done) world.RunUntil(&done);
  } else {
    std::optional<T> result;
    scope.Spawn(internal::RunInto<T>(std::move(task), &result, &done));
    while (!done) world.RunUntil(&done);
    return std::move(*result);
  }
}

}  // namespace coterie::runtime
