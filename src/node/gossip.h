#pragma once

#include <functional>
#include <map>
#include <string_view>
#include <vector>

#include "membership/swim.h"
#include "node/failure_detector.h"
#include "node/route_suspicion.h"
#include "node/transport.h"
#include "runtime/scope.h"
#include "runtime/sync.h"
#include "runtime/world.h"

namespace coterie::node {

/// Runs membership::Swim over the transport, so that what happens to data happens to probes, too,
/// injected faults included; and judges peers by how this node's own requests to them fare.
class Gossip final : public FailureDetector {
 public:
  /// Takes the transport's kGossip messages: create it before the transport starts, and stop the
  /// transport before destroying it. `config.self` is set from `self`.
  Gossip(runtime::World& world, Transport& transport, NodeId self, membership::Config config = {});
  ~Gossip() override;
  Gossip(const Gossip&) = delete;
  Gossip& operator=(const Gossip&) = delete;

  /// Who the others are; `self` may be among them. At any time.
  void SetMembers(std::vector<NodeId> members);
  /// Begins to probe. Once.
  void Start();
  /// Called when gossip has changed its mind about a node; at most one. Not for routing: that is in
  /// Cost.
  void OnChange(std::function<void(const NodeHealth&)> listener) {
    on_change_ = std::move(listener);
  }

  /// The other members, ascending.
  std::vector<NodeHealth> view() const override;
  std::uint64_t Cost(NodeId node) const override;
  void OnAnswer(NodeId node, Duration round_trip) override;
  void OnLate(NodeId node) override;

  const membership::Swim& swim() const { return swim_; }

 private:
  runtime::Task<void> Run();
  void OnMessage(NodeId from, std::string_view body);
  void Flush();
  NodeHealth HealthOf(const membership::Member& member) const;

  runtime::World& world_;
  Transport& transport_;
  const NodeId self_;
  membership::Swim swim_;
  std::map<NodeId, RouteSuspicion> routes_;  // of members only
  std::function<void(const NodeHealth&)> on_change_;
  Instant waits_until_ = Instant::max();
  runtime::Notification sooner_;
  runtime::Scope scope_;  // last: its tasks use everything above
};

}  // namespace coterie::node
