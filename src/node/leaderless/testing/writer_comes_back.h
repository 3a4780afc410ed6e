#pragma once

#include <string>
#include <vector>

#include "node/leaderless/testing/replica_cluster.h"

namespace coterie::node::testing {

/// A writer's shard leaves it and comes back to the same process, while who has the writer's last
/// mutation is down: those who are up know of fewer than it has made.
class WriterComesBack : public ReplicaCluster {
 public:
  explicit WriterComesBack(std::uint64_t seed) : ReplicaCluster(seed, 3) {
    AddKeyspace(Promise("ks", 1, 1, keyspace::Conflict::kCrdt, keyspace::Durability::kInterval, 1),
                Nodes());
    StartAll();
  }

  /// In the end each node should show 8.
  void Run() {
    Add(kWriter, 5);
    ASSERT_TRUE(RunUntil([&] { return Converged("ks"); }));
    sim().RunFor(3s);
    dead = {kOther};
    Kill(kOther, runtime::Death::kProcess);
    Add(kWriter, 1);
    Change([](placement::Shard& shard) { shard.replicas[2].phase = placement::Phase::kLeaving; });
    ASSERT_TRUE(RunUntil([&] { return Shard().replicas.size() == 2; }));
    ASSERT_TRUE(RunUntil([&] { return !at(kWriter).store().HasShard(Shard().id); }));
    Kill(kKnows, runtime::Death::kProcess);
    dead = {kKnows};
    Start(kOther);
    ASSERT_TRUE(RunUntil([&] { return up(kOther) && at(kOther).Serves(Shard()); }));
    Change([](placement::Shard& shard) {
      shard.replicas.push_back({kWriter, placement::Phase::kJoining});
    });
    ASSERT_TRUE(RunUntil([&] { return at(kWriter).Serves(Shard()); }));
    Add(kWriter, 2);
    dead.clear();
    Start(kKnows);
    sim().RunFor(10s);
  }
  std::vector<std::string> Values() {
    std::vector<std::string> values;
    for (const NodeId node : Nodes()) values.push_back(Get(node, "ks", "n").value_or("none"));
    return values;
  }

 private:
  static constexpr NodeId kKnows{1}, kOther{2}, kWriter{3};

  placement::Shard Shard() const { return keyspace("ks").shards.front(); }
  void Change(const std::function<void(placement::Shard&)>& change) {
    control.Change([&](placement::ClusterMap& map) {
      placement::Shard& shard = map.keyspaces["ks"].shards.front();
      ++shard.epoch;
      change(shard);
    });
  }
  void Add(NodeId node, int times) {
    for (int i = 0; i < times; ++i) {
      const Status added =
          Write(node, "ks", "n", [](cells::Edit& edit) { (void)edit.Increment("n", 1); });
      ASSERT_TRUE(added.has_value()) << Describe(added.error());
    }
  }
};

}  // namespace coterie::node::testing
