// Claim: each scenario of testdata/ happens exactly as written there, and breaks no promise. A
// changed answer is to be understood before it is accepted: RAFT_REWRITE=1 raft_scenario_test
// writes the new ones.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "consensus/raft/scenario.h"

namespace coterie::raft {
namespace {

const char kFolder[] = "src/consensus/raft/testdata";

std::string ReadAll(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

std::vector<std::filesystem::path> Scenarios() {
  std::vector<std::filesystem::path> paths;
  for (const auto& file : std::filesystem::directory_iterator(kFolder)) {
    if (file.path().extension() == ".scn") paths.push_back(file.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

TEST(RaftScenario, HappensAsWritten) {
  const std::vector<std::filesystem::path> paths = Scenarios();
  EXPECT_GE(paths.size(), 20u);
  for (const std::filesystem::path& path : paths) {
    SCOPED_TRACE(path.string());
    const std::string expected = ReadAll(path);
    Scenario scenario;
    const std::string actual = scenario.Play(expected);
    EXPECT_EQ(scenario.broken(), "");
    if (std::getenv("RAFT_REWRITE") != nullptr) std::ofstream(path) << actual;
    if (std::getenv("RAFT_REWRITE") == nullptr) EXPECT_EQ(actual, expected);
  }
}

// Whoever is not the leader that a follower knows of cannot make it campaign.
TEST(RaftScenario, TimeoutNowOfAnotherIsIgnored) {
  Random random(1);
  Restored restored;
  restored.configuration.voters = {NodeId(1), NodeId(2), NodeId(3)};
  Config config;
  config.self = NodeId(2);
  Raft raft(config, restored, random, Instant{});
  raft.Step(NodeId(1), AppendEntries{.term = Term(3)}, Instant{});
  ASSERT_EQ(raft.leader(), NodeId(1));
  raft.Step(NodeId(3), TimeoutNow{Term(3)}, Instant{});
  EXPECT_EQ(raft.role(), Role::kFollower);
  EXPECT_EQ(raft.term(), Term(3));
  raft.Step(NodeId(3), TimeoutNow{Term(4)}, Instant{});
  EXPECT_EQ(raft.role(), Role::kFollower);
  raft.Step(NodeId(1), AppendEntries{.term = Term(4)}, Instant{});
  raft.Step(NodeId(1), TimeoutNow{Term(4)}, Instant{});
  EXPECT_EQ(raft.role(), Role::kCandidate);
}

}  // namespace
}  // namespace coterie::raft
