#include "node/transport.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "coterie/peer.pb.h"
#include "node/transport_connections.h"

namespace coterie::node {

namespace {
constexpr Duration kConnectTimeout = 1s;
constexpr Duration kReconnectMin = 20ms;
constexpr Duration kReconnectMax = 500ms;
constexpr Duration kRefusedPause = 2s;
}  // namespace

std::string ErrorReply(std::uint64_t id, const Error& error) {
  peer::Reply reply;
  reply.set_id(id);
  reply.set_error(static_cast<std::uint32_t>(error.code));
  reply.set_outcome_unknown(error.outcome == Outcome::kUnknown);
  reply.set_message(error.message);
  return reply.SerializeAsString();
}

Transport::Transport(runtime::World& world, NodeId self, std::uint64_t cluster_id,
                     const std::vector<MemberConfig>& members, Limits limits)
    : world_(world),
      self_(self),
      cluster_id_(cluster_id),
      limits_(limits),
      name_id_(cluster_id),
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

void Transport::Start(std::shared_ptr<runtime::Listener> listener) {
  scope_.Spawn(AcceptLoop(std::move(listener)));
  started_ = true;
  for (auto& [id, peer] : peers_) peer->loop.Spawn(ConnectLoop(peer.get()));
}

runtime::Task<void> Transport::ConnectLoop(Peer* peer) {
  Duration pause = kReconnectMin;
  for (bool moved = false;; moved = !moved) {
    // One that moved says where it is before the map does.
    const runtime::Address to = moved && peer->told ? *peer->told : peer->member.peer;
    auto connected = co_await world_.network().Connect(to, kConnectTimeout);
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
    hello.set_birth(manifest_.birth);
    if (manifest_.version > 1) hello.set_version(manifest_.version);
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
  Error why{static_cast<ErrorCode>(refusal.error()), Outcome::kNotApplied, refusal.message()};
  world_.log().Error("node", "node {} refuses this one: {}", peer->member.id.value, Describe(why));
  if (on_refused_) on_refused_(peer->member.id, std::move(why));
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
                   .version = peer->accepted == nullptr ? 0 : peer->version,
                   .refused = peer->refused});
  }
  return all;
}

bool Transport::connected(NodeId peer) const {
  const auto found = peers_.find(peer);
  return found != peers_.end() && found->second->stream != nullptr && !found->second->lost;
}

}  // namespace coterie::node
