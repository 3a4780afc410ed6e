// The accepting half: who is let in, and what comes from those who are.

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "coterie/peer.pb.h"
#include "node/transport_connections.h"

namespace coterie::node {

namespace {
constexpr Duration kAcceptPause = 500ms;
constexpr Duration kGuestPatience = 4s;  // less than silence may last
constexpr std::size_t kReadBytes = 256u << 10;
}  // namespace

runtime::Task<void> Transport::AcceptLoop(std::shared_ptr<runtime::Listener> listener) {
  for (;;) {
    auto accepted = co_await listener->Accept();
    if (!accepted) {
      world_.log().Warn("node", "accept: {}", accepted.error().message);
      co_await runtime::Sleep(world_.executor(), kAcceptPause);
      continue;
    }
    if (accepted_ >= limits_.accepted_max) {
      world_.log().Warn("node", "refused a connection from {}: {} are open",
                        ToText((*accepted)->peer()), accepted_);
      continue;
    }
    scope_.Spawn(ReadLoop(std::move(*accepted)));
  }
}

runtime::Task<void> Transport::CloseWhenSilent(Accepted* connection) {
  for (int silent = 0; silent < limits_.silent_pings_max;) {
    connection->heard = false;
    co_await runtime::Sleep(world_.executor(), limits_.ping_interval);
    silent = connection->heard ? 0 : silent + 1;
  }
  connection->stream->Close();
}

Transport::Introduction Transport::Introduced(const net::Frame& frame) {
  using Kind = Introduction::Kind;
  peer::Hello hello;
  if (frame.type != static_cast<std::uint16_t>(FrameType::kHello)) return {};
  if (!hello.ParseFromString(frame.body)) return {};
  const NodeId from(hello.from());
  if (from == NodeId() && hello.to() == 0) {
    if (hello.cluster_id() == name_id_ && !on_guest_.empty()) return {.kind = Kind::kGuest};
    return {.kind = Kind::kRefused, .refusal = {ErrorCode::kWrongCluster}};
  }
  if (hello.cluster_id() != cluster_id_ || hello.to() != self_.value || from == self_) return {};
  const auto address = runtime::ParseAddress(hello.address());
  const Manifest manifest{hello.birth(), std::max(1U, hello.version())};
  if (peers_.contains(from)) {
    const auto told = address.value_or(runtime::Address{});
    return {.kind = Kind::kPeer, .from = from, .manifest = manifest, .address = told};
  }
  if (from == NodeId() || !on_stranger_ || !address) return {};
  const MemberConfig stranger{.id = from, .name = hello.name(), .peer = *address, .etcd = {}};
  Status known = on_stranger_(stranger);
  if (!known) return {.kind = Kind::kRefused, .from = from, .refusal = std::move(known.error())};
  SetPeer(stranger);
  return {.kind = Kind::kPeer, .from = from, .manifest = manifest, .address = *address};
}

void Transport::Welcome(Accepted* connection, const Introduction& who) {
  connection->from = who.from;
  Peer& peer = *peers_.at(who.from);
  peer.version = who.manifest.version;
  if (who.address.port != 0) peer.told = who.address;
  // It made a new one, so it has given the one before up.
  Accepted* before = std::exchange(peer.accepted, connection);
  if (before != nullptr) before->stream->Close();
}

runtime::Task<void> Transport::Refuse(Accepted* connection, Error refusal) {
  peer::Refusal message;
  message.set_error(static_cast<std::uint32_t>(refusal.code));
  message.set_message(refusal.message);
  std::string bytes;
  net::EncodeFrame({.type = static_cast<std::uint16_t>(FrameType::kRefusal)},
                   message.SerializeAsString(), bytes);
  auto written = co_await connection->stream->Write(std::move(bytes));
  if (!written) co_return;
  connection->stream->ShutdownWrite();
  // Until it hangs up, or is silent: closing at once could take the message back.
  char rest[1024];
  for (std::size_t taken = 0; taken < kReadBytes;) {
    auto read = co_await connection->stream->Read(rest);
    if (!read || *read == 0) co_return;
    taken += *read;
  }
}

runtime::Task<void> Transport::ServeGuest(Accepted* connection, net::FrameDecoder* decoder) {
  char bytes[4096];
  for (;;) {
    auto next = decoder->Next();
    if (!next) co_return;
    if (*next) {
      peer::Call call;
      if ((*next)->type != static_cast<std::uint16_t>(FrameType::kCall) ||
          !call.ParseFromString((*next)->body)) {
        co_return;
      }
      const auto handler = on_guest_.find(static_cast<Method>(call.method()));
      if (handler == on_guest_.end()) co_return;
      const Instant deadline = world_.Now() + kGuestPatience;
      auto answer = co_await handler->second(NodeId(), std::move(*call.mutable_body()), deadline);
      peer::Reply reply;
      reply.set_id(call.id());
      if (answer) reply.set_body(std::move(*answer));
      std::string out;
      net::EncodeFrame({.type = static_cast<std::uint16_t>(FrameType::kReply)},
                       answer ? reply.SerializeAsString() : ErrorReply(call.id(), answer.error()),
                       out);
      auto written = co_await connection->stream->Write(std::move(out));
      if (!written) co_return;
      connection->stream->ShutdownWrite();
      (void)co_await connection->stream->Read(bytes);
      co_return;
    }
    auto read = co_await connection->stream->Read(bytes);
    if (!read || *read == 0) co_return;
    connection->heard = true;
    decoder->Feed(std::string_view(bytes, *read));
  }
}

runtime::Task<void> Transport::ReadLoop(std::unique_ptr<runtime::Stream> stream) {
  Accepted connection(*this, std::move(stream));
  connection.watch.Spawn(CloseWhenSilent(&connection));
  net::FrameDecoder decoder;
  std::vector<char> buffer(kReadBytes);
  for (;;) {
    auto read = co_await connection.stream->Read(buffer);
    if (!read || *read == 0) co_return;
    connection.heard = true;
    decoder.Feed(std::string_view(buffer.data(), *read));
    for (;;) {
      auto next = decoder.Next();
      if (!next) {
        world_.log().Warn("node", "peer {}: {}", ToText(connection.stream->peer()),
                          Describe(next.error()));
        co_return;
      }
      if (!*next) break;
      net::Frame frame = std::move(**next);
      if (connection.from == NodeId()) {
        Introduction who = Introduced(frame);
        if (who.kind == Introduction::Kind::kPeer) {
          Status known = Ok();
          if (on_introduced_) known = co_await on_introduced_(who.from, who.manifest);
          if (known && !peers_.contains(who.from)) co_return;  // removed meanwhile
          if (known) {
            Welcome(&connection, who);
            continue;
          }
          who.kind = Introduction::Kind::kRefused;
          who.refusal = std::move(known.error());
        }
        if (who.kind == Introduction::Kind::kGuest) {
          co_await ServeGuest(&connection, &decoder);
          co_return;
        }
        const bool polite = who.kind == Introduction::Kind::kRefused;
        world_.log().Warn("node", "refused a connection from {}: {}",
                          ToText(connection.stream->peer()),
                          polite ? Describe(who.refusal) : InfoOf(ErrorCode::kWrongCluster).cause);
        if (polite) co_await Refuse(&connection, std::move(who.refusal));
        co_return;
      }
      if (frame.type == static_cast<std::uint16_t>(FrameType::kPing)) {
        std::string pong;
        net::EncodeFrame({.type = static_cast<std::uint16_t>(FrameType::kPong)}, {}, pong);
        auto written = co_await connection.stream->Write(std::move(pong));
        if (!written) co_return;
        continue;
      }
      OnFrame(connection.from, frame.type, frame.deadline_ms, std::move(frame.body));
    }
  }
}

}  // namespace coterie::node
