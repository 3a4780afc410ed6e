// Whose data directory it is, on the simulated disk.

#include "node/identity.h"

#include <gtest/gtest.h>

#include "runtime/sim/simulation.h"

namespace coterie::node {
namespace {

using runtime::Task;
using runtime::World;

constexpr std::uint64_t kClusterId = 0xc1;
constexpr std::uint64_t kBirth = 0xb1;

Task<void> Check(World* world, std::string content, std::string cluster, NodeId node,
                 std::string name, Status* out, Identity* last) {
  const Status made = co_await world->disk().MakeDir("/data");
  COT_ASSERT(made.has_value());
  if (!content.empty()) {
    const Status written = co_await runtime::ReplaceFile(world->disk(), "/data/identity", content);
    COT_ASSERT(written.has_value());
  }
  auto known = co_await ReadIdentity(world->disk(), "/data", cluster, node, name);
  if (!known) {
    *out = std::unexpected(known.error());
    co_return;
  }
  Identity identity_now{node, name, kClusterId, kBirth, 0, {NodeId(1), NodeId(2)}};
  if (*known) identity_now = std::move(**known);
  if (identity_now.birth == 0) identity_now.birth = kBirth;  // of format 1
  auto identity =
      co_await BeginIncarnation(world->disk(), "/data", cluster, std::move(identity_now));
  *out = identity ? Status() : std::unexpected(identity.error());
  if (identity && last != nullptr) *last = *identity;
}

class IdentityTest : public testing::Test {
 protected:
  /// Checks the directory as node `node` of `cluster`, after putting `content` there unless empty.
  Status As(const std::string& cluster, NodeId node, const std::string& content = {},
            const std::string& name = "n1") {
    Status out = Fail(ErrorCode::kIo, "not run");
    sim_.Start(node_, [&, content, cluster, node, name](World& world) {
      return Check(&world, content, cluster, node, name, &out, &last_);
    });
    EXPECT_TRUE(sim_.RunUntil([&] { return sim_.finished(node_); }, 10s));
    sim_.Kill(node_);
    return out;
  }
  ErrorCode CodeFor(const std::string& content) {
    const Status checked = As("red", NodeId(1), content);
    return checked ? ErrorCode::kInvalidArgument : checked.error().code;
  }

  Identity last_;
  runtime::Simulation sim_{{.seed = 5}};
  runtime::NodeHandle node_ = sim_.AddNode("n1", "10.0.0.1");
};

// An empty directory becomes this node's, durably: the machine dies right after. Each start has an
// incarnation of its own.
TEST_F(IdentityTest, TakesAnEmptyDirectoryForGood) {
  for (std::uint16_t start = 1; start <= 3; ++start) {
    EXPECT_TRUE(As("red", NodeId(1)).has_value());
    EXPECT_EQ(last_,
              (Identity{NodeId(1), "n1", kClusterId, kBirth, start, {NodeId(1), NodeId(2)}}));
  }
  EXPECT_TRUE(As("red", NodeId()).has_value());  // whoever it is
  EXPECT_EQ(last_.node, NodeId(1));
}

// The last incarnation is not given twice.
TEST_F(IdentityTest, IncarnationsEnd) {
  const std::string old = "coterie-data 1\ncluster red\nnode 1\nincarnation 65534\nfounders \n";
  ASSERT_TRUE(As("red", NodeId(1), old).has_value());
  EXPECT_EQ(last_.incarnation, 65535);
  EXPECT_EQ(last_.name, "n1");  // format 1 did not say
  const Status again = As("red", NodeId(1));
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code, ErrorCode::kInvalidConfig);
}

// Another cluster's or another node's directory is refused, and named.
TEST_F(IdentityTest, RefusesForeignDirectories) {
  ASSERT_TRUE(As("red", NodeId(1)).has_value());
  const Status other_cluster = As("blue", NodeId(1));
  ASSERT_FALSE(other_cluster.has_value());
  EXPECT_EQ(other_cluster.error().code, ErrorCode::kForeignData);
  EXPECT_NE(other_cluster.error().message.find("red"), std::string::npos);
  const Status other_node = As("red", NodeId(2));
  ASSERT_FALSE(other_node.has_value());
  EXPECT_EQ(other_node.error().code, ErrorCode::kForeignData);
  const Status copy = As("red", NodeId(1), {}, "n2");
  ASSERT_FALSE(copy.has_value());
  EXPECT_EQ(copy.error().code, ErrorCode::kForeignData);
  EXPECT_NE(copy.error().message.find("'n1'"), std::string::npos);
  EXPECT_TRUE(As("red", NodeId(1)).has_value());  // and it is as it was
}

// A later format's directory is refused whatever else it says.
TEST_F(IdentityTest, RefusesNewerFormats) {
  EXPECT_EQ(CodeFor("coterie-data 3\ncluster red\nnode 1\n"), ErrorCode::kNewerData);
  EXPECT_EQ(CodeFor("coterie-data 3\nall different\n"), ErrorCode::kNewerData);
}

// What is not an identity is damage, never a reason to take the directory over.
TEST_F(IdentityTest, RefusesDamage) {
  const std::string good =
      "coterie-data 2\ncluster red\ncluster-id 00000000000000c1\nnode 1\nname n1\n"
      "birth 00000000000000b1\nincarnation 7\nfounders 1 2\n";
  ASSERT_TRUE(As("red", NodeId(1), good).has_value());
  for (std::size_t n = 1; n < good.size(); ++n) {
    EXPECT_EQ(CodeFor(good.substr(0, n)), ErrorCode::kCorruptState) << good.substr(0, n);
  }
  EXPECT_EQ(CodeFor("coterie-data 0\ncluster red\nnode 1\n"), ErrorCode::kCorruptState);
  EXPECT_EQ(CodeFor("coterie-data x\ncluster red\nnode 1\n"), ErrorCode::kCorruptState);
  EXPECT_EQ(CodeFor("coterie-data 1x\ncluster red\nnode 1\n"), ErrorCode::kCorruptState);
  EXPECT_EQ(CodeFor(good + "x"), ErrorCode::kCorruptState);
  EXPECT_EQ(CodeFor("coterie-data 1\ncluster red\nnode 1\nincarnation 65536\nfounders 1\n"),
            ErrorCode::kCorruptState);
  EXPECT_EQ(CodeFor("coterie-data 1\ncluster red\nnode 1\nincarnation 1\nfounders 1,2\n"),
            ErrorCode::kCorruptState);
  EXPECT_EQ(CodeFor(std::string(5000, 'x')), ErrorCode::kCorruptState);
}

}  // namespace
}  // namespace coterie::node
