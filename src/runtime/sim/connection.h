#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/sim/fabric.h"
#include "runtime/sim/wakeup.h"

namespace coterie::runtime {

/// One direction of a Connection. Bytes [read, arrived) may be read, [arrived, end) are on their
/// way in segments that arrive in order; the timer fires when the first of them does.
struct Pipe final : Timer {
  enum class Mark : std::uint8_t { kBytes, kFin, kReset };
  struct Segment {
    Instant at;
    std::uint64_t end;  // stream position behind it
    Mark mark;
  };

  Connection* connection = nullptr;
  int sender = 0;  // the side that writes into it
  std::string bytes;
  std::uint64_t base = 0;  // stream position of bytes[0]
  std::uint64_t read = 0;
  std::uint64_t arrived = 0;
  std::uint64_t acknowledged = 0;  // what the sender knows to have been read
  std::vector<Segment> segments;
  std::size_t first_segment = 0;
  bool fin_sent = false;
  bool fin_arrived = false;
  bool reset_sent = false;
  bool stalled = false;  // its first segment waits for a cut link or a dead node
  Wakeup reader;
  Wakeup writer;

  std::uint64_t end() const { return base + bytes.size(); }
  bool in_flight() const { return first_segment < segments.size(); }
  void Fire() override;
};

/// A byte stream between two nodes: two pipes and what each side knows. Shared by its two streams
/// and by the frames of operations under way. Side 0 connected, side 1 accepted.
class Connection final : public ListNode {
 public:
  class Ref {
   public:
    Ref() = default;
    explicit Ref(Connection* connection) : connection_(connection) { ++connection_->references_; }
    Ref(const Ref& other) : connection_(other.connection_) {
      if (connection_ != nullptr) ++connection_->references_;
    }
    Ref(Ref&& other) noexcept : connection_(std::exchange(other.connection_, nullptr)) {}
    Ref& operator=(Ref other) noexcept {
      std::swap(connection_, other.connection_);
      return *this;
    }
    ~Ref() {
      if (connection_ != nullptr && --connection_->references_ == 0) delete connection_;
    }
    Connection* operator->() const { return connection_; }
    Connection& operator*() const { return *connection_; }

   private:
    Connection* connection_ = nullptr;
  };

  struct End {
    std::uint32_t node = 0;
    Address address;
    bool closed = false;  // by its owner, or its node died
    bool silent = false;  // its node died without a word
    bool reset = false;   // the peer's reset arrived
  };

  Connection(Fabric& fabric, SimExecutor& client, Address client_address, SimExecutor& server,
             Address server_address);

  Fabric& fabric() { return fabric_; }
  End& end(int side) { return ends_[side]; }
  /// The pipe that `side` writes into, and the one it reads from.
  Pipe& out(int side) { return pipes_[side]; }
  Pipe& in(int side) { return pipes_[1 - side]; }

  std::uint64_t WriteSpace(int side);
  void Send(int side, std::string_view bytes);
  void SendFin(int side);
  /// Takes up to into.size() bytes that have arrived; at least one if there is one.
  std::size_t Take(int side, std::span<char> into);
  /// The owner lets go: a FIN follows what was written, or a reset if unread bytes are thrown away.
  void Close(int side);
  /// The node of `side` died.
  void Die(int side, Death death);
  /// The first segment of `pipe` has arrived at the other end, if the link and that node let it.
  void Arrive(Pipe& pipe);
  void LinkHealed(std::uint32_t from, std::uint32_t to);
  /// A node that died silently is back: what is still being sent to its old streams is answered by
  /// resets.
  void NodeBack(std::uint32_t node);

 private:
  friend class Ref;
  ~Connection() = default;
  void Queue(Pipe& pipe, Pipe::Mark mark, Duration extra = Duration::zero());
  void SendReset(int side);
  void Reset(int side);
  void Restart(Pipe& pipe);
  bool Discard(Pipe& pipe);

  Fabric& fabric_;
  int references_ = 0;
  End ends_[2];
  Pipe pipes_[2];
};

/// One side of a Connection, owned by its node.
class SimStream final : public Stream {
 public:
  SimStream(Connection::Ref connection, int side, SimExecutor& executor);
  ~SimStream() override;
  Task<Result<std::size_t>> Read(std::span<char> into) override;
  Task<Status> Write(std::string data) override;
  void ShutdownWrite() override { connection_->SendFin(side_); }
  void Close() override { connection_->Close(side_); }
  Address peer() const override { return connection_->end(1 - side_).address; }

 private:
  Connection::Ref connection_;
  const int side_;
  SimExecutor& executor_;
};

}  // namespace coterie::runtime
