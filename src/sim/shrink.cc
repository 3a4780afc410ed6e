#include "sim/shrink.h"

#include <algorithm>

namespace coterie::sim {
namespace {

class Shrinker {
 public:
  Shrinker(Plan plan, const std::function<bool(const Plan&)>& fails, std::uint32_t runs_max)
      : best_(std::move(plan)), fails_(fails), runs_max_(runs_max) {}

  ShrinkResult Run() {
    for (bool smaller = true; smaller && runs_ < runs_max_;) {
      smaller = Minimise(&Plan::faults);
      smaller = Minimise(&Plan::ops) || smaller;
      smaller = Simplify() || smaller;
    }
    return {std::move(best_), runs_};
  }

 private:
  bool Try(Plan candidate) {
    if (candidate == best_ || runs_ >= runs_max_ || !Validate(candidate)) return false;
    ++runs_;
    if (!fails_(candidate)) return false;
    best_ = std::move(candidate);
    return true;
  }

  /// ddmin without the subset step: takes out ever smaller chunks.
  template <class T>
  bool Minimise(std::vector<T> Plan::* member) {
    bool smaller = false;
    for (std::size_t chunk = std::max<std::size_t>((best_.*member).size(), 1); chunk > 0;
         chunk /= 2) {
      for (std::size_t at = 0; at < (best_.*member).size();) {
        Plan candidate = best_;
        auto& items = candidate.*member;
        const std::size_t end = std::min(at + chunk, items.size());
        items.erase(items.begin() + static_cast<std::ptrdiff_t>(at),
                    items.begin() + static_cast<std::ptrdiff_t>(end));
        if (Try(std::move(candidate))) {
          smaller = true;
        } else {
          at += chunk;
        }
        if (runs_ >= runs_max_) return smaller;
      }
    }
    return smaller;
  }

  bool Simplify() {
    bool smaller = false;
    const auto with = [&](auto change) {
      Plan candidate = best_;
      change(candidate);
      smaller = Try(std::move(candidate)) || smaller;
    };
    with([](Plan& p) { p.safety = LastThing(p) + 1s; });
    with([](Plan& p) { p.safety /= 2; });
    with([](Plan& p) { p.watchers = 0; });
    with([](Plan& p) { p.liveness_ops = std::min(p.liveness_ops, 1U); });
    with([](Plan& p) { p.clients = LastClient(p) + 1; });
    with([](Plan& p) { p.chaos = false; });
    with([](Plan& p) { p.link_loss_permille = 0; });
    with([](Plan& p) { p.stream_split_permille = 0; });
    return smaller;
  }
  static Duration LastThing(const Plan& plan) {
    Duration last{};
    for (const FaultEvent& fault : plan.faults) last = std::max(last, fault.at + fault.length);
    for (const PlannedOp& op : plan.ops) last = std::max(last, op.at);
    return std::min(last + 1s, plan.safety) - 1s;
  }
  static std::uint32_t LastClient(const Plan& plan) {
    std::uint32_t last = 0;
    for (const PlannedOp& op : plan.ops) last = std::max(last, op.client);
    return last;
  }

  Plan best_;
  const std::function<bool(const Plan&)>& fails_;
  const std::uint32_t runs_max_;
  std::uint32_t runs_ = 0;
};

}  // namespace

ShrinkResult Shrink(Plan plan, const std::function<bool(const Plan&)>& fails,
                    std::uint32_t runs_max) {
  return Shrinker(std::move(plan), fails, runs_max).Run();
}

}  // namespace coterie::sim
