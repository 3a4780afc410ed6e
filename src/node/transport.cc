#include "node/transport.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "coterie/peer.pb.h"

namespace coterie::node {

namespace {
constexpr Duration kConnectTimeout = 1s;
constexpr Duration kReconnectMin = 20ms;
constexpr Duration kReconnectMax = 500ms;
constexpr Duration kRefusedPause = 2s;
constexpr Duration kGuestPatience = 4s;  // less than silence may last
constexpr std::size_t kReadBytes = 256u << 10;

std::string ErrorReply(std::uint64_t id, const Error& error) {
  peer::Reply reply;
  reply.set_id(id);
  reply.set_error(static_cast<std::uint32_t>(error.code));
  reply.set_outcome_unknown(error.outcome == Outcome::kUnknown);
  reply.set_message(error.message);
  return reply.SerializeAsString();
}
}  // namespace

struct Transport::Peer {
  Peer(runtime::Executor& executor, MemberConfig m) : member(std::move(m)), wake(executor) {}
  MemberConfig member;
  std::unique_ptr<runtime::Stream> stream;  // our connection to it, while it stands
  std::string queue;                        // encoded frames not yet given to the stream
  runtime::Notification wake;               // queue filled, or connection lost
  bool lost = false;
  bool refused = false;
  bool answered = false;         // a sign of life since the last ping
  Accepted* accepted = nullptr;  // its newest connection to us
  bool heard = false;
  Instant last_heard{};
  LinkFault fault;
  runtime::Scope reader;
  runtime::Scope loop;  // goes before the reader, whose tasks it starts
};

/// A connection that another made to us.
struct Transport::Accepted {
  Accepted(Transport& t, std::unique_ptr<runtime::Stream> s) : owner(t), stream(std::move(s)) {
    ++owner.accepted_;
  }
  ~Accepted() {
    --owner.accepted_;
    const auto peer = owner.peers_.find(from);
    if (peer != owner.peers_.end() && peer->second->accepted == this)
      peer->second->accepted = nullptr;
  }
  Accepted(const Accepted&) = delete;
  Accepted& operator=(const Accepted&) = delete;

  Transport& owner;
  std::unique_ptr<runtime::Stream> stream;
  NodeId from;  // 0 until its Hello came
  bool heard = false;
  runtime::Scope watch;
};

Transport::Transport(runtime::World& world, NodeId self, std::uint64_t cluster_id,
                     const std::vector<MemberConfig>& members, Limits limits)
    : world_(world),
      self_(self),
      cluster_id_(cluster_id),
      limits_(limits),
      next_call_(world.random().Next() >> 16) {
  self_info_.id = self;
  for (const MemberConfig& member : members) SetPeer(member);
}

void Transport::SetPeer(const MemberConfig& member) {
  if (member.id == self_) {
    self_info_ = member;
    return;
  }
  auto& peer = peers_[member.id];
  if (peer == nullptr) {
    peer = std::make_unique<Peer>(world_.executor(), member);
    if (started_) peer->loop.Spawn(ConnectLoop(peer.get()));
    return;
  }
  const bool moved = peer->member.peer != member.peer;
  peer->member = member;
  if (!moved || peer->stream == nullptr) return;
  peer->lost = true;
  peer->stream->Close();
  peer->wake.NotifyAll();
}

void Transport::RemovePeer(NodeId id) {
  const auto found = peers_.find(id);
  if (found == peers_.end()) return;
  const std::unique_ptr<Peer> peer = std::move(found->second);
  peers_.erase(found);
  peer->loop.Cancel();
  peer->reader.Cancel();
  peer->stream.reset();
  if (peer->accepted != nullptr) peer->accepted->stream->Close();
  FailCalls(id);
  if (on_lost_) on_lost_(id);
}

Transport::~Transport() { Stop(); }

void Transport::Stop() {
  scope_.Cancel();
  for (auto& [id, calls] : on_shard_call_) calls->answers.Cancel();
  for (auto& [id, peer] : peers_) {
    peer->loop.Cancel();
    peer->reader.Cancel();
    peer->stream.reset();
  }
}

void Transport::Start(std::unique_ptr<runtime::Listener> listener) {
  scope_.Spawn(AcceptLoop(std::shared_ptr<runtime::Listener>(std::move(listener))));
  started_ = true;
  for (auto& [id, peer] : peers_) peer->loop.Spawn(ConnectLoop(peer.get()));
}

runtime::Task<void> Transport::ConnectLoop(Peer* peer) {
  Duration pause = kReconnectMin;
  for (;;) {
    auto connected = co_await world_.network().Connect(peer->member.peer, kConnectTimeout);
    if (!connected) {
      co_await runtime::Sleep(world_.executor(), pause);
      pause = std::min(pause * 2, kReconnectMax);
      continue;
    }
    pause = kReconnectMin;
    peer::Hello hello;
    hello.set_cluster_id(cluster_id_);
    hello.set_from(self_.value);
    hello.set_to(peer->member.id.value);
    hello.set_name(self_info_.name);
    hello.set_address(ToText(self_info_.peer));
    peer->stream = std::move(*connected);
    peer->lost = false;
    peer->refused = false;
    peer->queue.clear();
    net::EncodeFrame({.type = static_cast<std::uint16_t>(FrameType::kHello)},
                     hello.SerializeAsString(), peer->queue);
    peer->reader.Spawn(ReadUntilClosed(peer));
    peer->reader.Spawn(Ping(peer));
    while (!peer->lost) {
      if (peer->queue.empty()) {
        co_await peer->wake.Wait();
        continue;
      }
      // Everything queued in this turn leaves in one write.
      co_await runtime::Yield(world_.executor());
      auto written = co_await peer->stream->Write(std::exchange(peer->queue, {}));
      if (!written) peer->lost = true;
    }
    peer->reader.Cancel();
    peer->stream.reset();
    peer->queue.clear();
    FailCalls(peer->member.id);
    if (on_lost_) on_lost_(peer->member.id);
    if (peer->refused) pause = kRefusedPause;
    co_await runtime::Sleep(world_.executor(), pause);
    pause = kReconnectMin;
  }
}

runtime::Task<void> Transport::ReadUntilClosed(Peer* peer) {
  net::FrameDecoder decoder;
  char bytes[256];
  for (;;) {
    auto read = co_await peer->stream->Read(bytes);
    if (!read || *read == 0) break;
    peer->answered = true;
    decoder.Feed(std::string_view(bytes, *read));
    for (auto next = decoder.Next(); next && *next; next = decoder.Next()) {
      if ((*next)->type == static_cast<std::uint16_t>(FrameType::kRefusal)) {
        OnRefusal(peer, (*next)->body);
      }
    }
  }
  peer->lost = true;
  peer->wake.NotifyAll();
}

void Transport::OnRefusal(Peer* peer, std::string_view body) {
  peer::Refusal refusal;
  if (!refusal.ParseFromArray(body.data(), static_cast<int>(body.size()))) return;
  peer->refused = true;
  world_.log().Error(
      "node", "node {} refuses this one: {}", peer->member.id.value,
      Describe({static_cast<ErrorCode>(refusal.error()), Outcome::kNotApplied, refusal.message()}));
}

// Counts pings, not time: a process that was held up must not blame the other for it. Injected
// faults do not touch pings: they are of what the nodes say, not of the connection.
runtime::Task<void> Transport::Ping(Peer* peer) {
  int silent = 0;
  while (!peer->lost) {
    peer->answered = false;
    net::EncodeFrame({.type = static_cast<std::uint16_t>(FrameType::kPing)}, {}, peer->queue);
    peer->wake.NotifyAll();
    co_await runtime::Sleep(world_.executor(), limits_.ping_interval);
    silent = peer->answered ? 0 : silent + 1;
    if (silent < limits_.silent_pings_max) continue;
    world_.log().Warn("node", "node {} gives no sign of life: connecting anew",
                      peer->member.id.value);
    peer->lost = true;
    peer->stream->Close();  // also ends a write that the other does not take
    peer->wake.NotifyAll();
  }
}

runtime::Task<void> Transport::AcceptLoop(std::shared_ptr<runtime::Listener> listener) {
  for (;;) {
    auto accepted = co_await listener->Accept();
    if (!accepted) {
      world_.log().Warn("node", "accept: {}", accepted.error().message);
      co_await runtime::Sleep(world_.executor(), kReconnectMax);
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
    if (hello.cluster_id() == cluster_id_ && on_guest_) return {.kind = Kind::kGuest};
    return {.kind = Kind::kRefused, .refusal = {ErrorCode::kWrongCluster}};
  }
  if (hello.cluster_id() != cluster_id_ || hello.to() != self_.value || from == self_) return {};
  if (peers_.contains(from)) return {.kind = Kind::kPeer, .from = from};
  const auto address = runtime::ParseAddress(hello.address());
  if (from == NodeId() || !on_stranger_ || !address) return {};
  const MemberConfig stranger{.id = from, .name = hello.name(), .peer = *address, .etcd = {}};
  Status known = on_stranger_(stranger);
  if (!known) return {.kind = Kind::kRefused, .from = from, .refusal = std::move(known.error())};
  SetPeer(stranger);
  return {.kind = Kind::kPeer, .from = from};
}

void Transport::Welcome(Accepted* connection, NodeId from) {
  connection->from = from;
  // It made a new one, so it has given the one before up.
  Accepted* before = std::exchange(peers_.at(from)->accepted, connection);
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
          !call.ParseFromString((*next)->body) ||
          call.method() != static_cast<std::uint32_t>(Method::kControl)) {
        co_return;
      }
      const Instant deadline = world_.Now() + kGuestPatience;
      auto answer = co_await on_guest_(NodeId(), std::move(*call.mutable_body()), deadline);
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
          Welcome(&connection, who.from);
          continue;
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

void Transport::OnFrame(NodeId from, std::uint16_t type, std::uint32_t deadline_ms,
                        std::string body) {
  const auto known = peers_.find(from);
  if (known == peers_.end()) return;  // removed while this was on its way
  Peer& peer = *known->second;
  peer.heard = true;
  peer.last_heard = world_.Now();
  switch (static_cast<FrameType>(type)) {
    case FrameType::kRaft:
    case FrameType::kGossip:
    case FrameType::kMutations:
    case FrameType::kMutationAcks:
    case FrameType::kPublish: {
      const auto handler = on_message_.find(static_cast<FrameType>(type));
      if (handler != on_message_.end()) handler->second(from, body);
      return;
    }
    case FrameType::kCall:
      OnCallFrame(from, deadline_ms, body);
      return;
    case FrameType::kReply:
      OnReplyFrame(from, body);
      return;
    case FrameType::kHello:
    case FrameType::kPing:
    case FrameType::kPong:
    case FrameType::kRefusal:
      return;
  }
  // An unknown type is a newer version's: it does without an answer of ours.
}

void Transport::OnShardCall(ShardId shard, Method method, CallHandler handler) {
  auto& calls = on_shard_call_[shard];
  if (calls == nullptr) calls = std::make_unique<ShardCalls>();
  calls->handlers[method] = std::move(handler);
}

void Transport::RemoveShard(ShardId shard) { on_shard_call_.erase(shard); }

void Transport::OnCallFrame(NodeId from, std::uint32_t deadline_ms, std::string_view body) {
  peer::Call call;
  if (!call.ParseFromArray(body.data(), static_cast<int>(body.size()))) return;
  const auto method = static_cast<Method>(call.method());
  CallHandler* handler = nullptr;
  runtime::Scope* scope = &scope_;
  if (const auto shard = on_shard_call_.find(ShardId(call.shard()));
      shard != on_shard_call_.end()) {
    const auto found = shard->second->handlers.find(method);
    if (found != shard->second->handlers.end()) {
      handler = &found->second;
      scope = &shard->second->answers;
    }
  }
  if (handler == nullptr) {
    const auto found = on_call_.find(method);
    if (found != on_call_.end()) handler = &found->second;
  }
  if (handler == nullptr) {
    const ErrorCode code =
        IsShardMethod(method) ? ErrorCode::kNotReplica : ErrorCode::kUnimplemented;
    Enqueue(from, FrameType::kReply, ErrorReply(call.id(), {code, Outcome::kNotApplied, {}}), 0);
    return;
  }
  const Instant deadline =
      world_.Now() + std::chrono::milliseconds(deadline_ms == 0 ? 10000 : deadline_ms);
  scope->Spawn(Serve(from, call.id(), handler, std::move(*call.mutable_body()), deadline));
}

void Transport::OnReplyFrame(NodeId from, std::string_view body) {
  peer::Reply reply;
  if (!reply.ParseFromArray(body.data(), static_cast<int>(body.size()))) return;
  const auto pending = calls_.find(reply.id());
  if (pending == calls_.end() || pending->second.to != from) return;
  if (reply.error() == 0) {
    pending->second.slot->Set(std::move(*reply.mutable_body()));
    return;
  }
  pending->second.slot->Set(
      std::unexpected(Error{static_cast<ErrorCode>(reply.error()),
                            reply.outcome_unknown() ? Outcome::kUnknown : Outcome::kNotApplied,
                            std::move(*reply.mutable_message())}));
}

runtime::Task<void> Transport::Serve(NodeId from, std::uint64_t call_id, CallHandler* handler,
                                     std::string body, Instant deadline) {
  auto answer = co_await (*handler)(from, std::move(body), deadline);
  if (!answer) {
    Enqueue(from, FrameType::kReply, ErrorReply(call_id, answer.error()), 0);
    co_return;
  }
  peer::Reply reply;
  reply.set_id(call_id);
  reply.set_body(std::move(*answer));
  Enqueue(from, FrameType::kReply, reply.SerializeAsString(), 0);
}

void Transport::Send(NodeId to, FrameType type, std::string_view body) {
  Enqueue(to, type, body, 0);
}

bool Transport::Enqueue(NodeId to, FrameType type, std::string_view body,
                        std::uint32_t deadline_ms) {
  const auto found = peers_.find(to);
  if (found == peers_.end()) return false;
  Peer& peer = *found->second;
  if (peer.stream == nullptr || peer.lost) return false;
  if (peer.fault.cut) return true;  // as the network would: it looks sent
  if (peer.fault.delay > Duration::zero()) {
    peer.loop.Spawn(SendLater(&peer, type, std::string(body), deadline_ms, peer.fault.delay));
    return true;
  }
  return Push(peer, type, body, deadline_ms);
}

bool Transport::Push(Peer& peer, FrameType type, std::string_view body, std::uint32_t deadline_ms) {
  if (peer.queue.size() + body.size() > limits_.queue_bytes_max) return false;
  net::EncodeFrame({.type = static_cast<std::uint16_t>(type), .deadline_ms = deadline_ms}, body,
                   peer.queue);
  peer.wake.NotifyAll();
  return true;
}

runtime::Task<void> Transport::SendLater(Peer* peer, FrameType type, std::string body,
                                         std::uint32_t deadline_ms, Duration delay) {
  co_await runtime::Sleep(world_.executor(), delay);
  if (peer->stream != nullptr && !peer->lost && !peer->fault.cut)
    Push(*peer, type, body, deadline_ms);
}

runtime::Task<Result<std::string>> Transport::Call(NodeId to, Method method, std::string body,
                                                   Instant deadline, ShardId shard) {
  if (calls_.size() >= limits_.calls_max)
    co_return Fail(ErrorCode::kOverloaded, "calls between nodes");
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - world_.Now());
  if (left.count() <= 0) co_return Fail(ErrorCode::kTimedOut);
  const std::uint64_t id = next_call_++;
  peer::Call call;
  call.set_id(id);
  call.set_method(static_cast<std::uint32_t>(method));
  call.set_shard(shard.value);
  call.set_body(std::move(body));
  const auto left_ms = static_cast<std::uint32_t>(std::min<std::int64_t>(left.count(), 3600000));
  if (!Enqueue(to, FrameType::kCall, call.SerializeAsString(), left_ms)) {
    co_return Fail(ErrorCode::kConnectFailed, "no connection to that node");
  }
  runtime::Slot<Result<std::string>> slot(world_.executor());
  struct Registration {  // withdrawn also when this frame is destroyed
    std::map<std::uint64_t, PendingCall>& calls;
    std::uint64_t id;
    ~Registration() { calls.erase(id); }
  } registration{calls_, id};
  calls_.emplace(id, PendingCall{to, &slot});
  auto answer = co_await slot.WaitUntil(deadline);
  if (!answer) co_return FailUnknown(ErrorCode::kTimedOut, "no answer from the other node");
  co_return std::move(*answer);
}

void Transport::FailCalls(NodeId to) {
  for (auto& [id, call] : calls_) {
    if (call.to == to) call.slot->Set(FailUnknown(ErrorCode::kConnectionClosed));
  }
}

void Transport::SetFault(NodeId to, LinkFault fault) {
  const auto found = peers_.find(to);
  if (found != peers_.end()) found->second->fault = fault;
}

void Transport::Heal() {
  for (auto& [id, peer] : peers_) peer->fault = {};
}

std::vector<PeerStatus> Transport::peers() const {
  std::vector<PeerStatus> all;
  for (const auto& [id, peer] : peers_) {
    all.push_back({.id = id,
                   .name = peer->member.name,
                   .connected = peer->stream != nullptr && !peer->lost,
                   .silent_for = peer->heard ? world_.Now() - peer->last_heard : Duration::max(),
                   .fault = peer->fault,
                   .refused = peer->refused});
  }
  return all;
}

bool Transport::connected(NodeId peer) const {
  const auto found = peers_.find(peer);
  return found != peers_.end() && found->second->stream != nullptr && !found->second->lost;
}

}  // namespace coterie::node
