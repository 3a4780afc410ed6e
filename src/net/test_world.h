#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "base/random.h"
#include "runtime/scope.h"
#include "runtime/sync.h"
#include "runtime/timer_queue.h"
#include "runtime/world.h"

// For this room's tests: a World of nothing but virtual time and in-memory byte pipes.

namespace coterie::net::test {

class TestExecutor final : public runtime::Executor {
 public:
  Instant Now() const override { return now_; }
  void Post(runtime::Runnable& item) override { ready_.PushBack(item); }

  /// Runs everything that is due until `end`, then stands there.
  void RunUntil(Instant end) {
    for (;;) {
      while (runtime::ListNode* node = ready_.front()) {
        node->Unlink();
        static_cast<runtime::Runnable*>(node)->Run();
      }
      if (timers_.empty() || timers_.next() > end) break;
      now_ = std::max(now_, timers_.next());
      FireNow(timers_.Pop());
    }
    now_ = end;
  }
  void RunFor(Duration duration) { RunUntil(now_ + duration); }

 private:
  void DoArm(runtime::Timer& timer) override { timers_.Add(timer); }
  void DoDisarm(runtime::Timer& timer) override { timers_.Remove(timer); }
  Instant now_{};
  runtime::ListNode ready_;
  runtime::TimerQueue timers_;
};

/// One direction of a pipe. A writer waits while `capacity` bytes have not been read.
struct PipeHalf {
  explicit PipeHalf(runtime::Executor& executor) : changed(executor) {}
  std::string bytes;
  std::size_t capacity = 64u << 10;
  bool write_ended = false;
  bool broken = false;
  runtime::Notification changed;
};

class PipeStream final : public runtime::Stream {
 public:
  PipeStream(std::shared_ptr<PipeHalf> in, std::shared_ptr<PipeHalf> out)
      : in_(std::move(in)), out_(std::move(out)) {}
  ~PipeStream() override { Close(); }

  runtime::Task<Result<std::size_t>> Read(std::span<char> into) override {
    return DoRead(in_, into);
  }
  runtime::Task<Status> Write(std::string data) override { return DoWrite(out_, std::move(data)); }
  void ShutdownWrite() override {
    out_->write_ended = true;
    out_->changed.NotifyAll();
  }
  void Close() override {
    in_->broken = out_->broken = true;
    in_->changed.NotifyAll();
    out_->changed.NotifyAll();
  }
  runtime::Address peer() const override { return {"127.0.0.1", 1}; }

 private:
  static runtime::Task<Result<std::size_t>> DoRead(std::shared_ptr<PipeHalf> half,
                                                   std::span<char> into) {
    while (half->bytes.empty() && !half->write_ended && !half->broken)
      co_await half->changed.Wait();
    if (half->bytes.empty() && half->broken && !half->write_ended) {
      co_return Fail(ErrorCode::kConnectionClosed, "pipe closed");
    }
    const std::size_t count = std::min(into.size(), half->bytes.size());
    std::copy_n(half->bytes.data(), count, into.data());
    half->bytes.erase(0, count);
    half->changed.NotifyAll();
    co_return count;
  }
  static runtime::Task<Status> DoWrite(std::shared_ptr<PipeHalf> half, std::string data) {
    std::size_t done = 0;
    while (done < data.size()) {
      while (half->bytes.size() >= half->capacity && !half->broken) co_await half->changed.Wait();
      if (half->broken || half->write_ended)
        co_return Fail(ErrorCode::kConnectionClosed, "pipe closed");
      const std::size_t count = std::min(half->capacity - half->bytes.size(), data.size() - done);
      half->bytes.append(data, done, count);
      done += count;
      half->changed.NotifyAll();
    }
    co_return Ok();
  }

  std::shared_ptr<PipeHalf> in_;
  std::shared_ptr<PipeHalf> out_;
};

inline std::pair<std::unique_ptr<runtime::Stream>, std::unique_ptr<runtime::Stream>> MakePipe(
    runtime::Executor& executor) {
  auto there = std::make_shared<PipeHalf>(executor);
  auto back = std::make_shared<PipeHalf>(executor);
  return {std::make_unique<PipeStream>(back, there), std::make_unique<PipeStream>(there, back)};
}

class TestNetwork final : public runtime::Network {
 public:
  explicit TestNetwork(runtime::Executor& executor) : executor_(executor) {}

  Result<std::unique_ptr<runtime::Listener>> Listen(const runtime::Address& at) override {
    return std::make_unique<PipeListener>(*this, at);
  }
  runtime::Task<Result<std::unique_ptr<runtime::Stream>>> Connect(runtime::Address to,
                                                                  Duration) override {
    Result<std::unique_ptr<runtime::Stream>> made = Dial(to);
    co_return made;
  }
  Result<std::unique_ptr<runtime::DatagramSocket>> Bind(const runtime::Address&) override {
    return Fail(ErrorCode::kUnimplemented);
  }
  Result<std::unique_ptr<runtime::Stream>> Dial(const runtime::Address& to) {
    const auto found = listeners_.find(to);
    if (found == listeners_.end()) return Fail(ErrorCode::kConnectFailed, "nobody listens");
    auto [client, server] = MakePipe(executor_);
    found->second->backlog_.push_back(std::move(server));
    found->second->changed_.NotifyAll();
    return std::move(client);
  }

 private:
  class PipeListener final : public runtime::Listener {
   public:
    PipeListener(TestNetwork& network, runtime::Address at)
        : changed_(network.executor_), network_(network), at_(std::move(at)) {
      network_.listeners_[at_] = this;
    }
    ~PipeListener() override { network_.listeners_.erase(at_); }
    runtime::Task<Result<std::unique_ptr<runtime::Stream>>> Accept() override {
      while (backlog_.empty()) co_await changed_.Wait();
      auto stream = std::move(backlog_.front());
      backlog_.pop_front();
      co_return stream;
    }
    runtime::Address local() const override { return at_; }

    std::deque<std::unique_ptr<runtime::Stream>> backlog_;
    runtime::Notification changed_;

   private:
    TestNetwork& network_;
    runtime::Address at_;
  };

  runtime::Executor& executor_;
  std::map<runtime::Address, PipeListener*> listeners_;
};

class TestWorld final : public runtime::World {
 public:
  TestExecutor& executor() override { return executor_; }
  WallInterval WallNow() override { return {}; }
  Random& random() override { return random_; }
  TestNetwork& network() override { return network_; }
  runtime::Disk& disk() override { std::abort(); }
  Logger& log() override { return log_; }
  runtime::Task<void> Offload(std::function<void()> work) override {
    work();
    co_return;
  }
  void Crash(std::string_view) override { std::abort(); }

 private:
  TestExecutor executor_;
  TestNetwork network_{executor_};
  Random random_{1};
  Logger log_;
};

/// Counts its living copies: in a handler's frame it shows whether the frame is alive.
struct Canary {
  explicit Canary(int* alive) : alive_(alive) { ++*alive_; }
  Canary(const Canary&) = delete;
  ~Canary() { --*alive_; }
  int* alive_;
};

}  // namespace coterie::net::test
