#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/assert.h"
#include "door/etcd/errors.h"
#include "door/etcd/etcd_door.h"
#include "door/etcd/headers.h"
#include "node/node.h"
#include "node/replica.h"
#include "runtime/sync.h"

namespace google::protobuf {
class Message;
}

namespace coterie::door::etcd {

/// Lets one step of long work run in each round of the reactor's tasks, whoever's it is: so that
/// together they hold up the others no longer than one alone.
class Turns {
 public:
  explicit Turns(runtime::Executor& executor) : executor_(executor), free_(executor) {}
  /// `co_await turns.Next()` before each step.
  runtime::Task<void> Next();

 private:
  runtime::Executor& executor_;
  bool taken_ = false;
  runtime::Notification free_;
};

/// What every service of the door stands on. Lives as long as the door.
struct Shared {
  Shared(node::KvKeyspace& k, EtcdDoorOptions o)
      : keyspace(k), options(std::move(o)), turns(k.world().executor()) {}

  node::KvKeyspace& keyspace;
  EtcdDoorOptions options;
  Turns turns;
  std::size_t long_ranges = 0;  ///< being answered now
};

/// What a member that only learns may serve [etcd v3rpc/interceptor.go].
enum class OnLearner { kRefused, kServed };

/// Why the call is refused whatever its request says: a learner, `hasleader` without a leader, a
/// malformed client-api-version.
std::optional<net::GrpcStatus> Refusal(const Shared& shared, const net::GrpcContext& context,
                                       OnLearner on_learner);

/// The call's own deadline or the door's request timeout, whichever comes first.
Instant DeadlineOf(const Shared& shared, const net::GrpcContext& context);

/// How long a call waits for a leader: one that has a deadline until that, at most the door's
/// request timeout, unless it asked for a leader; one that has none not at all.
struct Patience {
  Instant client_deadline = Instant::max();
  Instant deadline{};  ///< not after it
  bool for_leader = true;
};
Patience PatienceOf(const Shared& shared, const net::GrpcContext& context);

/// Waits until local reads are linearizable; the status to answer with if that fails.
runtime::Task<std::optional<net::GrpcStatus>> Barrier(Shared& shared, Patience patience);

/// Proposes a command, again while it is known not to have happened for want of a leader.
runtime::Task<Result<std::unique_ptr<model::StateMachine::Answer>>> ProposeWithLeader(
    Shared* shared, std::string command, Patience patience);

/// An answer that is known already.
runtime::Task<net::GrpcReply> Ready(net::GrpcReply reply);

/// The status of a message that is not of the method's type.
net::GrpcStatus MalformedRequest(std::string_view type);

/// Whether a field came in another wire type than its own: protobuf takes it for an unknown one.
bool HasMistypedField(const google::protobuf::Message& message);

template <class Message>
bool Decode(std::string_view bytes, Message& message) {
  return message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) &&
         !HasMistypedField(message);
}

/// Serialises an answer after completing its header, whose revision is set.
template <class Response>
std::string Encode(Shared& shared, Response& response) {
  CompleteHeader(*response.mutable_header(), shared.keyspace);
  return response.SerializeAsString();
}

/// Proposes a command and answers with what applying it gave, a `Response`.
template <class Response>
runtime::Task<net::GrpcReply> Propose(Shared* shared, std::string command, Patience patience) {
  auto applied = co_await ProposeWithLeader(shared, std::move(command), patience);
  if (!applied) co_return std::unexpected(StatusOf(applied.error()));
  COT_ASSERT(*applied != nullptr);
  auto& answer = static_cast<kv::Answer&>(**applied);
  if (!answer.response) co_return std::unexpected(StatusOf(answer.response.error()));
  auto* response = std::get_if<Response>(&*answer.response);
  COT_ASSERT(response != nullptr);
  co_return Encode(*shared, *response);
}

/// Sets `done` once there has been no leader for three election timeouts in a row: how long etcd
/// lets a stream that asked for `hasleader` wait [etcd v3rpc/interceptor.go, monitorLeader].
runtime::Task<void> EndWithoutLeader(Shared* shared, runtime::Slot<net::GrpcStatus>* done);
bool AsksForLeader(const net::GrpcContext& context);

}  // namespace coterie::door::etcd
