#pragma once

#include <array>
#include <cstdint>

#include "base/time.h"

namespace coterie::cli {

/// Counts durations in buckets whose width is at most 1/32 of their value, from 1 us to over an
/// hour [HdrHistogram]. Constant size, constant cost.
class LatencyHistogram {
 public:
  void Add(Duration duration);
  std::uint64_t count() const { return count_; }
  Duration max() const { return max_; }
  Duration mean() const;
  /// The least bucket bound that at least `fraction` of the durations do not exceed; zero when
  /// empty. Requires: 0 < fraction <= 1.
  Duration Quantile(double fraction) const;

 private:
  // Values under 32 us have a bucket each; every doubling above has 32.
  static constexpr int kSubBits = 5;
  static constexpr int kDoublings = 28;
  static std::size_t BucketOf(std::uint64_t us);
  static std::uint64_t UpperBound(std::size_t bucket);

  std::array<std::uint64_t, (kDoublings + 1) << kSubBits> buckets_{};
  std::uint64_t count_ = 0;
  std::uint64_t sum_us_ = 0;
  Duration max_{};
};

}  // namespace coterie::cli
