#include "node/raft_replica.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "base/assert.h"
#include "consensus/raft/configuration.h"
#include "coterie/peer.pb.h"
#include "node/mutants.h"
#include "node/raft_codec.h"
#include "node/snapshot_transfer.h"

namespace coterie::node {

namespace {
// A request waits so long for the next leader, from when the last one was lost; an election takes
// less.
constexpr Duration kLeaderlessMax = 1s;
// One turn applies about this much before other work gets its turn.
constexpr std::size_t kApplyEntriesMax = 512;
constexpr std::size_t kApplyBytesMax = 1u << 20;
// How much, and for how long, a replica gathers what nobody there waits for.
constexpr std::size_t kGatheredMax = 64;
constexpr Duration kGatheredFor = 5ms;
constexpr Duration kQuietGroupLooks = 10s;

std::string_view WordFor(raft::Role role) {
  constexpr std::string_view kWords[] = {"follower", "pre-candidate", "candidate", "leader"};
  return kWords[static_cast<std::size_t>(role)];
}
}  // namespace

RaftReplica::RaftReplica(runtime::World& world, storage::Wal& wal, Transport& transport,
                         storage::EngineHome& home, std::unique_ptr<storage::Engine> engine,
                         model::StateMachine& machine, RaftReplicaOptions options,
                         raft::Restored restored)
    : world_(world),
      wal_(wal),
      transport_(transport),
      home_(home),
      engine_(std::move(engine)),
      machine_(machine),
      options_(options),
      random_(world.random().Split()),
      core_(options.raft, restored, random_, world.Now()),
      hard_state_(restored.hard_state),
      compacted_configuration_(restored.configuration),
      flushed_(restored.compacted),
      next_proposal_(world.random().Next()),
      leadership_changed_(world.executor()),
      applied_changed_(world.executor()),
      pump_(*this),
      timer_(*this),
      apply_timer_(*this),
      snapshots_(std::make_unique<SnapshotTransfer>(*this)) {}

RaftReplica::~RaftReplica() {
  transport_.RemoveShard(options_.shard);
  scope_.Cancel();
}

void RaftReplica::Start() {
  refused_from_ = world_.Now() + options_.leader_patience;
  transport_.OnShardCall(options_.shard, Method::kForwardProposal,
                         [this](NodeId from, std::string body, Instant deadline) {
                           return OnForwardProposal(from, std::move(body), deadline);
                         });
  transport_.OnShardCall(options_.shard, Method::kReadIndex,
                         [this](NodeId from, std::string body, Instant deadline) {
                           return OnReadIndex(from, std::move(body), deadline);
                         });
  snapshots_->Start();
  scope_.Spawn(CompactionLoop());
  if (core_.recovering()) scope_.Spawn(RecoveryLoop());
  Schedule();
}

void RaftReplica::Schedule() {
  if (!pump_.linked()) world_.executor().Post(pump_);
}

void RaftReplica::Tick() {
  if (!frozen_) core_.Tick(world_.Now());
  Schedule();
}

void RaftReplica::OnUnreachable(NodeId peer) {
  core_.OnUnreachable(peer);
  Schedule();
}

void RaftReplica::OnMessage(NodeId from, std::optional<raft::Message> message) {
  if (frozen_) return;  // as if lost; Raft sends again
  if (!message) {
    ++malformed_messages_;
    if (!std::has_single_bit(malformed_messages_)) return;  // the log must not grow with them
    world_.log().Error("raft", "a message that cannot be read from node {}", from.value);
    return;
  }
  if (Contradicts(*message)) return StopInContradiction(from);
  core_.Step(from, std::move(*message), world_.Now());
  Schedule();
}

bool RaftReplica::Contradicts(const raft::Message& message) const {
  const auto* append = std::get_if<raft::AppendEntries>(&message);
  if (append == nullptr || append->term < core_.term()) return false;  // of a deposed leader
  for (const raft::EntryPtr& entry : append->entries) {
    if (entry->index > core_.commit_index()) return false;
    const auto own = core_.TermAt(entry->index);
    if (own && *own != entry->term) return true;
  }
  return false;
}

// One of the two has lost what it had acknowledged; which one, nobody here can say. What this
// replica would answer from now on, others would deny.
void RaftReplica::StopInContradiction(NodeId from) {
  ++malformed_messages_;
  world_.Raise(ConditionKind::kContradiction, std::to_string(options_.shard.value),
               fmt::format("node {}, which leads term {}, has other entries than what is committed "
                           "here up to {}",
                           from.value, core_.term().value, core_.commit_index().value));
  if (!COT_NODE_MUTANT(kGoOnInContradiction)) Stop();
}

void RaftReplica::Pump() {
  if (frozen_) return;
  TellPersisted();
  while (core_.HasOutput()) {
    raft::Output output = core_.TakeOutput();
    SendAll(output.messages);
    Persist(output);
    if (COT_NODE_MUTANT(kApplyBeforeCommit)) output.committed = output.entries;
    for (raft::EntryPtr& entry : output.committed) {
      // A state that was taken over may cover entries which the log had already.
      if (entry->index > machine_.applied()) to_apply_.push_back(std::move(entry));
    }
    for (const raft::ReadReady& read : output.reads) {
      const auto waiting = reads_.find(read.id);
      if (waiting != reads_.end()) waiting->second->Set(read.index);
    }
    for (const raft::ReadId id : output.reads_failed) {
      const auto waiting = reads_.find(id);
      if (waiting != reads_.end()) waiting->second->Set(Fail(ErrorCode::kNotLeader));
    }
    for (const NodeId to : output.snapshot_wanted) snapshots_->Send(to);
    for (const NodeId peer : output.forgetful) {
      world_.log().Error("raft", "shard {}: node {} has lost entries that it had acknowledged",
                         options_.shard.value, peer.value);
    }
    if (output.leadership_changed) {
      world_.log().Info(
          "raft", "shard {}: {} in term {}, leader {}", options_.shard.value, WordFor(core_.role()),
          core_.term().value,
          core_.leader() == NodeId() ? "unknown" : fmt::to_string(core_.leader().value));
      if (core_.leader() != NodeId()) {
        refused_from_ = Instant::max();
      } else if (refused_from_ == Instant::max()) {  // lost just now; later only terms change
        refused_from_ = world_.Now() + kLeaderlessMax;
      }
      leadership_changed_.NotifyAll();
    }
  }
  if (apply_due_ || !ApplyMayWait()) {
    ApplyCommitted();
  } else if (!to_apply_.empty() && !apply_timer_.armed()) {
    world_.executor().Arm(apply_timer_, world_.Now() + kGatheredFor);
  }
  const Instant next = core_.NextDeadline();
  if (next != Instant::max() && (!timer_.armed() || timer_.at() != next)) {
    world_.executor().Arm(timer_, next);
  }
}

void RaftReplica::SendAll(const std::vector<raft::Envelope>& messages) {
  const raft::AppendEntries* encoded = nullptr;  // whose bytes these are
  std::string bytes;
  for (const raft::Envelope& envelope : messages) {
    const auto* append = std::get_if<raft::AppendEntries>(&envelope.message);
    // Followers that are level get the same bytes: the usual case.
    if (append == nullptr || encoded == nullptr || *append != *encoded) {
      bytes = EncodeRaft(options_.shard, envelope.message);
      encoded = append;
    }
    transport_.Send(envelope.to, FrameType::kRaft, bytes);
  }
}

void RaftReplica::PutHardState(storage::WalBatch& batch) {
  batch.PutHardState(options_.shard, EncodeHardState({hard_state_, compacted_configuration_}));
}

void RaftReplica::Persist(raft::Output& output) {
  if (COT_NODE_MUTANT(kSendBeforePersist)) {
    SendAll(std::exchange(output.messages_after_persist, {}));
  }
  if (output.persist_id == 0) {
    if (output.messages_after_persist.empty()) return;
    if (writes_.empty()) {
      SendAll(output.messages_after_persist);
    } else {  // behind what is being written already
      auto& messages = writes_.back().messages;
      std::move(output.messages_after_persist.begin(), output.messages_after_persist.end(),
                std::back_inserter(messages));
    }
    return;
  }
  storage::WalBatch batch;
  if (output.install_snapshot) {
    const raft::InstallSnapshot& taken = *output.install_snapshot;
    compacted_configuration_ = taken.configuration;
    if (!COT_NODE_MUTANT(kInstallWithoutLogReset))
      batch.PutCompaction(options_.shard, taken.last_index, taken.last_term);
  }
  for (const raft::EntryPtr& entry : output.entries) {
    batch.PutEntry(options_.shard, entry->index, entry->term,
                   static_cast<std::uint8_t>(entry->kind), entry->payload);
  }
  if (output.hard_state) hard_state_ = *output.hard_state;
  if (output.hard_state || output.install_snapshot) PutHardState(batch);
  writes_.push_back({output.persist_id, std::move(output.messages_after_persist)});
  if (COT_NODE_MUTANT(kAckBeforeDurable)) {
    SendAll(std::exchange(writes_.back().messages, {}));
    core_.OnPersisted(output.persist_id, world_.Now());
  }
  scope_.Spawn(Write(std::move(batch)));
}

runtime::Task<void> RaftReplica::Write(storage::WalBatch batch) {
  auto written = co_await wal_.Append(std::move(batch));
  if (!written) {  // over the batch bound, which the core's limits exclude
    world_.Crash(Describe(written.error()));
    co_return;
  }
  COT_ASSERT(!writes_.empty());
  written_.push_back(std::move(writes_.front()));
  writes_.pop_front();
  if (!frozen_) TellPersisted();
  Schedule();
}

/// Not while the core stands still: hearing that its own vote is durable could make it a leader.
void RaftReplica::TellPersisted() {
  while (!written_.empty()) {
    const PendingWrite write = std::move(written_.front());
    written_.pop_front();
    core_.OnPersisted(write.persist_id, world_.Now());
    SendAll(write.messages);
  }
}

bool RaftReplica::ApplyMayWait() const {
  return !leading() && proposals_.size() == 0 && !round_running_ && !machine_.watched() &&
         to_apply_.size() < kGatheredMax;
}

void RaftReplica::CatchUp() {
  if (!frozen_) ApplyCommitted();
}

void RaftReplica::ApplyNow() {
  apply_due_ = true;
  Schedule();
}

void RaftReplica::ApplyCommitted() {
  apply_due_ = false;
  world_.executor().Disarm(apply_timer_);
  if (to_apply_.empty()) return;
  std::vector<model::StateMachine::Command> commands;
  std::vector<std::uint64_t>
      numbers;  // of this node's proposals; parallel to commands, 0: not ours
  std::vector<raft::EntryPtr> taken;
  std::size_t bytes = 0;
  while (!to_apply_.empty() && taken.size() < kApplyEntriesMax && bytes < kApplyBytesMax) {
    taken.push_back(std::move(to_apply_.front()));
    to_apply_.pop_front();
    const raft::Entry& entry = *taken.back();
    bytes += entry.payload.size();
    if (entry.kind != raft::EntryKind::kCommand) continue;
    const auto split = Split(entry.payload);
    COT_ASSERT(split.has_value());
    const bool ours = split->id.node == options_.raft.self && proposals_.Waiting(split->id.number);
    commands.push_back({entry.index, entry.term, split->command, ours});
    numbers.push_back(ours ? split->id.number : 0);
  }
  auto answers = machine_.Apply(commands, taken.back()->index, taken.back()->term);
  if (!answers) {
    const ErrorCode code = answers.error().code;
    if (code == ErrorCode::kNewerCommand || code == ErrorCode::kNewerData) {
      world_.Raise(ConditionKind::kNewerVersion, std::to_string(options_.shard.value),
                   answers.error().message);
    }
    world_.Crash(Describe(answers.error()));
    return;
  }
  COT_ASSERT(answers->size() <= commands.size());
  for (; taken.back()->index > machine_.applied(); taken.pop_back()) {
    to_apply_.push_front(taken.back());
  }
  for (std::size_t i = 0; i < answers->size(); ++i) {
    if (commands[i].answer_wanted) proposals_.Resolve(numbers[i], std::move((*answers)[i]));
  }
  for (const raft::EntryPtr& entry : taken) proposals_.OnApplied(entry->index, entry->term);
  applied_changed_.NotifyAll();
  // By a timer, which fires once clients' bytes have been looked at.
  if (!to_apply_.empty()) world_.executor().Arm(apply_timer_, world_.Now());
}

runtime::Task<bool> RaftReplica::WaitForLeader(Instant deadline) {
  while (core_.leader() == NodeId()) {
    const bool notified = co_await leadership_changed_.WaitUntil(deadline);
    if (!notified) co_return core_.leader() != NodeId();
  }
  co_return true;
}

runtime::Task<Result<std::unique_ptr<model::StateMachine::Answer>>> RaftReplica::Propose(
    std::string command, Instant deadline) {
  if (command.size() > options_.command_bytes_max) co_return Fail(ErrorCode::kTooLarge, "command");
  if (proposals_.size() >= options_.proposals_max)
    co_return Fail(ErrorCode::kOverloaded, "proposals");
  const Instant patience = std::min(deadline, world_.Now() + options_.leader_patience);
  for (;;) {
    // A new number per try: an answer can only be this try's.
    const std::uint64_t number = next_proposal_++;
    Proposals::Waiter waiter(proposals_, world_.executor(), number);
    std::string payload = WithHeader({options_.raft.self, number}, command);
    auto placed = co_await Place(&waiter, std::move(payload), deadline);
    if (placed && *placed) {
      auto answer = co_await waiter.slot().WaitUntil(deadline);
      if (!answer)
        co_return FailUnknown(ErrorCode::kTimedOut, "the command is in the log, not yet applied");
      const bool lost = !*answer && answer->error().code == ErrorCode::kProposalDropped;
      if (!lost) co_return std::move(*answer);
    } else if (!placed) {
      const ErrorCode code = placed.error().code;
      const bool again =
          (placed.error().outcome == Outcome::kNotApplied || COT_NODE_MUTANT(kRetryUnknown)) &&
          (code == ErrorCode::kNotLeader || code == ErrorCode::kNoLeader ||
           code == ErrorCode::kConnectFailed || code == ErrorCode::kProposalDropped ||
           code == ErrorCode::kNotReplica);
      if (!again) co_return std::unexpected(std::move(placed.error()));
    }
    // It did not happen and will not: try again while somebody may lead.
    const Instant give_up = RefusedFrom(patience);
    if (world_.Now() >= give_up)
      co_return Fail(ErrorCode::kNoLeader, "no leader to pass the command to");
    const Instant pause = std::min(give_up, world_.Now() + 50ms);
    co_await leadership_changed_.WaitUntil(pause);
  }
}

runtime::Task<Result<std::unique_ptr<model::StateMachine::Answer>>> RaftReplica::ProposeInTerm(
    std::string command, Term term, Instant deadline) {
  if (frozen_ || !leading() || core_.term() != term) co_return Fail(ErrorCode::kNotLeader);
  const std::uint64_t number = next_proposal_++;
  Proposals::Waiter waiter(proposals_, world_.executor(), number);
  auto index = core_.Propose(WithHeader({options_.raft.self, number}, command));
  if (!index) co_return std::unexpected(std::move(index.error()));
  waiter.PlacedAt(*index, term);
  Schedule();
  auto answer = co_await waiter.slot().WaitUntil(deadline);
  if (!answer) co_return FailUnknown(ErrorCode::kTimedOut, "the command is in the log");
  co_return std::move(*answer);
}

runtime::Task<Result<bool>> RaftReplica::Place(Proposals::Waiter* waiter, std::string payload,
                                               Instant deadline) {
  if (frozen_) co_return Fail(ErrorCode::kNotLeader);
  if (leading()) {
    auto index = core_.Propose(std::move(payload));
    if (!index) co_return std::unexpected(std::move(index.error()));
    waiter->PlacedAt(*index, core_.term());
    Schedule();
    co_return true;
  }
  const NodeId leader = core_.leader();
  if (leader == NodeId()) co_return Fail(ErrorCode::kNoLeader);
  peer::ForwardProposal request;
  request.set_command(std::move(payload));
  request.set_term(core_.term().value);
  waiter->SentIn(core_.term());
  // A leader that was cut off never answers: after this time only the log is waited for.
  const Instant word_until = std::min(deadline, world_.Now() + options_.raft.election_timeout);
  auto answer = co_await transport_.Call(leader, Method::kForwardProposal,
                                         request.SerializeAsString(), word_until, options_.shard);
  if (waiter->slot().set()) co_return true;
  if (!answer) {
    // The leader may have it: whatever becomes of it shows here, or nobody can say.
    const bool unknown = answer.error().outcome == Outcome::kUnknown;
    if (COT_NODE_MUTANT(kRetryUnknown) && unknown) co_return Fail(ErrorCode::kConnectFailed);
    if (unknown && world_.Now() < deadline) co_return true;
    co_return std::unexpected(std::move(answer.error()));
  }
  peer::ProposalPlace place;
  if (!place.ParseFromString(*answer))
    co_return FailUnknown(ErrorCode::kMalformed, "proposal place");
  waiter->PlacedAt(LogIndex(place.index()), Term(place.term()));
  co_return true;
}

runtime::Task<Result<std::string>> RaftReplica::OnForwardProposal(NodeId, std::string body,
                                                                  Instant) {
  peer::ForwardProposal request;
  if (!request.ParseFromString(body) || !Split(request.command()))
    co_return Fail(ErrorCode::kMalformed);
  if (request.command().size() > options_.command_bytes_max + kProposalHeaderBytes)
    co_return Fail(ErrorCode::kTooLarge, "command");
  if (frozen_ || !leading()) co_return Fail(ErrorCode::kNotLeader);
  if (Term(request.term()) != core_.term()) co_return Fail(ErrorCode::kNotLeader);
  auto index = core_.Propose(std::move(*request.mutable_command()), true);
  if (!index) co_return std::unexpected(std::move(index.error()));
  peer::ProposalPlace place;
  place.set_term(core_.term().value);
  place.set_index(index->value);
  Schedule();
  co_return place.SerializeAsString();
}

runtime::Task<Status> RaftReplica::TransferLeadership(NodeId to, Instant deadline) {
  COT_CO_TRY(core_.TransferLeadership(to, world_.Now()));
  Schedule();
  while (core_.leader() != to) {
    const bool notified = co_await leadership_changed_.WaitUntil(deadline);
    if (!notified && core_.leader() != to) co_return FailUnknown(ErrorCode::kTimedOut, "transfer");
    if (core_.leader() == options_.raft.self && !leading()) continue;
  }
  co_return Ok();
}

bool RaftReplica::ConfigurationSettled() const {
  const raft::Configuration& newest = core_.configuration();
  return !raft::IsJoint(newest) && core_.ConfigurationAt(core_.commit_index()) == newest;
}

runtime::Task<Status> RaftReplica::ChangeMembership(std::vector<NodeId> voters,
                                                    std::vector<NodeId> learners,
                                                    Instant deadline) {
  if (frozen_ || !leading()) co_return Fail(ErrorCode::kNotLeader);
  const Term term = core_.term();
  auto index = core_.ProposeConfiguration(std::move(voters), std::move(learners));
  if (!index) co_return std::unexpected(std::move(index.error()));
  Schedule();
  // The joint phase ends by itself: the leader appends the second configuration.
  while (core_.commit_index() < *index || !ConfigurationSettled()) {
    if (core_.term() != term) co_return FailUnknown(ErrorCode::kLeaderChanged, "membership");
    if (world_.Now() >= deadline) co_return FailUnknown(ErrorCode::kTimedOut, "membership");
    const Instant look_again = std::min(deadline, world_.Now() + 10ms);
    co_await applied_changed_.WaitUntil(look_again);
  }
  if (core_.term() != term) co_return FailUnknown(ErrorCode::kLeaderChanged, "membership");
  co_return Ok();
}

void RaftReplica::Stop() {
  transport_.RemoveShard(options_.shard);
  frozen_ = true;
  snapshots_->Stop();
  scope_.Cancel();
  proposals_.Abandon();
  for (auto& [id, slot] : reads_) slot->Set(Fail(ErrorCode::kNotLeader));
}

std::string RaftReplica::HardStateOfNonMember() const {
  return EncodeHardState({{hard_state_.term, hard_state_.vote, LogIndex()}, {}});
}

ReplicaStatus RaftReplica::status() const {
  const auto& learners = core_.configuration().learners;
  return {
      .self = options_.raft.self,
      .leader = core_.leader(),
      .term = core_.term(),
      .commit = core_.commit_index(),
      .applied = machine_.applied(),
      .last = core_.last_index(),
      .leading = leading(),
      .learner = std::find(learners.begin(), learners.end(), options_.raft.self) != learners.end()};
}

bool RaftReplica::HoldsOldSegments() const {
  const bool old = wal_.stats().bytes - old_wal_bytes_ >= options_.wal_bytes_behind_max;
  return old && core_.compacted_index() < core_.last_index();
}

LogIndex RaftReplica::Forgettable(LogIndex applied) const {
  const bool short_of_memory = core_.log_bytes() > options_.log_bytes_max;
  const std::uint64_t kept = short_of_memory ? 0 : options_.log_entries_kept;
  const LogIndex beyond_kept(applied.value - std::min(applied.value, kept));
  return HoldsOldSegments() ? std::max(beyond_kept, std::min(old_, applied)) : beyond_kept;
}

runtime::Task<void> RaftReplica::CompactionLoop() {
  for (;;) {
    const LogIndex applied = machine_.applied();
    const bool due = applied - flushed_ >= options_.snapshot_every_entries ||
                     (core_.log_bytes() > options_.log_bytes_max && applied > flushed_) ||
                     HoldsOldSegments();
    if (!due || frozen_) {
      const Instant look_again = world_.Now() + kQuietGroupLooks;
      co_await applied_changed_.WaitUntil(look_again);
      continue;
    }
    // A snapshot may replace the engine meanwhile: it must outlive its flush.
    std::shared_ptr<storage::Engine> engine = engine_;
    Status durable = Ok();
    if (!COT_NODE_MUTANT(kCompactBeforeFlush)) durable = co_await engine->Flush();
    const bool replaced = engine != engine_;
    engine.reset();
    if (replaced) continue;
    if (!durable) {
      world_.Crash(Describe(durable.error()));
      co_return;
    }
    flushed_ = applied;
    const LogIndex upto = Forgettable(applied);
    if (HoldsOldSegments()) {
      old_ = core_.last_index();
      old_wal_bytes_ = wal_.stats().bytes;
    }
    if (upto <= core_.compacted_index()) continue;
    const auto term = core_.TermAt(upto);
    COT_ASSERT(term.has_value());
    compacted_configuration_ = core_.ConfigurationAt(upto);
    core_.Compact(upto);
    storage::WalBatch batch;
    batch.PutCompaction(options_.shard, upto, *term);
    if (COT_NODE_MUTANT(kForgetVoteOnCompaction)) {
      batch.PutHardState(options_.shard, EncodeHardState({{}, compacted_configuration_}));
    } else {
      PutHardState(batch);
    }
    auto written = co_await wal_.Append(std::move(batch));
    COT_ASSERT(written.has_value());
  }
}

}  // namespace coterie::node
