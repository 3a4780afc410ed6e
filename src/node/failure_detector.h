#pragma once

#include <vector>

#include "base/ids.h"
#include "base/time.h"

namespace coterie::node {

enum class Health : std::uint8_t { kAlive, kSuspected, kDead };

/// What is believed about one machine, by gossip and by this node's own requests to it. A slow
/// machine and a dead one cannot be told apart: "suspected" is all anybody may say.
struct NodeHealth {
  NodeId node;
  Health health = Health::kAlive;  ///< by gossip [SWIM §4.2]
  NodeId suspected_by;             ///< the first who said so; 0: nobody
  Instant since{};                 ///< when this node learned it
  Duration round_trip{};           ///< recent, of data requests; 0: none yet
  bool route_around = false;       ///< this node's requests to it are late: asked last
};

/// Whom to ask first. Affects the choice of replicas only: nobody is evicted by it.
class FailureDetector {
 public:
  virtual ~FailureDetector() = default;
  virtual std::vector<NodeHealth> view() const = 0;
  /// Lower is better to ask: 0 this node, then by round trip, the suspected last.
  virtual std::uint64_t Cost(NodeId node) const = 0;
  /// Every data request reports how it went.
  virtual void OnAnswer(NodeId node, Duration round_trip) = 0;
  virtual void OnLate(NodeId node) = 0;
};

}  // namespace coterie::node
