#include "net/transport.h"

#include <algorithm>

#include "base/assert.h"

namespace coterie::net {
namespace {

constexpr std::size_t kReadBytesMin = 4u << 10;
constexpr std::size_t kReadBytesMax = 64u << 10;
constexpr std::size_t kLingerBytesMax = 1u << 20;
constexpr Duration kLinger = 1s;
constexpr Duration kFinish = 60s;
// A peer that takes nothing of one write for so long, at most twice as long, is gone or stuck: what
// waits for it must not be held for ever.
constexpr Duration kStuck = 60s;

}  // namespace

Transport::Transport(runtime::World& world, std::unique_ptr<runtime::Stream> stream,
                     ByteProtocol& protocol)
    : world_(world),
      stream_(std::move(stream)),
      protocol_(protocol),
      progress_(world.executor()),
      close_timer_(*stream_),
      stuck_timer_(*this),
      buffer_(kReadBytesMin) {}

void Transport::ScheduleFlush() {
  flush_wanted_ = true;
  if (write_loop_idle_ && !flush_.linked()) world_.executor().Post(flush_);
}

runtime::Task<void> Transport::Run() {
  writer_.Spawn(WriteLoop());
  co_await ReadLoop();
  if (!broken_) co_await FinishSending();
  if (!broken_) co_await Linger();
  stream_->Close();
}

runtime::Task<void> Transport::ReadLoop() {
  ScheduleFlush();
  while (!broken_) {
    while (!broken_ && !protocol_.finished() && !protocol_.wants_input()) co_await progress_.Wait();
    if (broken_ || protocol_.finished()) co_return;
    const Result<std::size_t> count = co_await stream_->Read(std::span<char>(buffer_));
    if (!count) {
      broken_ = true;
      co_return;
    }
    if (*count == 0) break;
    if (lingering_) co_return;  // Linger discards the rest
    COT_ASSERT(*count <= buffer_.size());
    const bool more = protocol_.OnInput({buffer_.data(), *count});
    ScheduleFlush();
    if (!more) co_return;
    if (*count == buffer_.size() && buffer_.size() < kReadBytesMax)
      buffer_.resize(buffer_.size() * 2);
  }
  if (lingering_) {
    broken_ = true;  // both sides have ended
    co_return;
  }
  const bool keep = protocol_.OnEof();
  ScheduleFlush();
  while (keep && !broken_ && !protocol_.finished()) co_await progress_.Wait();
}

runtime::Task<void> Transport::WriteLoop() {
  std::size_t expected = 0;
  for (;;) {
    co_await FlushAwaiter{*this};
    for (;;) {
      std::string out;
      out.reserve(expected);
      protocol_.Produce(out);
      if (out.empty()) break;
      expected = std::min<std::size_t>(out.size() + out.size() / 2, 64u << 10);
      in_flight_ = out.size();
      WatchWrite();
      const Status written = co_await stream_->Write(std::move(out));
      in_flight_ = 0;
      if (!written) {
        broken_ = true;
        progress_.NotifyAll();
        stream_->Close();  // also ends the read under way
        co_return;
      }
      protocol_.OnWritten();
      progress_.NotifyAll();
    }
    progress_.NotifyAll();
    // The read loop may be inside a read that only the peer can end: let it.
    if (protocol_.finished()) StartLingering();
  }
}

/// One timer per minute, not per write.
void Transport::WatchWrite() {
  ++writes_;
  if (stuck_timer_.armed()) return;
  watched_write_ = writes_;
  world_.executor().Arm(stuck_timer_, world_.Now() + kStuck);
}

void Transport::OnStuckTimer() {
  if (in_flight_ == 0) return;
  if (writes_ == watched_write_) return stream_->Close();
  watched_write_ = writes_;
  world_.executor().Arm(stuck_timer_, world_.Now() + kStuck);
}

/// Closing with unread input would make the kernel reset the connection and destroy what we sent
/// last: end our side and give the peer some time to end its own.
void Transport::StartLingering() {
  if (lingering_) return;
  lingering_ = true;
  stream_->ShutdownWrite();
  CloseAt(world_.Now() + kLinger);
}

runtime::Task<void> Transport::FinishSending() {
  ScheduleFlush();
  if (!lingering_) CloseAt(world_.Now() + kFinish);
  // Idle again means that everything producible was handed over.
  while (!broken_ && (flush_wanted_ || !write_loop_idle_)) co_await progress_.Wait();
}

runtime::Task<void> Transport::Linger() {
  StartLingering();
  std::size_t total = 0;
  while (total < kLingerBytesMax) {
    const Result<std::size_t> count = co_await stream_->Read(std::span<char>(buffer_));
    if (!count || *count == 0) co_return;
    total += *count;
  }
}

}  // namespace coterie::net
