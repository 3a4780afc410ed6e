// What each command does to the cluster map, and what it refuses.

#include "node/control_apply.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace coterie::node {
namespace {

using placement::Phase;
using placement::ShardReplica;

control::Node NodeNamed(std::uint64_t id, const std::string& name) {
  control::Node node;
  node.set_id(id);
  node.set_name(name);
  node.set_peer("10.0.0." + name.substr(1) + ":7071");
  return node;
}

class ControlApply : public ::testing::Test {
 protected:
  explicit ControlApply(std::uint64_t nodes = 3) {
    control::Command command;
    for (std::uint64_t i = 1; i <= nodes; ++i) {
      *command.mutable_bootstrap()->add_nodes() = NodeNamed(i, "n" + std::to_string(i));
    }
    EXPECT_TRUE(Do(command).changed);
  }
  ControlOutcome Do(const control::Command& command) {
    const placement::ClusterMap before = data_.map;
    ControlOutcome outcome = ApplyControl(data_, command);
    EXPECT_EQ(data_.map.version, before.version + (outcome.changed ? 1 : 0));
    if (!outcome.changed) EXPECT_EQ(data_.map, before);
    return outcome;
  }
  ErrorCode CodeOf(const control::Command& command) {
    const ControlOutcome outcome = Do(command);
    EXPECT_FALSE(outcome.status.has_value());
    return outcome.status ? ErrorCode::kIo : outcome.status.error().code;
  }
  static control::Command Create(const std::string& name, keyspace::Replication replication,
                                 std::uint32_t replicas, std::uint32_t database = 0) {
    control::Command command;
    keyspace::Promise promise;
    promise.name = name;
    promise.replication = replication;
    promise.replicas = replicas;
    promise.redis_database = database;
    ToProto(promise, command.mutable_create_keyspace());
    return command;
  }
  static control::Command Add(const std::string& name, std::uint64_t token) {
    control::Command command;
    *command.mutable_add_node()->mutable_node() = NodeNamed(0, name);
    command.mutable_add_node()->set_token(token);
    return command;
  }
  static control::Command Drain(std::uint64_t node) {
    control::Command command;
    command.set_drain_node(node);
    return command;
  }
  static control::Command Forget(std::uint64_t node) {
    control::Command command;
    command.set_forget_node(node);
    return command;
  }
  static control::Command Remove(std::uint64_t node) {
    control::Command command;
    command.set_remove_node(node);
    return command;
  }
  std::vector<NodeId> VotersNow() const {
    std::vector<NodeId> out;
    for (const ShardReplica& replica : data_.map.Find("main")->shards.front().replicas) {
      out.push_back(replica.node);
    }
    return out;
  }

  ControlData data_;
};

// The first map is made once.
TEST_F(ControlApply, BootstrapOnce) {
  EXPECT_EQ(data_.map.version, 1U);
  EXPECT_EQ(data_.map.next_node, 4U);
  EXPECT_EQ(data_.map.Find("main")->promise.replicas, 3U);
  control::Command again;
  *again.mutable_bootstrap()->add_nodes() = NodeNamed(9, "n9");
  EXPECT_FALSE(Do(again).changed);
}

// Every keyspace has a Redis database of its own: the one that it asks for or, unasked, the lowest
// that is free.
TEST_F(ControlApply, RedisDatabases) {
  using keyspace::Replication;
  ASSERT_TRUE(Do(Create("a", Replication::kLeaderless, 3)).status.has_value());
  ASSERT_TRUE(Do(Create("b", Replication::kPaxos, 3)).status.has_value());
  EXPECT_EQ(data_.map.FindDatabase(0)->promise.name, "a");
  EXPECT_EQ(data_.map.FindDatabase(1)->promise.name, "main");
  EXPECT_EQ(data_.map.FindDatabase(2)->promise.name, "b");
  EXPECT_EQ(CodeOf(Create("c", Replication::kPaxos, 3, 2)), ErrorCode::kPromiseContradiction);
  EXPECT_EQ(CodeOf(Create("control", Replication::kPaxos, 3, 3)), ErrorCode::kKeyspaceExists);
}

// Shard ids are never given twice; a raft keyspace's first replicas are remembered as long as it
// is there.
TEST_F(ControlApply, ShardIdsAndFounders) {
  ASSERT_TRUE(Do(Create("a", keyspace::Replication::kRaft, 3)).status.has_value());
  const ShardId first = data_.map.Find("a")->shards.front().id;
  EXPECT_EQ(first, ShardId(16));
  EXPECT_EQ(data_.founders.at(first).size(), 3U);
  control::Command drop;
  drop.set_drop_keyspace("a");
  ASSERT_TRUE(Do(drop).status.has_value());
  EXPECT_TRUE(data_.founders.empty());
  EXPECT_EQ(CodeOf(drop), ErrorCode::kNoKeyspace);
  ASSERT_TRUE(Do(Create("a", keyspace::Replication::kRaft, 3)).status.has_value());
  EXPECT_EQ(data_.map.Find("a")->shards.front().id, ShardId(17));
}

// One machine is one node however often it asks; another one does not get its id. Ids are never
// given twice.
TEST_F(ControlApply, OneIdAMachine) {
  const ControlOutcome added = Do(Add("n4", 77));
  EXPECT_EQ(added.node, NodeId(4));
  EXPECT_TRUE(added.changed);
  const ControlOutcome again = Do(Add("n4", 77));
  EXPECT_EQ(again.node, NodeId(4));
  EXPECT_FALSE(again.changed);
  EXPECT_EQ(CodeOf(Add("n4", 78)), ErrorCode::kInvalidArgument);
  EXPECT_EQ(CodeOf(Add("n1", 78)), ErrorCode::kInvalidArgument);
  control::Command stolen = Add("n5", 78);
  stolen.mutable_add_node()->mutable_node()->set_peer("10.0.0.1:7071");
  EXPECT_EQ(CodeOf(stolen), ErrorCode::kInvalidArgument);
  ASSERT_TRUE(Do(Remove(4)).status.has_value());
  EXPECT_EQ(Do(Add("n4", 78)).node, NodeId(5));
}

// Up to five vote, and those who do keep it; a place that becomes free is taken by another node.
TEST_F(ControlApply, Voters) {
  const auto ids = [](std::vector<std::uint64_t> numbers) {
    std::vector<NodeId> out;
    for (const std::uint64_t n : numbers) out.push_back(NodeId(n));
    return out;
  };
  for (const int i : {4, 5, 6, 7}) {
    ASSERT_TRUE(Do(Add("n" + std::to_string(i), 70 + static_cast<std::uint64_t>(i))).changed);
  }
  EXPECT_EQ(VotersNow(), ids({1, 2, 3, 4, 5}));
  EXPECT_EQ(CodeOf(Add("n8", 78)), ErrorCode::kInvalidArgument);
  ASSERT_TRUE(Do(Drain(2)).changed);
  EXPECT_EQ(VotersNow(), ids({1, 3, 4, 5, 6}));
  EXPECT_EQ(data_.map.Find("main")->promise.replicas, 5U);
  ASSERT_TRUE(Do(Forget(2)).changed);
  EXPECT_FALSE(data_.map.nodes.contains(NodeId(2)));
}

// No machine goes that a promise cannot spare, and a drained one stays until it is empty.
TEST_F(ControlApply, DrainAndRemove) {
  ASSERT_TRUE(Do(Add("n4", 77)).changed);
  ASSERT_TRUE(Do(Create("a", keyspace::Replication::kRaft, 3)).status.has_value());
  EXPECT_EQ(CodeOf(Drain(9)), ErrorCode::kNoNode);
  EXPECT_EQ(CodeOf(Remove(9)), ErrorCode::kNoNode);
  const placement::Shard before = data_.map.Find("a")->shards.front();
  const NodeId held = before.replicas.front().node;
  ASSERT_TRUE(Do(Drain(held.value)).changed);
  EXPECT_FALSE(Do(Drain(held.value)).changed);
  EXPECT_EQ(CodeOf(Forget(held.value)), ErrorCode::kInvalidArgument);
  for (const auto& [id, info] : data_.map.nodes) {
    if (id != held) EXPECT_EQ(CodeOf(Drain(id.value)), ErrorCode::kTooFewNodes);
  }
  ASSERT_TRUE(Do(Remove(held.value)).changed);  // it died while it was drained
}

// A shard's replicas change only from the epoch that the change was planned for, and never to what
// cannot be.
TEST_F(ControlApply, SetReplicas) {
  ASSERT_TRUE(Do(Add("n4", 77)).changed);
  ASSERT_TRUE(Do(Create("a", keyspace::Replication::kRaft, 3)).status.has_value());
  const placement::Shard before = data_.map.Find("a")->shards.front();
  NodeId spare;
  for (const auto& [id, info] : data_.map.nodes) {
    if (std::ranges::none_of(before.replicas, [&](const auto& r) { return r.node == id; }))
      spare = id;
  }
  const auto change = [&](std::vector<ShardReplica> replicas, Epoch from) {
    control::Command command;
    command.mutable_set_replicas()->set_shard(before.id.value);
    command.mutable_set_replicas()->set_from_epoch(from.value);
    for (const auto& r : replicas) ToProto(r, command.mutable_set_replicas()->add_replicas());
    return command;
  };
  std::vector<ShardReplica> wider = before.replicas;
  wider.push_back({.node = spare, .phase = Phase::kJoining});
  EXPECT_EQ(CodeOf(change({}, before.epoch)), ErrorCode::kInvalidArgument);
  EXPECT_EQ(CodeOf(change({{.node = NodeId(9)}}, before.epoch)), ErrorCode::kInvalidArgument);
  EXPECT_EQ(CodeOf(change({{.node = spare}, {.node = spare}}, before.epoch)),
            ErrorCode::kInvalidArgument);
  ASSERT_TRUE(Do(change(wider, before.epoch)).changed);
  EXPECT_EQ(CodeOf(change(wider, before.epoch)), ErrorCode::kStaleEpoch);
  control::Command report;
  report.mutable_report_replica()->set_shard(before.id.value);
  report.mutable_report_replica()->set_epoch(before.epoch.value);
  report.mutable_report_replica()->set_node(spare.value);
  EXPECT_FALSE(Do(report).changed);  // about the epoch before
  report.mutable_report_replica()->set_epoch(before.epoch.value + 1);
  EXPECT_TRUE(Do(report).changed);
  EXPECT_FALSE(Do(report).changed);
}

// Whatever commands come, the map stays sound and comes back from its bytes as it was.
TEST(ControlCodec, RandomCommandsKeepTheMapSound) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    Random random(seed);
    ControlData data;
    control::Command first;
    for (std::uint64_t i = 1; i <= 3; ++i) {
      *first.mutable_bootstrap()->add_nodes() = NodeNamed(i, "n" + std::to_string(i));
    }
    ASSERT_TRUE(ApplyControl(data, first).changed);
    for (int i = 0; i < 200; ++i) {
      control::Command command;
      const std::string name(1, static_cast<char>('a' + random.Below(5)));
      switch (random.Below(6)) {
        case 0:
          command.mutable_create_keyspace()->set_name(name);
          command.mutable_create_keyspace()->set_replication(
              static_cast<std::uint32_t>(random.Below(5)));
          command.mutable_create_keyspace()->set_replicas(
              static_cast<std::uint32_t>(random.Below(5)));
          break;
        case 1:
          command.set_drop_keyspace(name);
          break;
        case 2:
          *command.mutable_add_node()->mutable_node() =
              NodeNamed(0, "n" + std::to_string(random.Below(12)));
          command.mutable_add_node()->set_token(random.Below(3));
          break;
        case 3:
          command.set_drain_node(random.Below(12));
          break;
        case 4:
          command.set_remove_node(random.Below(12));
          break;
        default:
          command.set_forget_node(random.Below(12));
      }
      (void)ApplyControl(data, command);
      const auto decoded = DecodeControlData(EncodeControlData(data));
      ASSERT_TRUE(decoded.has_value());
      ASSERT_EQ(decoded->map, data.map);
      ASSERT_EQ(decoded->founders, data.founders);
      ASSERT_EQ(decoded->tokens, data.tokens);
      const auto* const main = data.map.Find("main");
      ASSERT_NE(main, nullptr);
      ASSERT_FALSE(main->shards.front().replicas.empty());
      for (const ShardReplica& voter : main->shards.front().replicas) {
        ASSERT_TRUE(data.map.nodes.contains(voter.node));
        ASSERT_FALSE(data.map.nodes.at(voter.node).draining);
      }
    }
  }
}

}  // namespace
}  // namespace coterie::node
