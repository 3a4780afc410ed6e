#pragma once

#include <deque>
#include <memory>

#include "runtime/sim/connection.h"
#include "runtime/sim/fabric.h"
#include "runtime/sim/wakeup.h"

namespace coterie::runtime {

/// What has arrived at a socket and waits for its one reader. Shared with the reader's frame, which
/// may outlive the socket and then finds it closed.
template <class T>
class Inbox {
 public:
  explicit Inbox(SimExecutor& executor) : arrived_(&executor) {}
  std::size_t size() const { return items_.size(); }
  void Put(T item) {
    items_.push_back(std::move(item));
    arrived_.Wake();
  }
  void Close() {
    closed_ = true;
    items_.clear();
    arrived_.Wake();
  }
  Task<Result<T>> Next() {
    while (items_.empty() && !closed_) co_await arrived_.Wait();
    if (closed_) co_return Fail(ErrorCode::kConnectionClosed, "closed here");
    T item = std::move(items_.front());
    items_.pop_front();
    co_return item;
  }

 private:
  std::deque<T> items_;
  Wakeup arrived_;
  bool closed_ = false;
};

class SimListener final : public Listener {
 public:
  static constexpr std::size_t kBacklogMax = 1024;

  SimListener(Fabric& fabric, SimExecutor& executor, Address local);
  ~SimListener() override;
  Task<Result<std::unique_ptr<Stream>>> Accept() override;
  Address local() const override { return local_; }

  SimExecutor& executor() { return executor_; }
  bool full() const { return backlog_->size() >= kBacklogMax; }
  void Establish(std::unique_ptr<Stream> stream);

 private:
  Fabric& fabric_;
  SimExecutor& executor_;
  const Address local_;
  const std::shared_ptr<Inbox<std::unique_ptr<Stream>>> backlog_;
};

class SimDatagramSocket final : public DatagramSocket {
 public:
  static constexpr std::size_t kQueuedMax = 256;
  static constexpr std::size_t kPayloadMax = 1400;

  SimDatagramSocket(Fabric& fabric, SimExecutor& executor, Address local);
  ~SimDatagramSocket() override;
  Task<Result<Datagram>> Receive() override;
  Status Send(const Address& to, std::string_view payload) override;
  /// Queues it, or drops it when the queue is full.
  void Deliver(Datagram datagram);

 private:
  Fabric& fabric_;
  SimExecutor& executor_;
  const Address local_;
  const std::shared_ptr<Inbox<Datagram>> queue_;
};

}  // namespace coterie::runtime
