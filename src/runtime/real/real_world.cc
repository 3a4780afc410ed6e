#include "runtime/real/real_world.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <ctime>
#include <deque>

namespace coterie::runtime {
namespace {

void LogToStderr(LogLevel level, std::string_view room, std::string_view message) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const std::string line =
      fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:06}Z {:5} {}: {}\n", fmt::gmtime(now.tv_sec),
                  now.tv_nsec / 1000, NameOf(level), room, message);
  [[maybe_unused]] const ssize_t n = ::write(STDERR_FILENO, line.data(), line.size());
}

constexpr int kCrashExitCode = 70;
constexpr std::size_t kPendingSignalsMax = 16;

}  // namespace

/// SIGINT and SIGTERM as events: blocked while it lives, read from a signalfd.
class RealWorld::Signals final : public Pollable {
 public:
  explicit Signals(Reactor& reactor) : arrived_(reactor) {
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &mask, &before_);
    fd_ = ::signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
    COT_ASSERT(fd_ >= 0);
    const Status watched = reactor.Watch(fd_, EPOLLIN | EPOLLET, *this);
    COT_ASSERT(watched.has_value());
  }
  ~Signals() {
    ::close(fd_);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

  void OnEvents(std::uint32_t) override {
    signalfd_siginfo info;
    while (::read(fd_, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
      if (pending_.size() < kPendingSignalsMax)
        pending_.push_back(static_cast<int>(info.ssi_signo));
    }
    arrived_.NotifyAll();
  }

  Task<int> Next() {
    while (pending_.empty()) co_await arrived_.Wait();
    const int signal = pending_.front();
    pending_.pop_front();
    co_return signal;
  }

 private:
  int fd_ = -1;
  sigset_t before_;
  std::deque<int> pending_;
  Notification arrived_;
};

Result<std::unique_ptr<RealWorld>> RealWorld::Create(RealOptions options) {
  std::uint64_t seed = 0;
  if (::getrandom(&seed, sizeof seed, 0) != static_cast<ssize_t>(sizeof seed)) {
    return Fail(ErrorCode::kIo, "getrandom failed");
  }
  std::signal(SIGPIPE, SIG_IGN);
  if (!options.log_sink) options.log_sink = LogToStderr;
  return std::unique_ptr<RealWorld>(new RealWorld(std::move(options), seed));
}

RealWorld::RealWorld(RealOptions options, std::uint64_t seed)
    : signals_(options.handle_signals ? std::make_unique<Signals>(reactor_) : nullptr),
      pool_(reactor_, options.pool_threads),
      log_(options.log_minimum, std::move(options.log_sink)),
      random_(seed),
      network_(reactor_, log_),
      disk_(reactor_, pool_) {}

RealWorld::~RealWorld() = default;

ProcessUsage RealWorld::Usage() {
  ProcessUsage usage;
  rusage own{};
  if (::getrusage(RUSAGE_SELF, &own) == 0) {
    const auto duration = [](const timeval& t) {
      return std::chrono::seconds(t.tv_sec) + std::chrono::microseconds(t.tv_usec);
    };
    usage.cpu = duration(own.ru_utime) + duration(own.ru_stime);
  }
  // "size resident shared ..." in pages; served from memory, so it may be read on the reactor.
  const int fd = ::open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return usage;
  char text[64] = {};
  const ssize_t length = ::read(fd, text, sizeof text - 1);
  ::close(fd);
  unsigned long long pages = 0;
  if (length > 0 && std::sscanf(text, "%*u %llu", &pages) == 1) {
    usage.resident_bytes = pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  }
  return usage;
}

Task<void> RealWorld::Offload(std::function<void()> work) {
  const bool done = co_await pool_.Run([work = std::move(work)] {
    work();
    return true;
  });
  COT_ASSERT(done);
}

void RealWorld::Crash(std::string_view reason) {
  log_.Error("runtime", "stopping at once: {}", reason);
  ::_exit(kCrashExitCode);
}

Task<int> RealWorld::WaitSignal() {
  COT_ASSERT(signals_ != nullptr);
  return signals_->Next();
}

}  // namespace coterie::runtime
