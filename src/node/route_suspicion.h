#pragma once

#include "base/time.h"

namespace coterie::node {

/// How this node's own requests to one peer fare. Suspicion accrues with the number of requests
/// that were late and with the time since the first of them [Accrual §3]: one late request makes
/// the peer routed around after 800 ms, four or more after 200 ms; answers pay it back one by one.
/// Pure: time is passed in.
class RouteSuspicion {
 public:
  void OnAnswer(Duration round_trip, Instant now);
  void OnLate(Instant now);
  /// Whether to ask this peer last. Ends after enough answers, or by trying again a while after the
  /// last late request: a peer that is asked last may never be asked.
  bool RouteAround(Instant now) const;
  /// Smoothed with gain 1/8 [RFC 6298 §2]; 0: no answer yet.
  Duration round_trip() const { return round_trip_; }

 private:
  Duration round_trip_{};
  int late_ = 0;          // requests, less answers; bounded
  Instant late_since_{};  // while late_ > 0
  Instant late_at_{};     // the last
  bool around_ = false;   // was routed around: comes back only when all is paid back
};

}  // namespace coterie::node
