#include "cli/latency_histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/assert.h"

namespace coterie::cli {

std::size_t LatencyHistogram::BucketOf(std::uint64_t us) {
  if (us < (1u << kSubBits)) return us;
  const int shift = std::bit_width(us) - 1 - kSubBits;
  const std::size_t bucket = (static_cast<std::size_t>(shift) << kSubBits) + (us >> shift);
  return std::min(bucket, (static_cast<std::size_t>(kDoublings + 1) << kSubBits) - 1);
}

std::uint64_t LatencyHistogram::UpperBound(std::size_t bucket) {
  if (bucket < (1u << kSubBits)) return bucket;
  const std::size_t shift = (bucket >> kSubBits) - 1;
  const std::uint64_t first = (bucket - (shift << kSubBits)) << shift;
  return first + (std::uint64_t{1} << shift) - 1;
}

void LatencyHistogram::Add(Duration duration) {
  const auto us = static_cast<std::uint64_t>(std::max<std::int64_t>(duration.count(), 0)) / 1000;
  ++buckets_[BucketOf(us)];
  ++count_;
  sum_us_ += us;
  max_ = std::max(max_, duration);
}

Duration LatencyHistogram::mean() const {
  return count_ == 0 ? Duration{} : std::chrono::microseconds(sum_us_ / count_);
}

Duration LatencyHistogram::Quantile(double fraction) const {
  COT_ASSERT(fraction > 0);
  COT_ASSERT(fraction <= 1);
  if (count_ == 0) return Duration{};
  const auto wanted = static_cast<std::uint64_t>(std::ceil(fraction * static_cast<double>(count_)));
  std::uint64_t seen = 0;
  for (std::size_t bucket = 0; bucket < buckets_.size(); ++bucket) {
    seen += buckets_[bucket];
    if (seen >= wanted) return std::chrono::microseconds(UpperBound(bucket));
  }
  return max_;
}

}  // namespace coterie::cli
