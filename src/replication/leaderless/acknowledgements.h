#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/ids.h"

namespace coterie::leaderless {

/// Which replicas of one shard have which of the mutations that this node made in it. Deliveries
/// are in order, so one counter a replica says it all, and how far W replicas have come is the
/// W-th greatest of them, as a leader finds its commit index [Raft §5.3]; here each failure domain
/// counts once. A value; no I/O.
class Acknowledgements {
 public:
  struct Replica {
    NodeId node;
    std::string failure_domain;  ///< "": its own
    bool counts = true;          ///< it is active
    /// It has been active, and may still answer who has not heard that it no longer is: what is
    /// promised must meet what it alone vouches for. Such a one does not count.
    bool leaves = false;
  };
  /// Declares the replicas; what is known of those that stay is kept. `self` is among them unless
  /// this node only sends. `needs_self`: nothing is promised before this node has it itself.
  void SetReplicas(NodeId self, std::vector<Replica> replicas, bool needs_self);

  /// This node has its own mutations up to `counter`, as durable as an acknowledgement says.
  bool OwnUpTo(std::uint64_t counter);
  /// So has `node`. Answers whether that is news; nothing happens for one that is no replica.
  bool UpTo(NodeId node, std::uint64_t counter);
  std::uint64_t Of(NodeId node) const;

  /// The greatest counter that replicas in `w` distinct failure domains have; while replicas leave,
  /// also one replica more for each of them, itself or another. w = 0 as 1.
  std::uint64_t Promised(std::uint32_t w) const;
  /// How many failure domains count at all: with W above it nothing is ever promised.
  std::size_t domains() const { return ordered_.size(); }
  /// In how many of them there is one that counts of whom `holds` is true.
  std::size_t DomainsOf(const std::function<bool(NodeId)>& holds) const;

 private:
  struct Known {
    Replica replica;
    std::uint64_t counter = 0;
  };
  void Recount();

  NodeId self_;
  bool needs_self_ = false;
  std::vector<Known> known_;
  std::vector<std::uint64_t> ordered_;  // the furthest of each domain, descending
  std::vector<std::uint64_t> each_;     // of active and leaving replicas, descending
  std::size_t leaving_ = 0;
};

}  // namespace coterie::leaderless
