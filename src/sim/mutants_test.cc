// Claim: runs of whole clusters notice each of these classic mistakes, of the driver and of the
// core, within a bounded number of seeds; and they stay quiet without a mistake.

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "consensus/raft/mutants.h"
#include "node/mutants.h"
#include "sim/etcd_cluster.h"
#include "sim/runner.h"

namespace coterie::sim {
namespace {

constexpr int kSurvived = 0;
constexpr int kKilled = 3;

struct Case {
  const char* name;
  node::Mutant driver;
  raft::Mutant core;
  std::uint64_t seeds_max;
};

/// Ends this process: kKilled at the first seed that fails.
[[noreturn]] void Hunt(const Case& mutant) {
  node::active_mutant = mutant.driver;
  raft::active_mutant = mutant.core;
  const ClusterFactory factory = EtcdClusterFactory();
  for (std::uint64_t seed = 1; seed <= mutant.seeds_max; ++seed) {
    const RunReport report = RunSeed(seed, factory);
    if (report.ok()) continue;
    std::printf("killed by seed %lu: %s\n", seed, report.explanation.substr(0, 160).c_str());
    std::fflush(stdout);
    std::_Exit(kKilled);
  }
  std::_Exit(kSurvived);
}

/// In a process of its own: an assertion that a mistake trips kills it too.
void CheckKilled(const Case& mutant) {
  std::fflush(stdout);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) Hunt(mutant);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  const bool asserted = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
  const bool none = mutant.driver == node::Mutant::kNone && mutant.core == raft::Mutant::kNone;
  const bool killed = asserted || (WIFEXITED(status) && WEXITSTATUS(status) == kKilled);
  EXPECT_EQ(killed, !none) << mutant.name << " after " << mutant.seeds_max << " seeds";
}

class ClusterMutant : public testing::TestWithParam<Case> {};
TEST_P(ClusterMutant, IsKilled) { CheckKilled(GetParam()); }

using node::Mutant;
constexpr raft::Mutant kSound = raft::Mutant::kNone;

constexpr auto kNameOf = [](const testing::TestParamInfo<Case>& info) { return info.param.name; };

INSTANTIATE_TEST_SUITE_P(
    Often, ClusterMutant,
    testing::Values(Case{"None", Mutant::kNone, kSound, 100},
                    Case{"SendBeforePersist", Mutant::kSendBeforePersist, kSound, 1000},
                    Case{"AckBeforeDurable", Mutant::kAckBeforeDurable, kSound, 1000},
                    Case{"ApplyBeforeCommit", Mutant::kApplyBeforeCommit, kSound, 1000},
                    Case{"ReadBeforeApplied", Mutant::kReadBeforeApplied, kSound, 1000},
                    Case{"ReadAsDeposedLeader", Mutant::kReadAsDeposedLeader, kSound, 2000},
                    Case{"ReadIndexOfFollower", Mutant::kReadIndexOfFollower, kSound, 1000},
                    Case{"ForgetVoteOnCompaction", Mutant::kForgetVoteOnCompaction, kSound, 1000},
                    Case{"CompactBeforeFlush", Mutant::kCompactBeforeFlush, kSound, 1000},
                    Case{"InstallWithoutLogReset", Mutant::kInstallWithoutLogReset, kSound, 1000},
                    Case{"RetryUnknown", Mutant::kRetryUnknown, kSound, 2000},
                    Case{"RenewAsDeposedLeader", Mutant::kRenewAsDeposedLeader, kSound, 2000},
                    Case{"R9", Mutant::kNone, raft::Mutant::R9, 2000}),
    kNameOf);

// These need a pause or a crash within a few milliseconds: minutes of search, on request.
class RareClusterMutant : public ClusterMutant {};
TEST_P(RareClusterMutant, IsKilled) {
  if (std::getenv("COTERIE_SIM_RARE") == nullptr) GTEST_SKIP() << "set COTERIE_SIM_RARE";
  CheckKilled(GetParam());
}
INSTANTIATE_TEST_SUITE_P(Rare, RareClusterMutant,
                         testing::Values(Case{"RevokeAsDeposedLeader",
                                              Mutant::kRevokeAsDeposedLeader, kSound, 5000},
                                         // A leader notices a member that lost what it had
                                         // acknowledged and sends it again: now the leader must
                                         // die, too, before it has. raft_mutants_test finds it.
                                         Case{"R6", Mutant::kNone, raft::Mutant::R6, 5000},
                                         Case{"R1", Mutant::kNone, raft::Mutant::R1, 5000}),
                         kNameOf);

}  // namespace
}  // namespace coterie::sim
