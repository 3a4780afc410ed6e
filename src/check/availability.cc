#include "check/availability.h"

#include <algorithm>

namespace coterie::check {
namespace {

Availability Measure(std::vector<const Operation*> ops, std::int64_t to_ns,
                     std::int64_t gap_min_ns) {
  struct Point {
    std::int64_t time;
    int order;  // at one instant: invocations, then failures, then successes
  };
  enum { kAsked, kFailed, kSucceeded };
  Availability out;
  std::vector<Point> points;
  for (const Operation* op : ops) {
    ++out.asked;
    points.push_back({op->invoke_ns, kAsked});
    if (op->outcome == Operation::Outcome::kOk) {
      ++out.answered;
      if (op->return_ns < to_ns) points.push_back({op->return_ns, kSucceeded});
      continue;
    }
    ++(op->outcome == Operation::Outcome::kFailed ? out.failed : out.unknown);
    if (op->return_ns < to_ns) points.push_back({op->return_ns, kFailed});
    const std::int64_t end = std::min(op->return_ns, to_ns);
    out.slowest_failure_ns = std::max(out.slowest_failure_ns, end - op->invoke_ns);
  }
  std::ranges::sort(points, [](const Point& a, const Point& b) {
    return a.time != b.time ? a.time < b.time : a.order < b.order;
  });
  std::int64_t waiting_since = kNever;
  const auto close = [&](std::int64_t at) {
    if (waiting_since == kNever) return;
    const Gap gap{waiting_since, at};
    if (gap.length_ns() > out.longest.length_ns()) out.longest = gap;
    if (gap.length_ns() >= gap_min_ns) out.gaps.push_back(gap);
    waiting_since = kNever;
  };
  std::uint64_t under_way = 0;
  for (const Point& point : points) {
    if (point.order == kAsked) {
      ++under_way;
      if (waiting_since == kNever) waiting_since = point.time;
      continue;
    }
    --under_way;
    if (point.order == kFailed) continue;
    close(point.time);
    if (under_way > 0) waiting_since = point.time;
  }
  close(to_ns);
  return out;
}

}  // namespace

AvailabilityReport MeasureAvailability(const History& history, std::int64_t from_ns,
                                       std::int64_t to_ns, std::int64_t gap_min_ns) {
  std::vector<const Operation*> all;
  std::map<std::string, std::vector<const Operation*>> by_endpoint;
  std::map<std::uint64_t, std::vector<const Operation*>> by_client;
  for (const Operation& op : history.operations) {
    if (op.invoke_ns < from_ns || op.invoke_ns >= to_ns) continue;
    all.push_back(&op);
    by_endpoint[op.endpoint].push_back(&op);
    by_client[op.process].push_back(&op);
  }
  AvailabilityReport report;
  report.all = Measure(all, to_ns, gap_min_ns);
  for (auto& [name, ops] : by_endpoint) {
    report.by_endpoint[name] = Measure(std::move(ops), to_ns, gap_min_ns);
  }
  for (auto& [process, ops] : by_client) {
    report.by_client[process] = Measure(std::move(ops), to_ns, gap_min_ns);
  }
  return report;
}

}  // namespace coterie::check
