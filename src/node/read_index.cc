// Linearizable reads: the barrier's rounds [Raft-thesis §6.4]. All barriers asked for in one turn
// share a round; while a round asks, the next one gathers. A round starts only after its callers
// have called, so the index it learns covers every write acknowledged before them.

#include <algorithm>

#include "base/assert.h"
#include "coterie/peer.pb.h"
#include "node/mutants.h"
#include "node/raft_replica.h"

namespace coterie::node {

struct RaftReplica::ReadRound {
  explicit ReadRound(runtime::Executor& executor) : done(executor) {}
  runtime::Notification done;
  bool finished = false;
  Status result = Ok();
};

runtime::Task<Status> RaftReplica::ReadBarrier(Instant deadline) {
  if (!gathering_) {
    gathering_ = std::make_shared<ReadRound>(world_.executor());
    if (!round_running_) {
      round_running_ = true;
      scope_.Spawn(RunReadRound(gathering_));
    }
  }
  const std::shared_ptr<ReadRound> round = gathering_;
  while (!round->finished) {
    const bool notified = co_await round->done.WaitUntil(deadline);
    if (!notified && !round->finished) co_return Fail(ErrorCode::kTimedOut, "read barrier");
  }
  co_return round->result;
}

runtime::Task<void> RaftReplica::RunReadRound(std::shared_ptr<ReadRound> round) {
  for (;;) {
    co_await runtime::Yield(world_.executor());  // let this turn's callers in
    COT_ASSERT(round == gathering_);
    gathering_.reset();
    const Instant patience = world_.Now() + options_.leader_patience;
    for (;;) {
      auto index = co_await AskReadIndex(patience);
      if (index) {
        // Cut off now, this replica may never get there: the next round must not wait for it.
        bool there = COT_NODE_MUTANT(kReadBeforeApplied);
        if (!there) there = co_await WaitApplied(*index, patience);
        if (!there) round->result = Fail(ErrorCode::kNoLeader, "the log does not get here");
        break;
      }
      const Instant give_up = RefusedFrom(patience);
      if (world_.Now() >= give_up) {
        round->result = Fail(ErrorCode::kNoLeader, "no leader confirmed the read");
        break;
      }
      const Instant pause = std::min(give_up, world_.Now() + 50ms);
      co_await leadership_changed_.WaitUntil(pause);
    }
    round->finished = true;
    round->done.NotifyAll();
    round = gathering_;
    if (!round) break;
  }
  round_running_ = false;
}

runtime::Task<Result<LogIndex>> RaftReplica::AskReadIndex(Instant deadline) {
  if (frozen_) co_return Fail(ErrorCode::kNotLeader);
  if (COT_NODE_MUTANT(kReadIndexOfFollower)) co_return core_.commit_index();
  if (COT_NODE_MUTANT(kReadAsDeposedLeader) && leading()) co_return core_.commit_index();
  if (leading()) {
    auto local = co_await LocalReadIndex(deadline);
    co_return local;
  }
  const NodeId leader = core_.leader();
  if (leader == NodeId()) co_return Fail(ErrorCode::kNoLeader);
  // A lost question is asked again soon, with a new number: an old answer must not serve it.
  const Instant try_until = std::min(deadline, world_.Now() + options_.raft.election_timeout);
  auto answer = co_await transport_.Call(leader, Method::kReadIndex, {}, try_until, options_.shard);
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  peer::ReadIndexAnswer parsed;
  if (!parsed.ParseFromString(*answer)) co_return Fail(ErrorCode::kMalformed, "read index");
  co_return LogIndex(parsed.index());
}

runtime::Task<Result<LogIndex>> RaftReplica::LocalReadIndex(Instant deadline) {
  const raft::ReadId id(next_read_++);
  runtime::Slot<Result<LogIndex>> slot(world_.executor());
  struct Registration {
    std::map<raft::ReadId, runtime::Slot<Result<LogIndex>>*>& reads;
    raft::ReadId id;
    ~Registration() { reads.erase(id); }
  } registration{reads_, id};
  reads_.emplace(id, &slot);
  COT_CO_TRY(core_.Read(id, world_.Now()));
  Schedule();
  auto index = co_await slot.WaitUntil(deadline);
  if (!index) co_return Fail(ErrorCode::kTimedOut, "no quorum confirmed the leader");
  co_return std::move(*index);
}

runtime::Task<Result<std::string>> RaftReplica::OnReadIndex(NodeId from, std::string body,
                                                            Instant deadline) {
  if (frozen_ || !leading()) co_return Fail(ErrorCode::kNotLeader);
  peer::ReadIndexQuestion question;
  if (!question.ParseFromString(body)) co_return Fail(ErrorCode::kMalformed, "read index");
  if (question.recovering()) core_.NoteRecovering(from);  // before it could be counted
  const Term term = core_.term();
  auto index = co_await LocalReadIndex(deadline);
  if (!index) co_return std::unexpected(std::move(index.error()));
  peer::ReadIndexAnswer answer;
  answer.set_index(index->value);
  if (question.recovering()) {
    if (!leading() || core_.term() != term) co_return Fail(ErrorCode::kNotLeader);
    answer.set_term(term.value);
    answer.set_last_index(core_.last_index().value);
  }
  co_return answer.SerializeAsString();
}

runtime::Task<bool> RaftReplica::WaitApplied(LogIndex index, Instant deadline) {
  if (machine_.applied() < index) ApplyNow();
  while (machine_.applied() < index) {
    const bool notified = co_await applied_changed_.WaitUntil(deadline);
    if (!notified) co_return machine_.applied() >= index;
  }
  co_return true;
}

}  // namespace coterie::node
