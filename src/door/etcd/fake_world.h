#pragma once

// For this room's tests: a World of nothing but time and random numbers, and the streams and calls
// of a client without a network. Nothing happens until Settle or Advance.

#include <gtest/gtest.h>

#include <deque>
#include <optional>
#include <string>
#include <utility>

#include "net/grpc.h"
#include "runtime/scope.h"
#include "runtime/sync.h"
#include "runtime/timer_queue.h"
#include "runtime/world.h"

namespace coterie::door::etcd {

class FakeExecutor final : public runtime::Executor {
 public:
  Instant Now() const override { return now_; }
  void Post(runtime::Runnable& item) override { ready_.PushBack(item); }
  /// Runs until nothing is ready. Time stands still.
  void Settle() {
    while (runtime::ListNode* node = ready_.front()) {
      node->Unlink();
      static_cast<runtime::Runnable*>(node)->Run();
    }
  }
  /// Runs everything that happens in the next `duration`.
  void Advance(Duration duration) {
    const Instant end = now_ + duration;
    Settle();
    while (!timers_.empty() && timers_.next() <= end) {
      now_ = std::max(now_, timers_.next());
      FireNow(timers_.Pop());
      Settle();
    }
    now_ = end;
  }

 private:
  void DoArm(runtime::Timer& timer) override { timers_.Add(timer); }
  void DoDisarm(runtime::Timer& timer) override { timers_.Remove(timer); }

  Instant now_{};
  runtime::ListNode ready_;
  runtime::TimerQueue timers_;
};

class FakeWorld final : public runtime::World {
 public:
  FakeExecutor& executor() override { return executor_; }
  WallInterval WallNow() override { return {}; }
  Random& random() override { return random_; }
  runtime::Network& network() override { return Absent<runtime::Network>(); }
  runtime::Disk& disk() override { return Absent<runtime::Disk>(); }
  Logger& log() override { return log_; }
  runtime::Task<void> Offload(std::function<void()> work) override {
    work();
    co_return;
  }
  void Crash(std::string_view) override { COT_ASSERT(false); }

 private:
  template <class T>
  [[noreturn]] T& Absent() {
    AssertFailed("the door uses neither network nor disk", __FILE__, __LINE__);
  }

  FakeExecutor executor_;
  Random random_{7};
  Logger log_;
};

/// A streaming call whose client is the test.
class FakeStream final : public net::GrpcStream {
 public:
  explicit FakeStream(FakeWorld& world) : changed_(world.executor()) {
    context_.headers = &headers_;
  }

  const net::GrpcContext& context() const override { return context_; }
  runtime::Task<std::optional<std::string>> Receive() override {
    while (to_server_.empty() && !half_closed_) co_await changed_.Wait();
    if (to_server_.empty()) co_return std::nullopt;
    std::string message = std::move(to_server_.front());
    to_server_.pop_front();
    co_return message;
  }
  runtime::Task<void> Send(std::string message) override {
    buffered_ += message.size();
    to_client_.push_back(std::move(message));
    while (buffered_ > send_buffer_max) co_await changed_.Wait();
  }
  runtime::Task<std::size_t> Room() override { co_return send_buffer_max; }
  std::size_t buffered() const override { return buffered_; }

  // The client's side.
  net::Headers& headers() { return headers_; }
  void ClientSend(std::string message) {
    to_server_.push_back(std::move(message));
    changed_.NotifyAll();
  }
  void ClientCloseSend() {
    half_closed_ = true;
    changed_.NotifyAll();
  }
  std::optional<std::string> ClientTake() {
    if (to_client_.empty()) return std::nullopt;
    std::string message = std::move(to_client_.front());
    to_client_.pop_front();
    buffered_ -= message.size();
    changed_.NotifyAll();
    return message;
  }
  std::size_t unread() const { return to_client_.size(); }
  std::size_t unreceived() const { return to_server_.size(); }

  std::size_t send_buffer_max = 1u << 20;

 private:
  net::Headers headers_;
  net::GrpcContext context_;
  std::deque<std::string> to_server_;
  std::deque<std::string> to_client_;
  std::size_t buffered_ = 0;
  bool half_closed_ = false;
  runtime::Notification changed_;
};

}  // namespace coterie::door::etcd
