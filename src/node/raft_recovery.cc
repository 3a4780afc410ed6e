// The way back of a replica that may have forgotten what it promised (consensus/raft/recovery.cc).

#include "coterie/peer.pb.h"
#include "node/raft_replica.h"

namespace coterie::node {

namespace {
constexpr Duration kAskAgain = 100ms;
constexpr Duration kLook = 20ms;
}  // namespace

bool RaftReplica::IsAlone() const {
  const raft::Configuration& all = core_.configuration();
  return all.voters.size() == 1 && all.outgoing.empty() && all.learners.empty() &&
         all.voters.front() == options_.raft.self;
}

runtime::Task<void> RaftReplica::RecoveryLoop() {
  // Nobody knows more than what is here, if it is still known that there is nobody.
  const bool alone = IsAlone() && core_.term() > Term();
  if (alone) core_.EndRecovery(world_.Now());
  while (core_.recovering()) {
    const bool recovered = co_await TryToRecover();
    if (!recovered) co_await runtime::Sleep(world_.executor(), kAskAgain);
  }
  Schedule();
  co_await runtime::Yield(world_.executor());
  co_await wal_.Flush();  // the vote that ends it
  world_.log().Info("raft", "shard {} has been caught up: it votes again", options_.shard.value);
  if (options_.on_recovered) options_.on_recovered();
}

runtime::Task<bool> RaftReplica::TryToRecover() {
  const NodeId leader = core_.leader();
  if (frozen_ || leader == NodeId()) co_return false;
  peer::ReadIndexQuestion question;
  question.set_recovering(true);
  const Instant deadline = world_.Now() + options_.raft.election_timeout;
  auto answer = co_await transport_.Call(leader, Method::kReadIndex, question.SerializeAsString(),
                                         deadline, options_.shard);
  peer::ReadIndexAnswer parsed;
  if (!answer || !parsed.ParseFromString(*answer) || parsed.term() == 0) co_return false;
  const LogIndex needed(parsed.last_index());
  // A state may have to be streamed first: that goes on whatever is asked meanwhile.
  const Instant give_up = world_.Now() + 10 * options_.raft.election_timeout;
  while (core_.term() == Term(parsed.term()) && core_.leader() == leader) {
    if (!frozen_ && core_.agreed_index() >= needed) {
      core_.EndRecovery(world_.Now());
      co_return true;
    }
    if (world_.Now() >= give_up) break;
    co_await runtime::Sleep(world_.executor(), kLook);
  }
  co_return false;
}

}  // namespace coterie::node
