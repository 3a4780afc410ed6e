#include "cli/demo.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>

#include "cli/admin_client.h"

namespace coterie::cli {
namespace {

/// A directory of its own and a runtime directory of its own, so that a demo that a person runs at
/// the same time is neither found nor disturbed; nodes are stand-ins on 127.0.71.x.
class DemoTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "coterie-demo-test-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    std::filesystem::create_directory(root_ + "/run");
    setenv("XDG_RUNTIME_DIR", (root_ + "/run").c_str(), 1);
    options_.dir = root_ + "/demo";
    options_.first_address = "127.0.71.1";
    options_.executable = AbsolutePath("src/cli/testing/stand_in_node.py");
    options_.end_with_parent = true;
  }
  void TearDown() override {
    if (const Result<DemoState> state = LoadDemo(root_ + "/demo")) (void)StopDemo(state->dir);
    RemoveTree(root_);
  }
  Result<DemoState> Start() {
    return StartDemo(options_, [] { return false; });
  }

  std::string root_;
  DemoOptions options_;
};

// Claim: when the start answers, every node answers; the demo is found without naming it; stopping
// ends every process and the demo is found no more.
TEST_F(DemoTest, StartsAndStops) {
  const Result<DemoState> state = Start();
  ASSERT_TRUE(state) << state.error().message;
  ASSERT_EQ(state->nodes.size(), 3u);
  std::vector<runtime::Address> admins;
  for (const DemoNode& node : state->nodes) admins.push_back(node.admin());
  for (const Result<NodeReport>& report : AskStatus(admins, 5s)) {
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_TRUE(report->ready);
  }
  const Result<DemoState> found = FindDemo(std::nullopt);
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->dir, state->dir);
  EXPECT_EQ(found->nodes[2].process, state->nodes[2].process);
  EXPECT_EQ(found->nodes[2].host, "127.0.71.3");

  ASSERT_TRUE(StopDemo(state->dir));
  for (const DemoNode& node : state->nodes) EXPECT_EQ(StateOf(node.process), ProcessState::kGone);
  EXPECT_EQ(FindDemo(std::nullopt).error().code, ErrorCode::kNoDemo);
}

// Claim: a port in use is told with the node's name and the address, and leaves nothing running.
TEST_F(DemoTest, PortInUseLeavesNothing) {
  const Result<DemoState> first = Start();
  ASSERT_TRUE(first) << first.error().message;
  DemoOptions second = options_;
  second.dir = root_ + "/second";
  second.first_address = "127.0.71.0";  // its n2 wants what our n1 has
  const Result<DemoState> refused = StartDemo(second, [] { return false; });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kAddressInUse);
  EXPECT_NE(refused.error().message.find("n2"), std::string::npos) << refused.error().message;
  EXPECT_NE(refused.error().message.find("127.0.71.1:2379"), std::string::npos);
  EXPECT_FALSE(LoadDemo(*second.dir)) << "it was never started, so there is nothing to find";
}

// Claim: of two demos none is taken without being named; with one of them stopped the other is
// found. What a demo writes says that it is one, and is its user's alone.
TEST_F(DemoTest, NeverAnothers) {
  options_.nodes = 1;
  const Result<DemoState> first = Start();
  ASSERT_TRUE(first) << first.error().message;
  DemoOptions other = options_;
  other.dir = root_ + "/other";
  other.first_address = "127.0.71.9";
  const Result<DemoState> second = StartDemo(other, [] { return false; });
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ(ListDemos()->size(), 2u);
  const Result<DemoState> either = FindDemo(std::nullopt);
  ASSERT_FALSE(either);
  EXPECT_EQ(either.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(either.error().message.find(root_ + "/demo, " + root_ + "/other"), std::string::npos)
      << either.error().message;
  ASSERT_TRUE(StopDemo(second->dir));
  const Result<DemoState> left = FindDemo(std::nullopt);
  ASSERT_TRUE(left) << left.error().message;
  EXPECT_EQ(left->dir, first->dir);
  EXPECT_NE(ReadTextFile(first->nodes[0].config_path)->find("POST /fault"), std::string::npos);
}

// Claim: a node that ends while starting fails the start with its name and its own last words, and
// the nodes that did start are stopped.
TEST_F(DemoTest, NodeThatEndsIsNamedWithItsReason) {
  options_.executable = "/bin/sh";  // does not know `start`
  const Result<DemoState> refused = Start();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kStopped);
  EXPECT_NE(refused.error().message.find("Node n"), std::string::npos) << refused.error().message;
  EXPECT_NE(refused.error().message.find("start"), std::string::npos) << refused.error().message;
  const Result<DemoState> state = LoadDemo(*options_.dir);
  if (state) EXPECT_FALSE(state->AnyAlive());
}

// Claim: a directory whose demo runs is not started twice, nor with another number of nodes.
TEST_F(DemoTest, DirectoryIsUsedOnce) {
  ASSERT_TRUE(Start());
  EXPECT_EQ(Start().error().code, ErrorCode::kDataDirInUse);
  ASSERT_TRUE(StopDemo(*options_.dir));
  options_.nodes = 5;
  EXPECT_EQ(Start().error().code, ErrorCode::kInvalidArgument);
  options_.nodes = 3;
  EXPECT_TRUE(Start());
}

// Claim: a killed node comes back as a new process on its old address and data; a running one does
// not start twice.
TEST_F(DemoTest, KilledNodeRestarts) {
  Result<DemoState> state = Start();
  ASSERT_TRUE(state) << state.error().message;
  EXPECT_EQ(RestartNode(*state, "n2").error().code, ErrorCode::kDataDirInUse);
  const Process before = state->Find("n2")->process;
  ASSERT_TRUE(Signal(before, SIGKILL));
  ASSERT_TRUE(WaitGone(before, 10s));
  ASSERT_TRUE(RestartNode(*state, "n2"));
  const Process after = state->Find("n2")->process;
  EXPECT_NE(before, after);
  EXPECT_EQ(StateOf(after), ProcessState::kRunning);
  EXPECT_EQ(LoadDemo(state->dir)->Find("n2")->process, after);
}

// Claim: a node that is added runs at the next address under a name that was never used, joins
// through the others, is stopped with the demo, and the same nodes start again from the directory.
TEST_F(DemoTest, NodesComeAndGo) {
  options_.nodes = 2;
  Result<DemoState> state = Start();
  ASSERT_TRUE(state) << state.error().message;
  const auto add = [&] { return AddDemoNode(*state, 30s, [] { return false; }); };
  const Result<DemoNode> third = add();
  ASSERT_TRUE(third) << third.error().message;
  EXPECT_EQ(third->name, "n3");
  EXPECT_EQ(third->host, "127.0.71.3");
  EXPECT_EQ(StateOf(third->process), ProcessState::kRunning);
  ASSERT_TRUE(RetireDemoNode(state->dir, "n3"));
  EXPECT_EQ(StateOf(third->process), ProcessState::kGone);
  EXPECT_EQ(RetireDemoNode(state->dir, "n3").error().code, ErrorCode::kNoNode);
  const Result<DemoNode> fourth = add();
  ASSERT_TRUE(fourth) << fourth.error().message;
  EXPECT_EQ(fourth->name, "n4");
  EXPECT_EQ(fourth->id, 4u);
  EXPECT_EQ(LoadDemo(state->dir)->nodes.size(), 3u);

  ASSERT_TRUE(StopDemo(state->dir));
  EXPECT_EQ(StateOf(fourth->process), ProcessState::kGone);
  options_.nodes = 3;
  state = Start();
  ASSERT_TRUE(state) << state.error().message;
  EXPECT_EQ(state->nodes[2].name, "n4");
  EXPECT_EQ(state->nodes[2].host, "127.0.71.4");
}

// Claim: a node that cannot start is not left in the demo.
TEST_F(DemoTest, NodeThatCannotJoinIsForgotten) {
  options_.nodes = 1;
  Result<DemoState> state = Start();
  ASSERT_TRUE(state) << state.error().message;
  state->executable = "/bin/sh";
  ASSERT_TRUE(SaveDemo(*state));
  const Result<DemoNode> refused = AddDemoNode(*state, 30s, [] { return false; });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kStopped);
  EXPECT_EQ(LoadDemo(state->dir)->nodes.size(), 1u);
}

// Claim: a node that cannot join in time is told as it is: it runs on, recorded, and may become a
// member; patience is the time that passes, and the demo is not locked meanwhile. One that was
// interrupted is stopped and stays recorded, so that it can be started again or removed.
TEST_F(DemoTest, OutcomesOfAnAddAreTrue) {
  options_.nodes = 1;
  Result<DemoState> state = Start();
  ASSERT_TRUE(state) << state.error().message;
  // Answers nobody, as a node that waits for a majority to take it in.
  const std::string waiting = root_ + "/waiting";
  ASSERT_TRUE(WriteTextFile(waiting, "#!/bin/sh\nexec sleep 60\n"));
  std::filesystem::permissions(waiting, std::filesystem::perms::owner_all);
  state->executable = waiting;
  ASSERT_TRUE(SaveDemo(*state));
  bool free = false;
  const Result<DemoNode> late = AddDemoNode(*state, 1s, [&] {
    const std::string path = root_ + "/demo/demo.lock";
    const int lock = open(path.c_str(), O_RDWR);
    free = flock(lock, LOCK_EX | LOCK_NB) == 0;
    close(lock);
    return false;
  });
  ASSERT_FALSE(late);
  EXPECT_TRUE(free);
  EXPECT_EQ(late.error().code, ErrorCode::kTimedOut);
  EXPECT_EQ(late.error().outcome, Outcome::kUnknown);
  ASSERT_NE(state->Find("n2"), nullptr);
  EXPECT_EQ(StateOf(LoadDemo(state->dir)->Find("n2")->process), ProcessState::kRunning);

  const Result<DemoNode> stopped = AddDemoNode(*state, 30s, [] { return true; });
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
  EXPECT_EQ(stopped.error().outcome, Outcome::kUnknown);
  ASSERT_NE(LoadDemo(state->dir)->Find("n3"), nullptr);
  EXPECT_EQ(StateOf(LoadDemo(state->dir)->Find("n3")->process), ProcessState::kGone);
}

// Claim: every node of a demo is told the same default keyspaces, with no more copies than nodes.
TEST_F(DemoTest, DefaultKeyspaces) {
  options_.nodes = 2;
  const Result<DemoState> state = Start();
  ASSERT_TRUE(state) << state.error().message;
  for (const DemoNode& node : state->nodes) {
    const Result<std::string> text = ReadTextFile(node.config_path);
    ASSERT_TRUE(text);
    for (const char* part : {"cart:replication=leaderless:replicas=2:read=1:write=1:conflict=crdt",
                             "lock:replication=paxos:replicas=2", "redis = \"127.0.71.2:6379\""}) {
      EXPECT_NE(text->find(part), std::string::npos) << part << "\n" << *text;
    }
  }
}

// Claim: a process number that now belongs to another process is never signalled.
TEST(ProcessTest, ReusedPidIsNotSignalled) {
  const Result<Process> child = Launch({"/bin/sleep", {"60"}, "/dev/null"});
  ASSERT_TRUE(child);
  Process impostor = *child;
  ++impostor.start_ticks;
  EXPECT_EQ(StateOf(impostor), ProcessState::kGone);
  EXPECT_EQ(Signal(impostor, SIGKILL).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(StateOf(*child), ProcessState::kRunning);
  Stop(*child, 5s);
  EXPECT_EQ(StateOf(*child), ProcessState::kGone);
}

// Claim: a paused process is seen as paused, and stopping it works all the same.
TEST(ProcessTest, PausedProcessStops) {
  const Result<Process> child = Launch({"/bin/sleep", {"60"}, "/dev/null"});
  ASSERT_TRUE(child);
  ASSERT_TRUE(Signal(*child, SIGSTOP));
  while (StateOf(*child) == ProcessState::kRunning) SleepFor(1ms);
  EXPECT_EQ(StateOf(*child), ProcessState::kPaused);
  Stop(*child, 5s);
  EXPECT_EQ(StateOf(*child), ProcessState::kGone);
}

}  // namespace
}  // namespace coterie::cli
