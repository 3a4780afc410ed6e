// Changes: one register's changes queue here, and are decided together.

#include "node/paxos/rounds.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "node/paxos/codec.h"

namespace coterie::node::registers {

using runtime::Task;

/// A round of one register under way.
struct Rounds::Round {
  std::vector<std::shared_ptr<Waiting>> batch;
  /// What the register holds after each of the batch, by the call of the change function.
  std::map<std::uint64_t, std::vector<Bytes>> results;
  Instant deadline{};
  Instant reach_by{};
  bool reached = false;
};

Rounds::Rounds(runtime::World& world, NodeId self, Control& control, Transport& transport,
               Acceptors& acceptors, clock::Actor proposer, FailureDetector* detector,
               RoundsOptions options)
    : world_(world),
      self_(self),
      control_(control),
      transport_(transport),
      acceptors_(acceptors),
      detector_(detector),
      options_(options),
      ballots_(proposer) {}

std::optional<paxos::Replicas> Rounds::Replicas(ShardId shard) const {
  const placement::ClusterMapPtr map = control_.map();
  const placement::Shard* found = map->FindShard(shard);
  if (found == nullptr) return std::nullopt;
  paxos::Replicas replicas = ReplicasOf(*found);
  if (replicas.voters.empty()) return std::nullopt;
  return replicas;
}

Rounds::Register& Rounds::Open(RegisterName name) {
  auto& reg = registers_[name];
  if (reg == nullptr) {
    reg = std::make_unique<Register>(world_.executor(), options_.core, ballots_, world_.random());
    reg->name = std::move(name);
    reg->idle = idle_.insert(idle_.begin(), reg.get());
    if (idle_.size() > options_.registers_max) {
      Register* oldest = idle_.back();
      idle_.pop_back();
      registers_.erase(RegisterName(oldest->name));
    }
  }
  return *reg;
}

Task<Result<Changed>> Rounds::Change(ShardId shard, std::string key, Fold fold, Instant deadline) {
  if (!Replicas(shard)) co_return Fail(ErrorCode::kNoKeyspace, "the keyspace was dropped");
  Register& reg = Open({shard, std::move(key)});
  if (reg.queue.size() >= options_.queue_max) {
    co_return Fail(ErrorCode::kOverloaded, "changes of one key");
  }
  const auto waiting = std::make_shared<Waiting>(world_.executor(), std::move(fold), deadline);
  struct Presence {  // also when this frame is destroyed
    Waiting& waiting;
    ~Presence() { waiting.abandoned = true; }
  } presence{*waiting};
  reg.queue.push_back(waiting);
  if (!reg.serving) {
    reg.serving = true;
    idle_.erase(reg.idle);
    scope_.Spawn(Serve(&reg));
  }
  std::optional<Result<Changed>> answer = co_await waiting->answer.WaitUntil(deadline);
  if (answer) co_return std::move(*answer);
  if (!waiting->started) co_return Fail(ErrorCode::kTimedOut, "others of this key were first");
  co_return FailUnknown(ErrorCode::kTimedOut, "the change was not decided in time");
}

Task<Result<Bytes>> Rounds::Carry(ShardId shard, std::string key, Instant deadline) {
  Fold same = [](const Bytes& current, std::uint64_t) { return paxos::Decision{true, current}; };
  auto carried = co_await Change(shard, std::move(key), std::move(same), deadline);
  if (!carried) co_return std::unexpected(std::move(carried.error()));
  co_return std::move(carried->bytes);
}

Task<void> Rounds::Serve(Register* reg) {
  // Whoever asks in the same turn shares the first round.
  co_await runtime::Yield(world_.executor());
  while (!reg->queue.empty()) {
    std::vector<std::shared_ptr<Waiting>> batch;
    while (!reg->queue.empty() && batch.size() < options_.batch_max) {
      if (!reg->queue.front()->abandoned) batch.push_back(std::move(reg->queue.front()));
      reg->queue.pop_front();
    }
    if (!batch.empty()) co_await RunRound(reg, std::move(batch));
  }
  reg->serving = false;
  reg->idle = idle_.insert(idle_.begin(), reg);
}

// Time lets a try beat every ballot that was made before it, though it has not heard of it: without
// that, a busy writer's promises run away from everybody else.
void Rounds::RaiseBallots() { ballots_.Raise(NowUs() + ahead_us_); }

std::uint64_t Rounds::NowUs() const {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, world_.WallNow().earliest_ns / 1000));
}

// The batch is fixed from here on: every try folds the same changes, in order.
void Rounds::StartChange(Register& reg, Round& round) {
  ++stats_.rounds;
  stats_.folded += round.batch.size();
  if (reg.proposer.prepared()) ++stats_.one_trip;
  RaiseBallots();
  Round* state = &round;
  reg.proposer.Change(
      [state](const Bytes& current, std::uint64_t number) {
        std::vector<Bytes>& results = state->results[number];
        paxos::Decision all{.write = false, .bytes = current};
        for (const auto& waiting : state->batch) {
          paxos::Decision decision = waiting->fold(all.bytes, number);
          if (decision.write) all = std::move(decision);
          results.push_back(all.bytes);
        }
        return all;
      },
      world_.Now());
}

Task<void> Rounds::RunRound(Register* reg, std::vector<std::shared_ptr<Waiting>> batch) {
  Round round{.batch = std::move(batch)};
  round.reach_by = world_.Now() + options_.reach_patience;
  for (const auto& waiting : round.batch) {
    waiting->started = true;
    round.deadline = std::max(round.deadline, waiting->deadline);
  }
  std::optional<paxos::Replicas> replicas = Replicas(reg->name.first);
  if (!replicas) {
    FailAll(round, {ErrorCode::kNoKeyspace, Outcome::kNotApplied, "the keyspace was dropped"});
    co_return;
  }
  reg->proposer.SetReplicas(*replicas, world_.Now());
  StartChange(*reg, round);
  runtime::Scope asking;  // goes first: its tasks step the proposer
  for (;;) {
    reg->stepped = false;
    paxos::Output output = reg->proposer.TakeOutput();
    if (output.finished) {
      Conclude(round, *output.finished);
      co_return;
    }
    for (paxos::Envelope& envelope : output.messages) {
      asking.Spawn(Ask(reg, envelope.to, std::move(envelope.request)));
    }
    round.reached = round.reached || reg->proposer.heard_majority();
    if (reg->stepped) continue;
    Instant next = std::min(round.deadline, reg->proposer.NextDeadline());
    if (!round.reached) next = std::min(next, round.reach_by);
    co_await reg->wake.WaitUntil(next);
    const Instant now = world_.Now();
    replicas = Replicas(reg->name.first);
    const bool lonely = !round.reached && !reg->proposer.heard_majority() && now >= round.reach_by;
    if (now >= round.deadline || lonely || !replicas) {
      if (reg->proposer.idle()) continue;  // finished in this very turn
      const paxos::Finished given_up = reg->proposer.Abandon();
      if (given_up.maybe_applied) {
        FailAll(round, {ErrorCode::kTimedOut, Outcome::kUnknown, "the change was not decided"});
      } else if (!replicas) {
        FailAll(round, {ErrorCode::kNoKeyspace, Outcome::kNotApplied, "it was dropped"});
      } else {
        const ErrorCode code = lonely ? ErrorCode::kTooFewReplicas : ErrorCode::kTimedOut;
        FailAll(round, {code, Outcome::kNotApplied, "no majority answered"});
      }
      co_return;
    }
    RaiseBallots();
    reg->proposer.SetReplicas(*replicas, now);
    reg->proposer.Tick(now);
  }
}

void Rounds::Conclude(Round& round, const paxos::Finished& finished) {
  if (!finished.decided) {
    const Outcome outcome = finished.maybe_applied ? Outcome::kUnknown : Outcome::kNotApplied;
    const ErrorCode code = finished.maybe_applied ? ErrorCode::kTimedOut : ErrorCode::kContended;
    return FailAll(round, {code, outcome, "other writers of the key were faster"});
  }
  const std::vector<Bytes>& results = round.results.at(finished.number);
  COT_ASSERT(results.size() == round.batch.size());
  for (std::size_t i = 0; i < results.size(); ++i) {
    round.batch[i]->answer.Set(Changed{results[i], finished.number});
  }
}

void Rounds::FailAll(Round& round, const Error& error) {
  for (const auto& waiting : round.batch) waiting->answer.Set(std::unexpected(error));
}

Task<void> Rounds::Ask(Register* reg, NodeId to, paxos::Request request) {
  const Instant until = world_.Now() + options_.core.resend_interval;
  auto reply = co_await Send(to, reg->name, std::move(request), until);
  if (!reply) co_return;
  if (const auto* refused = std::get_if<paxos::Refused>(&*reply)) {
    // Somebody's clock is ahead of ours: from here on our ballots are as far ahead of it.
    const std::uint64_t now_us = NowUs();
    const std::uint64_t theirs = refused->promised.counter;
    if (theirs > now_us) ahead_us_ = std::max(ahead_us_, theirs - now_us);
  }
  reg->proposer.Step(to, *reply, world_.Now());
  reg->stepped = true;
  reg->wake.NotifyAll();
}

Task<Result<paxos::Reply>> Rounds::Send(NodeId to, RegisterName name, paxos::Request request,
                                        Instant deadline) {
  if (to == self_) {
    auto own = co_await acceptors_.Answer(name.first, std::move(name.second), std::move(request));
    co_return own;
  }
  const Instant asked_at = world_.Now();
  std::string body = EncodeRequest(name.first, name.second, request);
  auto bytes = co_await transport_.Call(to, Method::kPaxos, std::move(body), deadline);
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

void Rounds::FollowMap() {
  for (const auto& [name, reg] : registers_) {
    if (reg->serving) reg->wake.NotifyAll();
  }
}

}  // namespace coterie::node::registers
