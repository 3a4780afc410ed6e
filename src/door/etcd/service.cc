#include "door/etcd/service.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/unknown_field_set.h>

#include <algorithm>

namespace coterie::door::etcd {
namespace {

constexpr int kNoLeaderChecksMax = 3;
constexpr Duration kLeaderCheckInterval = 50ms;

/// Whether a request that failed so may be made again, later, with another answer.
bool LacksLeader(const Error& error) {
  return error.code == ErrorCode::kNoLeader && error.outcome == Outcome::kNotApplied;
}

bool IsUtf8(std::string_view text) {
  std::size_t i = 0;
  while (i < text.size()) {
    const auto lead = static_cast<unsigned char>(text[i]);
    std::size_t length = 4;
    if (lead < 0x80)
      length = 1;
    else if (lead >= 0xc2 && lead < 0xe0)
      length = 2;
    else if (lead >= 0xe0 && lead < 0xf0)
      length = 3;
    else if (lead < 0xf0 || lead > 0xf4)
      return false;
    if (text.size() - i < length) return false;
    for (std::size_t k = 1; k < length; ++k) {
      if ((static_cast<unsigned char>(text[i + k]) & 0xc0) != 0x80) return false;
    }
    i += length;
  }
  return true;
}

}  // namespace

runtime::Task<void> Turns::Next() {
  while (taken_) co_await free_.Wait();
  taken_ = true;
  struct Leave {
    Turns& owner;
    ~Leave() {
      owner.taken_ = false;
      owner.free_.NotifyAll();
    }
  } leave{*this};
  co_await runtime::Yield(executor_);
}

bool AsksForLeader(const net::GrpcContext& context) {
  return context.Header("hasleader") == "true";
}

std::optional<net::GrpcStatus> Refusal(const Shared& shared, const net::GrpcContext& context,
                                       OnLearner on_learner) {
  const node::ReplicaStatus status = shared.keyspace.replica().status();
  if (status.learner && on_learner == OnLearner::kRefused) {
    return StatusOf(EtcdError::kNotSupportedForLearner);
  }
  if (!IsUtf8(context.Header("client-api-version"))) {
    return StatusOf(EtcdError::kInvalidClientApiVersion);
  }
  if (status.leader == NodeId(0) && AsksForLeader(context)) return StatusOf(EtcdError::kNoLeader);
  return std::nullopt;
}

Instant DeadlineOf(const Shared& shared, const net::GrpcContext& context) {
  return std::min(context.deadline, shared.keyspace.world().Now() + shared.options.request_timeout);
}

Patience PatienceOf(const Shared& shared, const net::GrpcContext& context) {
  return {.client_deadline = context.deadline,
          .deadline = DeadlineOf(shared, context),
          .for_leader = context.deadline != Instant::max() && !AsksForLeader(context)};
}

runtime::Task<std::optional<net::GrpcStatus>> Barrier(Shared& shared, Patience patience) {
  runtime::World& world = shared.keyspace.world();
  for (;;) {
    const Status ready = co_await shared.keyspace.replica().ReadBarrier(patience.deadline);
    if (ready) co_return std::nullopt;
    const bool again = LacksLeader(ready.error()) && patience.for_leader;
    if (again && world.Now() + kLeaderCheckInterval < patience.deadline) {
      co_await runtime::Sleep(world.executor(), kLeaderCheckInterval);
      continue;
    }
    // The client's own deadline is its business; ours is a state that may pass, which clients
    // retry.
    if (ready.error().code != ErrorCode::kTimedOut) co_return StatusOf(ready.error());
    const bool own = patience.client_deadline > patience.deadline;
    co_return StatusOf(own ? EtcdError::kTimedOut : EtcdError::kDeadlineExceeded);
  }
}

runtime::Task<Result<std::unique_ptr<model::StateMachine::Answer>>> ProposeWithLeader(
    Shared* shared, std::string command, Patience patience) {
  runtime::World& world = shared->keyspace.world();
  for (;;) {
    auto applied = co_await shared->keyspace.replica().Propose(command, patience.deadline);
    const bool again = !applied && LacksLeader(applied.error()) && patience.for_leader;
    if (!again || world.Now() + kLeaderCheckInterval >= patience.deadline) {
      co_return std::move(applied);
    }
    co_await runtime::Sleep(world.executor(), kLeaderCheckInterval);
  }
}

bool HasMistypedField(const google::protobuf::Message& message) {
  const auto& unknown = message.GetReflection()->GetUnknownFields(message);
  for (int i = 0; i < unknown.field_count(); ++i) {
    if (message.GetDescriptor()->FindFieldByNumber(unknown.field(i).number()) != nullptr) {
      return true;
    }
  }
  return false;
}

runtime::Task<net::GrpcReply> Ready(net::GrpcReply reply) { co_return reply; }

net::GrpcStatus MalformedRequest(std::string_view type) {
  return {net::GrpcCode::kInternal,
          "grpc: error unmarshalling request: not a " + std::string(type)};
}

runtime::Task<void> EndWithoutLeader(Shared* shared, runtime::Slot<net::GrpcStatus>* done) {
  int missed = 0;
  while (missed < kNoLeaderChecksMax) {
    co_await runtime::Sleep(shared->keyspace.world().executor(), shared->options.election_timeout);
    missed = shared->keyspace.replica().status().leader == NodeId(0) ? missed + 1 : 0;
  }
  done->Set(StatusOf(EtcdError::kNoLeader));
}

}  // namespace coterie::door::etcd
