// Claim: each scenario of testdata/ happens exactly as written there, and breaks no promise. A
// changed answer is to be understood before it is accepted: PAXOS_REWRITE=1 paxos_scenario_test
// writes the new ones.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "consensus/paxos/scenario.h"

namespace coterie::paxos {
namespace {

const char kFolder[] = "src/consensus/paxos/testdata";

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

TEST(PaxosScenario, HappensAsWritten) {
  const std::vector<std::filesystem::path> paths = Scenarios();
  EXPECT_GE(paths.size(), 8u);
  for (const std::filesystem::path& path : paths) {
    SCOPED_TRACE(path.string());
    const std::string expected = ReadAll(path);
    Scenario scenario;
    const std::string actual = scenario.Play(expected);
    EXPECT_EQ(scenario.broken(), "");
    if (std::getenv("PAXOS_REWRITE") != nullptr) std::ofstream(path) << actual;
    if (std::getenv("PAXOS_REWRITE") == nullptr) EXPECT_EQ(actual, expected);
  }
}

}  // namespace
}  // namespace coterie::paxos
