#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "base/time.h"

namespace coterie::runtime {

/// The kinds of event in a simulation's trace.
enum class EventKind : std::uint8_t {
  kRun,
  kTimer,
  kStart,
  kKill,
  kCrash,
  kPause,
  kResume,
  kSend,
  kDeliver,
  kStall,
  kFin,
  kReset,
  kConnect,
  kRefuse,
  kPacket,
  kPacketLost,
  kRead,
  kWrite,
  kSync,
  kName,
  kDiskFault,
  kCut,
  kHeal,
  kClock,
};
std::string_view NameOf(EventKind kind);

/// The rolling 64-bit hash of everything that happened in a simulation, and a text line per event
/// for those who want to read it. Two runs of one seed must agree on it.
class Trace {
 public:
  using Sink = std::function<void(std::string_view line)>;
  explicit Trace(Sink sink) : sink_(std::move(sink)) {}

  /// `a` and `b` are the event's particulars: a peer, a size, an offset.
  void Note(Instant now, std::uint32_t node, EventKind kind, std::uint64_t a = 0,
            std::uint64_t b = 0) {
    Mix(static_cast<std::uint64_t>(now.time_since_epoch().count()));
    Mix((static_cast<std::uint64_t>(node) << 8) | static_cast<std::uint64_t>(kind));
    Mix(a ^ (b << 32 | b >> 32));
    ++events_;
    if (sink_) Print(now, node, kind, a, b);
  }
  void Mix(std::uint64_t value) {
    hash_ = (hash_ ^ value) * 0x9e3779b97f4a7c15;
    hash_ ^= hash_ >> 32;
  }
  std::uint64_t hash() const { return hash_; }
  std::uint64_t events() const { return events_; }

 private:
  void Print(Instant now, std::uint32_t node, EventKind kind, std::uint64_t a, std::uint64_t b);

  Sink sink_;
  std::uint64_t hash_ = 0;
  std::uint64_t events_ = 0;
};

}  // namespace coterie::runtime
