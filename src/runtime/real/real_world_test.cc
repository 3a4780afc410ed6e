#include "runtime/real/real_world.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <thread>
#include <vector>

#include "runtime/real/direct_writer.h"

namespace coterie::runtime {
namespace {

Task<void> EchoOnce(std::unique_ptr<Listener> listener) {
  auto accepted = co_await listener->Accept();
  COT_ASSERT(accepted.has_value());
  const std::unique_ptr<Stream> stream = std::move(*accepted);
  char buffer[4096];
  for (;;) {
    const auto got = co_await stream->Read(buffer);
    if (!got || *got == 0) co_return;
    const Status written = co_await stream->Write(std::string(buffer, *got));
    if (!written) co_return;
  }
}

Task<std::string> Ask(Network& network, Address to, std::string text) {
  auto connected = co_await network.Connect(to, 5s);
  COT_ASSERT(connected.has_value());
  const std::unique_ptr<Stream> stream = std::move(*connected);
  const Status written = co_await stream->Write(text);
  COT_ASSERT(written.has_value());
  stream->ShutdownWrite();
  std::string answer;
  char buffer[1000];
  for (;;) {
    const auto got = co_await stream->Read(buffer);
    COT_ASSERT(got.has_value());
    if (*got == 0) co_return answer;
    answer.append(buffer, *got);
  }
}

// Whole sectors reach the file; anything else is left to others, and a file that does not take
// direct writes is not asked twice.
TEST(DirectWriter, WritesWholeSectorsAndRefusesTheRest) {
  char name[] = "direct-writer-XXXXXX";  // the working directory is on a disk, /tmp need not be
  const int fd = ::mkstemp(name);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(::unlink(name), 0);
  DirectWriter direct;
  const std::string sector(DirectWriter::kSectorBytes, 's');
  EXPECT_EQ(direct.WriteAndSync(fd, 0, ""), EINVAL);
  EXPECT_EQ(direct.WriteAndSync(fd, 0, "half"), EINVAL);
  EXPECT_EQ(direct.WriteAndSync(fd, 100, sector), EINVAL);
  EXPECT_EQ(direct.WriteAndSync(fd, 0, std::string(DirectWriter::kBytesMax + 512, 'x')), EINVAL);
  const int written = direct.WriteAndSync(fd, 512, sector);
  EXPECT_TRUE(written == 0 || written == EINVAL);
  char read[512];
  if (written == 0) {
    ASSERT_EQ(::pread(fd, read, sizeof read, 512), 512);
    EXPECT_EQ(std::string_view(read, sizeof read), sector);
  }
  ::close(fd);

  DirectWriter refused;
  EXPECT_EQ(refused.WriteAndSync(-1, 0, sector), EINVAL);
  EXPECT_EQ(refused.WriteAndSync(STDIN_FILENO, 0, sector), EINVAL);
}

// A megabyte goes out and comes back over loopback, in order.
TEST(RealWorld, EchoesOverLoopback) {
  const auto world = RealWorld::Create();
  ASSERT_TRUE(world.has_value());
  RealWorld& real = **world;
  auto listener = real.network().Listen({"127.0.0.1", 0});
  ASSERT_TRUE(listener.has_value());
  const Address at = (*listener)->local();
  Scope scope;
  scope.Spawn(EchoOnce(std::move(*listener)));
  std::string text;
  for (int i = 0; text.size() < (1u << 20); ++i) text += std::to_string(i);
  EXPECT_EQ(BlockOn(real, Ask(real.network(), at, text)), text);
}

// Memory that is written to becomes resident, processor time that is spent is counted.
TEST(RealWorld, TellsWhatTheProcessUses) {
  const auto world = RealWorld::Create();
  ASSERT_TRUE(world.has_value());
  const ProcessUsage before = (*world)->Usage();
  EXPECT_GT(before.resident_bytes, 0u);
  constexpr std::size_t kBytes = 64u << 20;
  std::vector<char> memory(kBytes, 'x');
  const ProcessUsage after = (*world)->Usage();
  EXPECT_EQ(memory[kBytes / 2], 'x');
  EXPECT_GE(after.resident_bytes, before.resident_bytes + kBytes / 2);
  EXPECT_GT(after.cpu, before.cpu);
}

Task<void> NoteQuiet(Reactor& reactor, std::vector<bool>* answers, bool* done) {
  answers->push_back(co_await reactor.Quiet());
  if (answers->size() == 2) *done = true;
}

// Of two who ask in an idle turn one may block the loop; while a descriptor is ready, nobody.
TEST(Reactor, OneWaiterAtATimeHasTheLoopToItself) {
  Reactor reactor;
  Scope scope;
  std::vector<bool> answers;
  bool done = false;
  scope.Spawn(NoteQuiet(reactor, &answers, &done));
  scope.Spawn(NoteQuiet(reactor, &answers, &done));
  reactor.Run(&done);
  EXPECT_EQ(answers, (std::vector<bool>{true, false}));

  struct Readable final : Pollable {
    void OnEvents(std::uint32_t) override {}
  } readable;
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ASSERT_EQ(::write(ends[1], "x", 1), 1);
  ASSERT_TRUE(reactor.Watch(ends[0], EPOLLIN, readable).has_value());
  answers.clear();
  done = false;
  scope.Spawn(NoteQuiet(reactor, &answers, &done));
  scope.Spawn(NoteQuiet(reactor, &answers, &done));
  reactor.Run(&done);
  EXPECT_EQ(answers, (std::vector<bool>{false, false}));
  ::close(ends[0]);
  ::close(ends[1]);
}

Task<void> WorkAndYield(Reactor* reactor, const bool* fired, int* steps, bool* done) {
  for (; !*fired && *steps < 2 * Reactor::kItemsPerPoll; ++*steps) {
    std::this_thread::sleep_for(1ms);  // stands for work
    co_await Yield(*reactor);
  }
  *done = true;
}

Task<void> Fire(Reactor* reactor, bool* fired) {
  co_await Sleep(*reactor, 1ms);
  *fired = true;
}

// A task that works on and yields lets timers and sockets have their turn long before it has been
// kItemsPerPoll times behind itself.
TEST(Reactor, WhatYieldsKeepsNobodyWaiting) {
  Reactor reactor;
  Scope scope;
  bool fired = false, done = false;
  int steps = 0;
  scope.Spawn(Fire(&reactor, &fired));
  scope.Spawn(WorkAndYield(&reactor, &fired, &steps, &done));
  reactor.Run(&done);
  EXPECT_TRUE(fired);
  EXPECT_LT(steps, Reactor::kItemsPerPoll / 2);
}

// SIGTERM arrives as the value of WaitSignal and does not end the process.
TEST(RealWorld, DeliversSignals) {
  RealOptions options;
  options.handle_signals = true;
  const auto world = RealWorld::Create(std::move(options));
  ASSERT_TRUE(world.has_value());
  ::kill(::getpid(), SIGTERM);
  EXPECT_EQ(BlockOn(**world, (*world)->WaitSignal()), SIGTERM);
}

// Stop from another thread ends a loop that waits with nothing to do.
TEST(RealWorld, StopsFromAnotherThread) {
  const auto world = RealWorld::Create();
  ASSERT_TRUE(world.has_value());
  std::thread stopper([&] { (*world)->Stop(); });
  (*world)->Run();
  stopper.join();
}

// Crash ends the process with the exit code that supervisors and the simulator's readers know.
TEST(RealWorldDeathTest, CrashExitsWithItsCode) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        const auto world = RealWorld::Create();
        (*world)->Crash("the disk refused a sync");
      },
      ::testing::ExitedWithCode(70), "the disk refused a sync");
}

Task<void> SleepLong(Executor& executor) { co_await Sleep(executor, 3600s); }

// Work handed to the pool ends unheard when its awaiting frame is destroyed.
TEST(RealWorld, OffloadOutlivesItsAwaiter) {
  auto world = RealWorld::Create();
  ASSERT_TRUE(world.has_value());
  const auto ran = std::make_shared<std::atomic<int>>(0);
  {
    Scope scope;
    for (int i = 0; i < 100; ++i) {
      scope.Spawn((*world)->Offload([ran] { ran->fetch_add(1); }));
    }
    scope.Spawn(SleepLong((*world)->executor()));
  }
  BlockOn(**world, (*world)->Offload([] {}));
  world->reset();  // joins the pool
  EXPECT_EQ(ran->load(), 100);
}

}  // namespace
}  // namespace coterie::runtime
