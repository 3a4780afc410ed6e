#pragma once

#include <functional>
#include <string>

#include "runtime/scope.h"
#include "runtime/sim/fabric.h"
#include "runtime/sim/scheduler.h"
#include "runtime/sim/sim_disk.h"
#include "runtime/world.h"

namespace coterie::runtime {

/// One incarnation of one simulated node: everything here goes when it is killed.
class SimWorld final : public World {
 public:
  struct Parts {
    Scheduler& scheduler;
    Fabric& fabric;
    DiskImage& image;
    ClockKnobs& clock;
    FrameCount& frames;
    std::uint32_t node;
    std::uint64_t seed;
    LogLevel log_minimum;
    Logger::Sink log_sink;
    std::function<void(std::string_view)> crash;
  };
  explicit SimWorld(Parts parts);

  Executor& executor() override { return executor_; }
  WallInterval WallNow() override;
  Random& random() override { return random_; }
  Network& network() override { return network_; }
  Disk& disk() override { return disk_; }
  Logger& log() override { return log_; }
  Task<void> Offload(std::function<void()> work) override;
  void Crash(std::string_view reason) override;

  SimExecutor& sim_executor() { return executor_; }
  SimDisk& sim_disk() { return disk_; }
  Scope& scope() { return scope_; }

 private:
  ClockKnobs& clock_;
  SimExecutor executor_;
  Random random_;
  Random offload_random_;
  SimNetwork network_;
  SimDisk disk_;
  Logger log_;
  std::function<void(std::string_view)> crash_;
  Scope scope_;  // last: its frames use everything above
};

}  // namespace coterie::runtime
