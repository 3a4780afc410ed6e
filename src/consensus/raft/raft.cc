#include "consensus/raft/raft.h"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "base/assert.h"
#include "consensus/raft/configuration.h"
#include "consensus/raft/mutants.h"
#include "consensus/raft/state.h"

namespace coterie::raft {

static_assert(std::is_same_v<std::variant_alternative_t<0, RoleState>, Follower>);
static_assert(std::is_same_v<std::variant_alternative_t<3, RoleState>, Leader>);
static_assert(static_cast<int>(Role::kLeader) == 3);

Core::Core(Config config, Restored restored, Random& random, Instant now)
    : config_(config),
      random_(&random),
      now_(now),
      term_(restored.hard_state.term),
      vote_(restored.hard_state.vote),
      log_(restored.compacted, restored.compacted_term, std::move(restored.configuration),
           std::move(restored.entries), restored.hard_state.commit, restored.applied),
      recovering_(restored.forgotten),
      written_(restored.hard_state) {
  COT_ASSERT(config_.self != NodeId(0));
  COT_ASSERT(config_.heartbeat_interval < config_.election_timeout);
  COT_ASSERT(log_.last_term() <= term_);
  Follower follower{};
  follower.election_at = NextElection();
  // A group of one has nobody to wait for.
  if (MembersOf(configuration()).size() == 1) follower.election_at = now;
  role_ = follower;
  visible_ = {term_, role(), NodeId(0)};
}

namespace {

Term TermOf(const Message& message) {
  return std::visit([](const auto& m) { return m.term; }, message);
}

/// Whether a message of a later term proves that this term has begun. Asking for, or promising, a
/// pre-vote does not: nobody has voted yet [Raft-thesis §9.6].
bool ProvesItsTerm(const Message& message) {
  if (std::holds_alternative<RequestVote>(message)) return false;  // decides by itself
  const auto* reply = std::get_if<RequestVoteReply>(&message);
  return reply == nullptr || !reply->pre_vote || !reply->granted;
}

/// The sender leads its term.
bool IsFromLeader(const Message& message) {
  return std::holds_alternative<AppendEntries>(message) ||
         std::holds_alternative<InstallSnapshot>(message);
}

}  // namespace

void Core::Step(NodeId from, const Message& message) {
  if (from == config_.self || from == NodeId(0)) return;
  if (const auto* request = std::get_if<RequestVote>(&message)) {
    OnRequestVote(from, *request);
    return;
  }
  const Term term = TermOf(message);
  if (term < term_) {
    // Tell a deposed leader of the newer term [Raft §5.1]; everything else stale is dropped.
    if (IsFromLeader(message)) {
      AppendEntriesReply refusal;
      refusal.term = term_;
      refusal.recovering = recovering_;
      SendDurably(from, refusal);
    }
    const bool replay = COT_MUTANT(R15) && std::holds_alternative<AppendEntriesReply>(message);
    if (!replay) return;
  }
  if (term > term_ && ProvesItsTerm(message)) {
    BecomeFollower(term, IsFromLeader(message) ? from : NodeId(0));
  }
  // The message is on our stack and each handler is told its role's state; dispatch on both at
  // once.
  std::visit([&](auto& role, const auto& m) { On(role, from, m); }, role_, message);
}

void Core::Tick() {
  if (NextDeadline() > now_) return;
  if (auto* leader = std::get_if<Leader>(&role_)) {
    if (leader->transfer && leader->transfer->give_up_at <= now_) leader->transfer.reset();
    if (leader->announce_at <= now_) AnnounceCommit(*leader);
    if (leader->heartbeat_at <= now_) Heartbeat();
    return;
  }
  BecomePreCandidate();
}

Instant Core::NextDeadline() const {
  if (const auto* leader = std::get_if<Leader>(&role_)) {
    Instant next = leader->peers.empty() ? Instant::max() : leader->heartbeat_at;
    next = std::min(next, leader->announce_at);
    if (leader->transfer) next = std::min(next, leader->transfer->give_up_at);
    return next;
  }
  if (!Promotable()) return Instant::max();
  if (const auto* follower = std::get_if<Follower>(&role_)) return follower->election_at;
  if (const auto* asking = std::get_if<PreCandidate>(&role_)) return asking->retry_at;
  return std::get<Candidate>(role_).retry_at;
}

NodeId Core::leader() const {
  if (std::holds_alternative<Leader>(role_)) return config_.self;
  const auto* follower = std::get_if<Follower>(&role_);
  return follower == nullptr ? NodeId(0) : follower->leader;
}

Raft::Raft(Config config, Restored restored, Random& random, Instant now)
    : core_(std::make_unique<Core>(config, std::move(restored), random, now)) {}
Raft::~Raft() = default;
Raft::Raft(Raft&&) noexcept = default;
Raft& Raft::operator=(Raft&&) noexcept = default;

void Raft::Step(NodeId from, Message message, Instant now) {
  core_->Advance(now);
  core_->Step(from, message);
}

void Raft::Tick(Instant now) {
  core_->Advance(now);
  core_->Tick();
}

Instant Raft::NextDeadline() const { return core_->NextDeadline(); }

Result<LogIndex> Raft::Propose(std::string command, bool awaited_elsewhere) {
  return core_->Propose(std::move(command), awaited_elsewhere);
}

Result<LogIndex> Raft::ProposeConfiguration(std::vector<NodeId> voters,
                                            std::vector<NodeId> learners) {
  return core_->ProposeConfiguration(std::move(voters), std::move(learners));
}

Status Raft::Read(ReadId id, Instant now) {
  core_->Advance(now);
  return core_->Read(id);
}

Status Raft::TransferLeadership(NodeId to, Instant now) {
  core_->Advance(now);
  return core_->TransferLeadership(to);
}

bool Raft::HasOutput() const { return core_->HasOutput(); }
Output Raft::TakeOutput() { return core_->TakeOutput(); }

void Raft::OnPersisted(std::uint64_t persist_id, Instant now) {
  core_->Advance(now);
  core_->OnPersisted(persist_id);
}

void Raft::OnSnapshotSent(NodeId to, LogIndex index, bool ok, Instant now) {
  core_->Advance(now);
  core_->OnSnapshotSent(to, index, ok);
}

void Raft::OnUnreachable(NodeId peer) { core_->OnUnreachable(peer); }
void Raft::Compact(LogIndex index) { core_->log_.Compact(index); }

bool Raft::recovering() const { return core_->recovering_; }
void Raft::NoteRecovering(NodeId member) { core_->NoteRecovering(member); }
LogIndex Raft::agreed_index() const { return core_->agreed_index(); }
void Raft::EndRecovery(Instant now) {
  core_->Advance(now);
  core_->EndRecovery();
}

NodeId Raft::self() const { return core_->config_.self; }
Role Raft::role() const { return core_->role(); }
Term Raft::term() const { return core_->term_; }
NodeId Raft::leader() const { return core_->leader(); }
LogIndex Raft::commit_index() const { return core_->log_.commit(); }
LogIndex Raft::last_index() const { return core_->log_.last(); }
LogIndex Raft::compacted_index() const { return core_->log_.compacted(); }
Term Raft::compacted_term() const { return core_->log_.compacted_term(); }
std::optional<Term> Raft::TermAt(LogIndex index) const { return core_->log_.TermAt(index); }

EntryPtr Raft::EntryAt(LogIndex index) const {
  const RaftLog& log = core_->log_;
  return index > log.compacted() && index <= log.last() ? log.At(index) : nullptr;
}

const Configuration& Raft::configuration() const { return core_->configuration(); }

Configuration Raft::ConfigurationAt(LogIndex index) const {
  return core_->log_.ConfigurationAt(std::max(index, core_->log_.compacted()));
}

LogIndex Raft::MatchIndex(NodeId peer) const {
  const auto* leader = std::get_if<Leader>(&core_->role_);
  if (leader == nullptr) return LogIndex(0);
  if (peer == core_->config_.self) return core_->log_.durable();
  const auto at = leader->peers.find(peer);
  const bool counts = at != leader->peers.end() && !at->second.recovering;
  return counts ? at->second.match() : LogIndex(0);
}

bool Raft::IsReplicating(NodeId peer) const {
  const auto* leader = std::get_if<Leader>(&core_->role_);
  if (leader == nullptr) return false;
  const auto at = leader->peers.find(peer);
  return at != leader->peers.end() && at->second.state() == Progress::State::kReplicate;
}

std::size_t Raft::log_bytes() const { return core_->log_.bytes(); }

std::string CheckInvariants(const Raft& raft) { return raft.core_->CheckInvariants(); }

}  // namespace coterie::raft
