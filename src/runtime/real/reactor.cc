#include "runtime/real/reactor.h"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

#include "runtime/turns.h"

namespace coterie::runtime {

Reactor::Reactor() {
  epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  wake_ = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  COT_ASSERT(epoll_ >= 0);
  COT_ASSERT(wake_ >= 0);
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  event.data.ptr = nullptr;
  const int added = ::epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event);
  COT_ASSERT(added == 0);
  TakeTime();
}

Reactor::~Reactor() {
  COT_ASSERT(timers_.empty());
  ::close(wake_);
  ::close(epoll_);
}

Status Reactor::Watch(int fd, std::uint32_t events, Pollable& target) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = &target;
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) {
    return Fail(ErrorCode::kIo, fmt::format("epoll_ctl: {}", std::strerror(errno)));
  }
  return Ok();
}

void Reactor::Run(const bool* done) {
  while (!stop_.load(std::memory_order_relaxed) && (done == nullptr || !*done)) {
    TakeTime();
    BeginTurns();
    FireTimers();
    RunReady();
    if (stop_.load(std::memory_order_relaxed) || (done != nullptr && *done)) break;
    Poll();
  }
  stop_.store(false, std::memory_order_relaxed);
}

void Reactor::Stop() {
  stop_.store(true, std::memory_order_relaxed);
  const std::uint64_t one = 1;
  // Fails only when the counter is at its maximum, and then the loop is awake anyway.
  [[maybe_unused]] const ssize_t written = ::write(wake_, &one, sizeof one);
}

namespace {
Duration Read(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}
}  // namespace

void Reactor::TakeTime() { now_ = Instant(Read(CLOCK_MONOTONIC)); }

void Reactor::BeginTurns() {
  turn_began_ = now_;
  cpu_before_ = Read(CLOCK_THREAD_CPUTIME_ID);
}

// The processor's time is asked for only when the turn was long by the clock on the wall.
void Reactor::EndTurn() {
  const Instant now(Read(CLOCK_MONOTONIC));
  const Duration wall = now - std::exchange(turn_began_, now);
  TurnStats& turns = Turns();
  turns.longest_wall = std::max(turns.longest_wall, wall);
  if (wall <= turns.longest && wall <= TurnStats::kLong) return;
  const Duration cpu = Read(CLOCK_THREAD_CPUTIME_ID);
  const Duration used = std::min(wall, cpu - std::exchange(cpu_before_, cpu));
  turns.longest = std::max(turns.longest, used);
  if (used > TurnStats::kLong) ++turns.long_turns;
}

void Reactor::FireTimers() {
  // No more than were armed at the start: a timer that arms itself in the past must not hold the
  // loop.
  for (std::size_t budget = timers_.size(); budget > 0 && !timers_.empty(); --budget) {
    if (timers_.next() > now_) return;
    FireNow(timers_.Pop());
    EndTurn();
  }
}

void Reactor::RunReady() {
  for (int budget = kItemsPerPoll; budget > 0; --budget) {
    ListNode* node = ready_.front();
    if (node == nullptr) return;
    node->Unlink();
    static_cast<Runnable*>(node)->Run();
    EndTurn();
  }
}

int Reactor::WaitForEvents(std::span<epoll_event> events) {
  const int count = static_cast<int>(events.size());
  if (ready_.front() != nullptr) return ::epoll_wait(epoll_, events.data(), count, 0);
  if (timers_.empty()) return ::epoll_wait(epoll_, events.data(), count, -1);
  TakeTime();
  const Duration wait = std::max(Duration::zero(), timers_.next() - now_);
  if (wait == Duration::zero()) return ::epoll_wait(epoll_, events.data(), count, 0);
  if (precise_wait_) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(wait);
    const timespec timeout{seconds.count(), (wait - seconds).count()};
    const int got = ::epoll_pwait2(epoll_, events.data(), count, &timeout, nullptr);
    if (got >= 0 || errno != ENOSYS) return got;
    precise_wait_ = false;  // a kernel older than 5.11
  }
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(wait).count();
  return ::epoll_wait(epoll_, events.data(), count,
                      static_cast<int>(std::min<std::int64_t>(ms, 60'000)));
}

void Reactor::Poll() {
  std::array<epoll_event, 256> events;
  int got = 0;
  if (quiet_.front() != nullptr) {
    got = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 0);
    AnswerQuiet(ready_.front() == nullptr && got <= 0);
  } else {
    got = WaitForEvents(events);
  }
  COT_ASSERT(got >= 0 || errno == EINTR);
  if (got > 0) Dispatch(std::span(events).first(static_cast<std::size_t>(got)));
}

void Reactor::AnswerQuiet(bool quiet) {
  while (ListNode* node = quiet_.front()) {
    node->Unlink();
    auto& waiter = static_cast<QuietAwaiter&>(*node);
    waiter.quiet_ = std::exchange(quiet, false);
    Post(waiter.resumer_);
  }
}

void Reactor::Dispatch(std::span<const epoll_event> events) {
  for (const epoll_event& event : events) {
    if (event.data.ptr == nullptr) {
      std::uint64_t drained = 0;
      [[maybe_unused]] const ssize_t n = ::read(wake_, &drained, sizeof drained);
      continue;
    }
    static_cast<Pollable*>(event.data.ptr)->OnEvents(event.events);
  }
}

}  // namespace coterie::runtime
