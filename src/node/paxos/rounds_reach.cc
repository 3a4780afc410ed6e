// Asking the replicas, and what their silence says.

#include <utility>
#include <vector>

#include "node/paxos/codec.h"
#include "node/paxos/rounds.h"

namespace coterie::node::registers {

using runtime::Task;

namespace {

/// Whether nothing came from the other node: what it answers may be an error, too.
bool IsNoAnswer(const Error& error) {
  return error.code == ErrorCode::kTimedOut || error.code == ErrorCode::kConnectFailed ||
         error.code == ErrorCode::kConnectionClosed;
}

}  // namespace

Task<Result<paxos::Reply>> Rounds::Send(NodeId to, RegisterName name, paxos::Request request,
                                        Instant deadline) {
  if (to == self_) {
    auto own = co_await acceptors_.Answer(name.first, std::move(name.second), std::move(request));
    co_return own;
  }
  const Instant asked_at = world_.Now();
  if (Heard& heard = heard_[to]; !heard.waiting) {
    heard.waiting = true;
    heard.asked = asked_at;
  }
  std::string body = EncodeRequest(name.first, name.second, request);
  auto bytes = co_await transport_.Call(to, Method::kPaxos, std::move(body), deadline);
  if (bytes || !IsNoAnswer(bytes.error())) heard_[to].waiting = false;
  if (!bytes) {
    const bool late = bytes.error().code == ErrorCode::kTimedOut;
    if (late && detector_ != nullptr) detector_->OnLate(to);
    co_return std::unexpected(std::move(bytes.error()));
  }
  if (detector_ != nullptr) detector_->OnAnswer(to, world_.Now() - asked_at);
  std::optional<paxos::Reply> reply = DecodeReply(*bytes);
  if (!reply) co_return Fail(ErrorCode::kMalformed, "a register's reply");
  co_return std::move(*reply);
}

Error Rounds::Lost() {
  return {ErrorCode::kTooFewReplicas, Outcome::kNotApplied,
          "a majority of the shard's replicas has not answered for a second"};
}

bool Rounds::IsSilent(NodeId node) const {
  const auto found = heard_.find(node);
  return found != heard_.end() && found->second.waiting &&
         world_.Now() - found->second.asked >= options_.reach_patience;
}

bool Rounds::KnownLost(const RegisterName& name, const paxos::Replicas& replicas) {
  std::vector<NodeId> lost;
  for (const NodeId voter : replicas.voters) {
    if (voter != self_ && IsSilent(voter)) lost.push_back(voter);
  }
  if (replicas.voters.size() - lost.size() >= replicas.majority()) return false;
  for (const NodeId node : lost) {
    if (std::exchange(heard_[node].probing, true)) continue;
    scope_.Spawn(Probe(node, name, paxos::Learner(replicas, ++questions_).question()));
  }
  return true;
}

/// Asks a silent node until it answers; anything will do.
Task<void> Rounds::Probe(NodeId node, RegisterName name, paxos::Query question) {
  while (IsSilent(node)) {
    auto reply = co_await Send(node, name, question, world_.Now() + options_.probe_interval);
    if (!reply) co_await runtime::Sleep(world_.executor(), options_.probe_interval);
  }
  heard_[node].probing = false;
}

}  // namespace coterie::node::registers
