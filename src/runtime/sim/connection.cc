#include "runtime/sim/connection.h"

#include <algorithm>
#include <cstring>

namespace coterie::runtime {

Connection::Connection(Fabric& fabric, SimExecutor& client, Address client_address,
                       SimExecutor& server, Address server_address)
    : fabric_(fabric) {
  ends_[0] = {client.node(), std::move(client_address)};
  ends_[1] = {server.node(), std::move(server_address)};
  SimExecutor* executors[2] = {&client, &server};
  for (int side = 0; side < 2; ++side) {
    pipes_[side].connection = this;
    pipes_[side].sender = side;
    pipes_[side].writer.SetExecutor(*executors[side]);
    pipes_[side].reader.SetExecutor(*executors[1 - side]);
  }
  fabric_.connections().PushBack(*this);
}

std::uint64_t Connection::WriteSpace(int side) {
  Pipe& pipe = out(side);
  // What was read is acknowledged by segments that travel the other way.
  if (!fabric_.IsCut(ends_[1 - side].node, ends_[side].node)) pipe.acknowledged = pipe.read;
  const std::uint64_t held = pipe.end() - pipe.acknowledged;
  const std::uint64_t capacity = fabric_.streams().buffer_bytes;
  return capacity > held ? capacity - held : 0;
}

void Connection::Queue(Pipe& pipe, Pipe::Mark mark, Duration extra) {
  const std::uint32_t from = ends_[pipe.sender].node;
  const std::uint32_t to = ends_[1 - pipe.sender].node;
  Instant at = fabric_.scheduler().now() + fabric_.DrawDelay(from, to, true) + extra;
  if (pipe.in_flight()) at = std::max(at, pipe.segments.back().at);
  pipe.segments.push_back({at, pipe.end(), mark});
  if (!pipe.armed() && !pipe.stalled) fabric_.kernel().Arm(pipe, at);
}

void Connection::Send(int side, std::string_view bytes) {
  Pipe& pipe = out(side);
  COT_ASSERT(!bytes.empty());
  COT_ASSERT(!pipe.fin_sent);
  fabric_.trace().Note(fabric_.scheduler().now(), ends_[side].node, EventKind::kSend,
                       ends_[1 - side].node, bytes.size());
  if (bytes.size() > 1 && fabric_.random().Chance(fabric_.streams().split)) {
    const std::size_t cut = 1 + fabric_.random().Below(bytes.size() - 1);
    pipe.bytes.append(bytes.substr(0, cut));
    Queue(pipe, Pipe::Mark::kBytes);
    bytes.remove_prefix(cut);
  }
  pipe.bytes.append(bytes);
  Queue(pipe, Pipe::Mark::kBytes);
}

void Connection::SendFin(int side) {
  Pipe& pipe = out(side);
  if (pipe.fin_sent || ends_[side].reset) return;
  pipe.fin_sent = true;
  Queue(pipe, Pipe::Mark::kFin);
  pipe.writer.Wake();
}

void Connection::SendReset(int side) {
  out(side).fin_sent = true;
  if (std::exchange(out(side).reset_sent, true)) return;
  Queue(out(side), Pipe::Mark::kReset);
}

std::size_t Connection::Take(int side, std::span<char> into) {
  Pipe& pipe = in(side);
  std::size_t size = std::min<std::uint64_t>(into.size(), pipe.arrived - pipe.read);
  if (size > 1 && fabric_.random().Chance(fabric_.streams().split)) {
    size = fabric_.random().Chance(0.5) ? 1 : 1 + fabric_.random().Below(size);
  }
  std::memcpy(into.data(), pipe.bytes.data() + (pipe.read - pipe.base), size);
  pipe.read += size;
  const std::uint64_t consumed = pipe.read - pipe.base;
  if (consumed == pipe.bytes.size() ||
      (consumed > (64u << 10) && consumed > pipe.bytes.size() / 2)) {
    pipe.bytes.erase(0, consumed);
    pipe.base = pipe.read;
  }
  pipe.writer.Wake();
  return size;
}

void Connection::Close(int side) {
  End& end = ends_[side];
  if (end.closed) return;
  end.closed = true;
  // TCP answers unread bytes that are thrown away with a reset [RFC 2525 §2.17].
  if (!end.reset && in(side).arrived > in(side).read) {
    SendReset(side);
  } else {
    SendFin(side);
  }
  in(side).reader.Wake();
  out(side).writer.Wake();
}

void Connection::Die(int side, Death death) {
  End& end = ends_[side];
  if (end.closed) return;
  end.closed = true;
  if (death == Death::kPowerOff) {
    // What it had sent is on the wire; what waited to be sent again is lost.
    end.silent = true;
    Pipe& pipe = out(side);
    pipe.fin_sent = true;
    if (std::exchange(pipe.stalled, false)) {
      pipe.segments.clear();
      pipe.first_segment = 0;
    }
  } else if (!end.reset) {
    SendReset(side);
  }
}

void Connection::Reset(int side) {
  End& end = ends_[side];
  if (end.reset) return;
  end.reset = true;
  fabric_.trace().Note(fabric_.scheduler().now(), end.node, EventKind::kReset,
                       ends_[1 - side].node);
  in(side).reader.Wake();
  out(side).writer.Wake();
}

/// Bytes for an end that is gone: answered by a reset, or by nothing from a machine that is off.
/// False if they must be sent again later.
bool Connection::Discard(Pipe& pipe) {
  const int receiver = 1 - pipe.sender;
  if (ends_[receiver].silent && !fabric_.up(ends_[receiver].node)) return false;
  if (!ends_[pipe.sender].closed && !ends_[pipe.sender].reset) SendReset(receiver);
  return true;
}

void Connection::Arrive(Pipe& pipe) {
  const int receiver = 1 - pipe.sender;
  const std::uint32_t from = ends_[pipe.sender].node;
  const std::uint32_t to = ends_[receiver].node;
  const Instant now = fabric_.scheduler().now();
  while (pipe.in_flight() && pipe.segments[pipe.first_segment].at <= now) {
    const Pipe::Segment segment = pipe.segments[pipe.first_segment];
    const bool gone = ends_[receiver].closed && segment.mark == Pipe::Mark::kBytes;
    if (fabric_.IsCut(from, to) || (gone && !Discard(pipe))) {
      pipe.stalled = true;
      fabric_.trace().Note(now, to, EventKind::kStall, from);
      return;
    }
    ++pipe.first_segment;
    if (segment.mark == Pipe::Mark::kBytes) {
      fabric_.trace().Note(now, to, EventKind::kDeliver, from, segment.end - pipe.arrived);
      pipe.arrived = segment.end;
    } else if (segment.mark == Pipe::Mark::kFin) {
      fabric_.trace().Note(now, to, EventKind::kFin, from);
      pipe.fin_arrived = true;
    } else {
      Reset(receiver);
    }
  }
  pipe.reader.Wake();
  if (pipe.in_flight()) {
    fabric_.kernel().Arm(pipe, pipe.segments[pipe.first_segment].at);
  } else {
    pipe.segments.clear();
    pipe.first_segment = 0;
  }
}

void Pipe::Fire() { connection->Arrive(*this); }

void Connection::Restart(Pipe& pipe) {
  pipe.stalled = false;
  const std::uint32_t from = ends_[pipe.sender].node;
  const std::uint32_t to = ends_[1 - pipe.sender].node;
  const Instant at = fabric_.scheduler().now() + fabric_.DrawDelay(from, to, true);
  for (std::size_t i = pipe.first_segment; i < pipe.segments.size(); ++i) {
    pipe.segments[i].at = std::max(pipe.segments[i].at, at);
  }
  fabric_.kernel().Arm(pipe, pipe.segments[pipe.first_segment].at);
}

void Connection::LinkHealed(std::uint32_t from, std::uint32_t to) {
  for (Pipe& pipe : pipes_) {
    const std::uint32_t sender = ends_[pipe.sender].node;
    const std::uint32_t receiver = ends_[1 - pipe.sender].node;
    if (sender == to && receiver == from) pipe.writer.Wake();  // acknowledgements travel again
    if (sender != from || receiver != to || !pipe.stalled) continue;
    if (fabric_.random().Chance(fabric_.streams().reset_on_heal)) {
      Reset(0);
      Reset(1);
    }
    Restart(pipe);
  }
}

void Connection::NodeBack(std::uint32_t node) {
  for (Pipe& pipe : pipes_) {
    if (ends_[1 - pipe.sender].node == node && pipe.stalled) Restart(pipe);
  }
}

SimStream::SimStream(Connection::Ref connection, int side, SimExecutor& executor)
    : connection_(std::move(connection)), side_(side), executor_(executor) {
  ++connection_->fabric().open_sockets[connection_->end(side_).node];
}

SimStream::~SimStream() {
  --connection_->fabric().open_sockets[connection_->end(side_).node];
  connection_->Close(side_);
}

Task<Result<std::size_t>> SimStream::Read(std::span<char> into) {
  COT_ASSERT(!into.empty());
  const Connection::Ref connection = connection_;
  const int side = side_;
  Pipe& pipe = connection->in(side);
  if (executor_.scheduler().chaos() && connection->fabric().random().Chance(0.05)) {
    co_await Yield(executor_);
  }
  for (;;) {
    if (connection->end(side).closed) co_return Fail(ErrorCode::kConnectionClosed, "closed here");
    if (pipe.arrived > pipe.read) co_return connection->Take(side, into);
    if (connection->end(side).reset) {
      co_return Fail(ErrorCode::kConnectionClosed, "connection reset by peer");
    }
    if (pipe.fin_arrived) co_return std::size_t{0};
    co_await pipe.reader.Wait();
  }
}

Task<Status> SimStream::Write(std::string data) {
  const Connection::Ref connection = connection_;
  const int side = side_;
  Pipe& pipe = connection->out(side);
  std::size_t sent = 0;
  while (sent < data.size()) {
    if (connection->end(side).closed || pipe.fin_sent) {
      co_return FailUnknown(ErrorCode::kConnectionClosed, "closed here");
    }
    if (connection->end(side).reset) {
      co_return FailUnknown(ErrorCode::kConnectionClosed, "connection reset by peer");
    }
    const std::size_t size =
        std::min<std::uint64_t>(connection->WriteSpace(side), data.size() - sent);
    if (size == 0) {
      co_await pipe.writer.Wait();
      continue;
    }
    connection->Send(side, std::string_view(data).substr(sent, size));
    sent += size;
  }
  co_return Ok();
}

}  // namespace coterie::runtime
