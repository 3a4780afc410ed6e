#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>
#include <vector>

#include "runtime/real/reactor.h"
#include "runtime/task.h"

namespace coterie::runtime {

/// A few threads for calls that block (fdatasync, opening files). An operation owns all it touches,
/// so the frame that awaits it may be destroyed at any time; the operation then ends unheard. The
/// queue holds at most one operation per awaiting frame, and abandoned ones until they have run.
class OffloadPool final : public Pollable {
 public:
  OffloadPool(Reactor& reactor, std::size_t threads);
  OffloadPool(const OffloadPool&) = delete;
  /// Runs what is queued to its end. Requires: nobody awaits.
  ~OffloadPool();

  /// Runs `work` on a pool thread and answers what it returned.
  template <class F>
  Task<std::invoke_result_t<F&>> Run(F work) {
    auto* call = new Call<F>(std::move(work));
    Await await(*this, *call);
    co_await await;
    co_return std::move(*call->result);
  }

  void OnEvents(std::uint32_t events) override;

 private:
  /// Touched by one thread at a time: the reactor, a pool thread from Submit until it is completed,
  /// and the reactor again.
  class Operation {
   public:
    virtual ~Operation() = default;
    virtual void Execute() = 0;
  };

  /// The reactor's side of an operation: who waits for it.
  struct Ticket {
    std::unique_ptr<Operation> operation;
    Runnable* waiter = nullptr;
    bool done = false;
  };

  template <class F>
  class Call final : public Operation {
   public:
    explicit Call(F work) : work_(std::move(work)) {}
    void Execute() override { result.emplace(work_()); }
    std::optional<std::invoke_result_t<F&>> result;

   private:
    F work_;
  };

  class [[nodiscard]] Await {
   public:
    Await(OffloadPool& pool, Operation& operation) : pool_(pool), ticket_(new Ticket) {
      ticket_->operation.reset(&operation);
    }
    Await(const Await&) = delete;
    ~Await() {
      if (ticket_->done || !submitted_) {
        delete ticket_;
      } else {
        ticket_->waiter = nullptr;
      }
    }
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> awaiting) {
      resumer_.handle = awaiting;
      ticket_->waiter = &resumer_;
      submitted_ = true;
      pool_.Submit(ticket_);
    }
    void await_resume() const noexcept {}

   private:
    OffloadPool& pool_;
    Ticket* ticket_;
    bool submitted_ = false;
    Resumer resumer_;
  };

  void Submit(Ticket* ticket);
  void Work();

  Reactor& reactor_;
  int event_ = -1;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Ticket*> queue_;       // guarded by mutex_
  std::vector<Ticket*> completed_;  // guarded by mutex_
  bool stop_ = false;               // guarded by mutex_
  std::vector<Ticket*> taken_;      // the reactor's
  std::vector<std::thread> threads_;
};

}  // namespace coterie::runtime
