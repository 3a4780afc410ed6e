#include "node/route_suspicion.h"

#include <algorithm>

namespace coterie::node {
namespace {

constexpr Duration kAroundAfterOne = 800ms;
constexpr Duration kAroundAtEarliest = 200ms;
/// So many answers at the most bring a peer back, however many were late.
constexpr int kLateMax = 8;
constexpr Duration kTryAgainAfter = 5s;

}  // namespace

void RouteSuspicion::OnAnswer(Duration round_trip, Instant now) {
  round_trip = std::max(round_trip, Duration(1));
  round_trip_ =
      round_trip_ == Duration::zero() ? round_trip : round_trip_ + (round_trip - round_trip_) / 8;
  around_ = RouteAround(now);
  if (late_ > 0) --late_;
  around_ = around_ && late_ > 0;
}

void RouteSuspicion::OnLate(Instant now) {
  // What was long ago says nothing about now.
  if (late_ > 0 && now - late_at_ >= kTryAgainAfter) late_ = 0;
  if (late_ == 0) {
    late_since_ = now;
    around_ = false;
  }
  late_ = std::min(late_ + 1, kLateMax);
  late_at_ = now;
  around_ = RouteAround(now);
}

bool RouteSuspicion::RouteAround(Instant now) const {
  if (late_ == 0 || now - late_at_ >= kTryAgainAfter) return false;
  return around_ || now - late_since_ >= std::max(kAroundAfterOne / late_, kAroundAtEarliest);
}

}  // namespace coterie::node
