#pragma once

#include <cstdint>
#include <functional>

#include "sim/plan.h"

namespace coterie::sim {

struct ShrinkResult {
  Plan plan;
  std::uint32_t runs = 0;
};

/// Makes a failing plan smaller while `fails` says that it still fails (for the same reason:
/// compare RunReport::judge): drops faults, then operations, by delta debugging [Zeller-Hildebrandt
/// 2002, ddmin], then watchers, shorter phases and plainer knobs. `fails` is asked `runs_max` times
/// at most. Requires: fails(plan).
ShrinkResult Shrink(Plan plan, const std::function<bool(const Plan&)>& fails,
                    std::uint32_t runs_max = 200);

}  // namespace coterie::sim
