#pragma once

#include <coroutine>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "runtime/network.h"
#include "runtime/scope.h"
#include "runtime/sync.h"
#include "runtime/world.h"

namespace coterie::net {

/// A protocol on one connection, without I/O: the transport feeds it bytes and sends what it
/// produces.
class ByteProtocol {
 public:
  virtual ~ByteProtocol() = default;
  /// False: nothing more is read; what is left to send is sent and the connection ends.
  virtual bool OnInput(std::string_view bytes) = 0;
  /// The peer ended its side. False: the connection ends once what is left is sent; true: only when
  /// finished().
  virtual bool OnEof() = 0;
  /// Appends what can be sent now; nothing means: not before the next ScheduleFlush.
  virtual void Produce(std::string& out) = 0;
  /// False pauses reading until the next flush or finished write.
  virtual bool wants_input() const = 0;
  /// Nothing more will be read or sent.
  virtual bool finished() const = 0;
  /// A write was handed over whole.
  virtual void OnWritten() = 0;
};

/// Drives a ByteProtocol over a Stream: one read loop, one write loop, and one write per flush
/// however many answers became ready in a turn. The protocol must outlive it.
class Transport {
 public:
  Transport(runtime::World& world, std::unique_ptr<runtime::Stream> stream, ByteProtocol& protocol);

  /// Runs the connection until it has ended. Destroying the frame ends it at once.
  runtime::Task<void> Run();
  /// Sends what the protocol has at the end of this turn.
  void ScheduleFlush();
  /// Ends the connection as if the peer had reset it.
  void Abort() { stream_->Close(); }

  /// Bytes of the write under way.
  std::size_t in_flight() const { return in_flight_; }
  runtime::Address peer() const { return stream_->peer(); }

 private:
  class CloseTimer final : public runtime::Timer {
   public:
    explicit CloseTimer(runtime::Stream& stream) : stream_(stream) {}
    void Fire() override { stream_.Close(); }

   private:
    runtime::Stream& stream_;
  };

  class StuckTimer final : public runtime::Timer {
   public:
    explicit StuckTimer(Transport& owner) : owner_(owner) {}
    void Fire() override { owner_.OnStuckTimer(); }

   private:
    Transport& owner_;
  };

  /// Suspends the write loop until a posted flush resumes it.
  struct FlushAwaiter {
    Transport& owner;
    bool await_ready() const noexcept { return owner.flush_wanted_; }
    void await_suspend(std::coroutine_handle<> awaiting) noexcept {
      owner.flush_.handle = awaiting;
      owner.write_loop_idle_ = true;
    }
    void await_resume() const noexcept {
      owner.write_loop_idle_ = false;
      owner.flush_wanted_ = false;
    }
  };

  void CloseAt(Instant at) { world_.executor().Arm(close_timer_, at); }
  runtime::Task<void> ReadLoop();
  runtime::Task<void> WriteLoop();
  runtime::Task<void> FinishSending();
  void StartLingering();
  /// Ends the connection if the write that was under way when the timer was armed still is.
  void OnStuckTimer();
  void WatchWrite();
  runtime::Task<void> Linger();

  runtime::World& world_;
  std::unique_ptr<runtime::Stream> stream_;
  ByteProtocol& protocol_;
  runtime::Notification progress_;  // a write or a flush ended, or the connection broke
  runtime::Resumer flush_;
  CloseTimer close_timer_;
  StuckTimer stuck_timer_;
  std::uint64_t writes_ = 0;
  std::uint64_t watched_write_ = 0;
  std::vector<char> buffer_;
  std::size_t in_flight_ = 0;
  bool write_loop_idle_ = false;
  bool flush_wanted_ = false;
  bool broken_ = false;
  bool lingering_ = false;  // our side has ended; what arrives is discarded
  runtime::Scope writer_;   // its frame uses all of the above
};

}  // namespace coterie::net
