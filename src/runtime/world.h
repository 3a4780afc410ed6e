#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/conditions.h"
#include "base/log.h"
#include "base/random.h"
#include "base/time.h"
#include "runtime/disk.h"
#include "runtime/executor.h"
#include "runtime/network.h"
#include "runtime/task.h"

namespace coterie::runtime {

/// What this process has taken of the machine; zero where that is not measured (in simulation).
struct ProcessUsage {
  std::uint64_t resident_bytes = 0;
  Duration cpu{};  ///< user and system, since it started
};

/// Everything one node may do to the outside, and the only way to do it. Two implementations: real/
/// (one epoll loop on one thread, a small pool for blocking work) and sim/ (all nodes on one
/// thread, virtual time, seeded). References stay valid for the World's life; all calls are made on
/// its reactor.
class World {
 public:
  virtual ~World() = default;

  virtual Executor& executor() = 0;
  virtual WallInterval WallNow() = 0;
  virtual Random& random() = 0;
  virtual Network& network() = 0;
  virtual Disk& disk() = 0;
  virtual Logger& log() = 0;
  virtual ProcessUsage Usage() { return {}; }
  /// Runs `work` off the reactor (in simulation: inline, after a simulated delay) and resumes when
  /// it is done. `work` owns everything it touches: it may outlive the awaiting frame.
  virtual Task<void> Offload(std::function<void()> work) = 0;
  /// Ends the process as after an unrecoverable fault (a failed fsync). In simulation the node
  /// crashes: its scope is destroyed at the end of this turn and the call returns; do nothing after
  /// it.
  virtual void Crash(std::string_view reason) = 0;

  Instant Now() { return executor().Now(); }

  /// What lasts and an operator should know of; status, health and metrics show it.
  const Conditions& conditions() const { return conditions_; }
  /// Raises a condition, and logs it when it is new.
  void Raise(ConditionKind kind, std::string_view subject, std::string text) {
    const std::string line(text);
    if (!conditions_.Raise(kind, subject, std::move(text), Now())) return;
    log().Warn("condition", "{} {}: {}", InfoOf(kind).name, subject, line);
  }
  /// Clears it, and logs that it is over.
  void Clear(ConditionKind kind, std::string_view subject = {}) {
    if (conditions_.Clear(kind, subject)) {
      log().Info("condition", "{} {} is over", InfoOf(kind).name, subject);
    }
  }

 private:
  Conditions conditions_;
};

}  // namespace coterie::runtime
