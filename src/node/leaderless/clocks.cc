#include <fmt/format.h>

#include <algorithm>

#include "clock/wall_interval.h"
#include "node/leaderless/state.h"

// This machine's clock beside those of the others. What they would refuse is not stamped.
namespace coterie::node {

namespace {
std::int64_t Ms(Duration duration) { return duration / std::chrono::milliseconds(1); }
}  // namespace

/// `time`: what an account of its says. The least delayed of the last few tells most.
void LeaderlessReplicas::State::NoteClock(Link& link, HybridTime time) {
  const std::int64_t now = Ms(world.Now() - Instant());
  link.clock_offsets_ms[link.clocks_heard++ % link.clock_offsets_ms.size()] =
      static_cast<std::int64_t>(clock::PhysicalMs(time)) - now;
}

/// How far `ms` is ahead of what that machine's clock shows now; nullopt: nothing is known of it.
std::optional<std::int64_t> LeaderlessReplicas::State::AheadOf(const Link& link,
                                                               std::uint64_t ms) const {
  if (link.clocks_heard == 0) return std::nullopt;
  const auto known = std::min(link.clocks_heard, link.clock_offsets_ms.size());
  const std::int64_t offset =
      *std::max_element(link.clock_offsets_ms.begin(), link.clock_offsets_ms.begin() + known);
  return static_cast<std::int64_t>(ms) - (offset + Ms(world.Now() - Instant()));
}

/// Error kClockTooFarAhead: half of the replicas or more would not take what is stamped so.
Status LeaderlessReplicas::State::CheckStamp(const Slot& slot, HybridTime time) {
  std::size_t refusing = 0;
  std::int64_t furthest = 0;
  for (const Remote& remote : slot.others) {
    const auto ahead = AheadOf(LinkTo(remote.node), clock::PhysicalMs(time));
    if (!ahead || *ahead <= Ms(options.drift_max)) continue;
    ++refusing;
    furthest = std::max(furthest, *ahead);
  }
  if (refusing == 0 || 2 * refusing < slot.others.size() + 1) return Ok();
  return coterie::Fail(
      ErrorCode::kClockTooFarAhead,
      fmt::format(
          "this machine's clock is {} ms ahead of those of {} of the other {} replicas, who "
          "would not take what it stamps; the limit is {} ms",
          furthest, refusing, slot.others.size(), Ms(options.drift_max)));
}

/// The time by the clock, for others to know; it binds this node to nothing that they would refuse.
HybridTime LeaderlessReplicas::State::TimeToTell() {
  const WallInterval& now = Turn();
  const std::uint64_t ms = clock::MiddleMs(now);
  const bool ahead = std::ranges::any_of(links, [&](const auto& each) {
    const auto by = AheadOf(each.second, ms);
    return by && *by > Ms(options.drift_max);
  });
  if (!ahead) return clock.Next(now);
  return std::max(clock.last(), clock::MakeHybridTime(ms, 0));
}

/// Makes the clock ready for a stamp. What it gave while it was ahead, and nobody used, is taken
/// back once it is right again.
Status LeaderlessReplicas::State::PrepareClock() {
  const WallInterval& now = Turn();
  clock::HybridClock limit(options.drift_max);
  if (limit.Observe(clock.last(), now)) return Ok();
  COT_TRY(limit.Observe(used, now));
  clock = limit;
  return Ok();
}

/// The time of a mutation; `time` unless that is 0.
Result<HybridTime> LeaderlessReplicas::State::Stamp(const Slot& slot, HybridTime time) {
  COT_TRY(PrepareClock());
  const WallInterval& now = Turn();
  if (time != HybridTime()) {
    COT_TRY(clock.Observe(time, now));
    COT_TRY(CheckStamp(slot, time));
    return time;
  }
  COT_TRY(CheckStamp(slot, std::max(clock.last(), clock::MakeHybridTime(clock::MiddleMs(now), 0))));
  return clock.Next(now);
}

void LeaderlessReplicas::State::WatchClocks() {
  const WallInterval& now = Turn();
  if (now.synchronized) {
    world.Clear(ConditionKind::kClockUnsynchronized);
  } else {
    world.Raise(
        ConditionKind::kClockUnsynchronized, {},
        fmt::format("its error is not known; leaderless keyspaces take stamps of up to {} ms "
                    "ahead of it",
                    Ms(options.drift_max)));
  }
  for (const auto& [node, link] : links) {
    const auto ahead = AheadOf(link, clock::MiddleMs(now));
    const std::string subject = fmt::format("node {}", node.value);
    if (!ahead || std::abs(*ahead) <= Ms(options.drift_max)) {
      world.Clear(ConditionKind::kClockSkew, subject);
      continue;
    }
    world.Raise(ConditionKind::kClockSkew, subject,
                fmt::format("this clock is {:.1f} s {} it; the limit is {:.1f} s; {} writes and {} "
                            "mutations of others were refused for it",
                            static_cast<double>(std::abs(*ahead)) / 1000,
                            *ahead > 0 ? "ahead of" : "behind",
                            static_cast<double>(Ms(options.drift_max)) / 1000, stats.clock_writes,
                            stats.clock_refused));
  }
}

LeaderlessReplicas::Clocks LeaderlessReplicas::clocks() const {
  const WallInterval now = state_->world.WallNow();
  Clocks clocks{.synchronized = now.synchronized,
                .bound_ms = (now.latest_ns - now.earliest_ns) / 2'000'000,
                .drift_max_ms = Ms(state_->options.drift_max),
                .writes_refused = state_->stats.clock_writes,
                .mutations_refused = state_->stats.clock_refused,
                .ahead_ms = {}};
  for (const auto& [node, link] : state_->links) {
    if (const auto ahead = state_->AheadOf(link, clock::MiddleMs(now)))
      clocks.ahead_ms.emplace_back(node, *ahead);
  }
  return clocks;
}

}  // namespace coterie::node
