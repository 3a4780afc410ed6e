#include "check/availability.h"

#include <gtest/gtest.h>

namespace coterie::check {
namespace {

Operation Asked(std::uint64_t client, std::string endpoint, std::int64_t invoke, std::int64_t back,
                Operation::Outcome outcome) {
  Operation op = Get(client, "x");
  op.endpoint = std::move(endpoint);
  op.invoke_ns = invoke;
  op.return_ns = back;
  op.outcome = outcome;
  return op;
}

constexpr auto kOk = Operation::Outcome::kOk;
constexpr auto kFailed = Operation::Outcome::kFailed;
constexpr auto kUnknown = Operation::Outcome::kUnknown;

// A gap runs from when something was first asked to the next success; silence is not a gap.
TEST(Availability, GapsPerClientAndEndpoint) {
  const History history{{
      Asked(1, "n1", 0, 10, kOk),
      Asked(1, "n1", 100, 150, kFailed),
      Asked(2, "n2", 110, 120, kOk),
      Asked(1, "n1", 160, 400, kUnknown),
      Asked(1, "n1", 410, 420, kOk),
      Asked(2, "n2", 900, kNever, kUnknown),
  }};
  const AvailabilityReport report = MeasureAvailability(history, 0, 1000, 50);
  EXPECT_EQ(report.all.asked, 6U);
  EXPECT_EQ(report.all.answered, 3U);
  EXPECT_EQ(report.all.failed, 1U);
  EXPECT_EQ(report.all.unknown, 2U);
  const Availability& first = report.by_endpoint.at("n1");
  EXPECT_EQ(first.longest, (Gap{100, 420}));
  EXPECT_EQ(first.gaps, (std::vector<Gap>{{100, 420}}));
  EXPECT_EQ(first.slowest_failure_ns, 240);
  EXPECT_EQ(report.by_client.at(2).gaps, (std::vector<Gap>{{900, 1000}}));
  // Together: the second client's success at 120 ends the wait, but the first client still waits.
  EXPECT_EQ(report.all.gaps, (std::vector<Gap>{{120, 420}, {900, 1000}}));
}

TEST(Availability, OnlyTheAskedIntervalCounts) {
  const History history{{Asked(1, "n1", 0, 500, kFailed), Asked(1, "n1", 600, 610, kOk)}};
  const AvailabilityReport report = MeasureAvailability(history, 550, 1000, 50);
  EXPECT_EQ(report.all.asked, 1U);
  EXPECT_TRUE(report.all.gaps.empty());
}

}  // namespace
}  // namespace coterie::check
