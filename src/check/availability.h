#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "check/history.h"

namespace coterie::check {

/// A time without a success although something was asked.
struct Gap {
  std::int64_t from_ns = 0;
  std::int64_t to_ns = 0;
  std::int64_t length_ns() const { return to_ns - from_ns; }
  friend bool operator==(const Gap&, const Gap&) = default;
};

struct Availability {
  std::uint64_t asked = 0;
  std::uint64_t answered = 0;  ///< with a success
  std::uint64_t failed = 0;    ///< definitely not applied
  std::uint64_t unknown = 0;
  Gap longest;
  std::vector<Gap> gaps;  ///< those of at least the threshold, in time order
  std::int64_t slowest_failure_ns =
      0;  ///< the longest a client waited to be refused or left in doubt
};

struct AvailabilityReport {
  Availability all;
  std::map<std::string, Availability> by_endpoint;
  std::map<std::uint64_t, Availability> by_client;
};

/// Measures, for everybody together, per endpoint and per client, the times without success in
/// [from_ns, to_ns): from one success to the next while anything is asked (a quiet client is not an
/// unavailable server). Operations count by their invocation.
AvailabilityReport MeasureAvailability(const History& history, std::int64_t from_ns,
                                       std::int64_t to_ns, std::int64_t gap_min_ns);

}  // namespace coterie::check
