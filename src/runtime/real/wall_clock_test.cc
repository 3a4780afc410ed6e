#include "runtime/real/wall_clock.h"

#include <gtest/gtest.h>

namespace coterie::runtime {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

int asked = 0;
ClockDiscipline answer;
ClockDiscipline Fake() {
  ++asked;
  return answer;
}

class WallClockTest : public ::testing::Test {
 protected:
  WallClockTest() {
    asked = 0;
    answer = {.synchronized = true, .error_max_ns = 3'000'000};
  }
  static ClockReading At(std::int64_t ns) {
    return {1'700'000'000 * kSecond + ns, 50 * kSecond + ns};
  }
  static std::int64_t Bound(const WallInterval& wall) {
    return (wall.latest_ns - wall.earliest_ns) / 2;
  }
  WallClock clock_{Fake};
};

// The kernel's bound at the moment of asking; then half a millisecond a second more, until it is
// asked again.
TEST_F(WallClockTest, BoundGrowsBetweenQuestions) {
  const WallInterval first = clock_.Read(At(0));
  EXPECT_TRUE(first.synchronized);
  EXPECT_EQ(Bound(first), 3'000'000);
  EXPECT_EQ(first.earliest_ns + 3'000'000, At(0).wall_ns);
  EXPECT_EQ(Bound(clock_.Read(At(kSecond / 2))), 3'250'000);
  EXPECT_EQ(asked, 1);
  answer.error_max_ns = 1'000'000;
  EXPECT_EQ(Bound(clock_.Read(At(kSecond))), 1'000'000);
  EXPECT_EQ(asked, 2);
}

// Whoever sets the date makes the kernel forget its discipline; the next reading says so.
TEST_F(WallClockTest, ASetClockIsNoticedAtOnce) {
  (void)clock_.Read(At(0));
  answer.synchronized = false;
  EXPECT_TRUE(clock_.Read(At(1000)).synchronized);
  ClockReading set = At(2000);
  set.wall_ns += kSecond / 100;
  const WallInterval wall = clock_.Read(set);
  EXPECT_FALSE(wall.synchronized);
  EXPECT_EQ(Bound(wall), 1800 * kSecond);
}

TEST_F(WallClockTest, WithoutDisciplineNothingNarrowIsClaimed) {
  answer = {};
  const WallInterval wall = clock_.Read(At(0));
  EXPECT_FALSE(wall.synchronized);
  EXPECT_EQ(Bound(wall), 1800 * kSecond);
}

// This machine's own clock, whatever its state: an interval around a date of our times.
TEST(KernelClock, GivesAnInterval) {
  WallClock clock;
  const WallInterval wall = clock.Read();
  EXPECT_LE(wall.earliest_ns, wall.latest_ns);
  EXPECT_GT(wall.latest_ns, 1'500'000'000 * kSecond);
  EXPECT_EQ(wall.synchronized, AskKernel().synchronized);
}

}  // namespace
}  // namespace coterie::runtime
