#include "runtime/sim/sim_world.h"

#include <algorithm>
#include <cstdlib>

namespace coterie::runtime {
namespace {

/// True time 0 of every simulation: 2030-01-01T00:00:00Z.
constexpr std::int64_t kEpochNs = 1'893'456'000'000'000'000;

}  // namespace

SimWorld::SimWorld(Parts parts)
    : clock_(parts.clock),
      executor_(parts.scheduler, parts.node, parts.frames),
      random_(parts.seed),
      offload_random_(random_.Split()),
      network_(parts.fabric, executor_),
      disk_(parts.image, executor_),
      log_(parts.log_minimum, std::move(parts.log_sink)),
      crash_(std::move(parts.crash)) {
  executor_.SetDrift(clock_.drift_ppb);
  executor_.Watch(random_);
}

WallInterval SimWorld::WallNow() {
  // The node's monotonic time has the drift in it already.
  const std::int64_t wall =
      kEpochNs + executor_.Now().time_since_epoch().count() + clock_.offset_ns;
  const std::int64_t true_wall = kEpochNs + executor_.scheduler().now().time_since_epoch().count();
  const std::int64_t bound =
      clock_.honest ? std::max(clock_.bound_ns, std::abs(wall - true_wall)) : clock_.bound_ns;
  return {wall - bound, wall + bound, clock_.synchronized};
}

Task<void> SimWorld::Offload(std::function<void()> work) {
  co_await Sleep(executor_, Duration(offload_random_.Between(5'000, 200'000)));
  work();
}

void SimWorld::Crash(std::string_view reason) {
  if (!executor_.reap_requested()) crash_(reason);
  executor_.RequestReap();
}

}  // namespace coterie::runtime
