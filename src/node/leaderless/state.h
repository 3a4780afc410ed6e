#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "clock/hybrid.h"
#include "node/leaderless/replicas.h"
#include "replication/leaderless/acknowledgements.h"
#include "replication/leaderless/history.h"
#include "replication/leaderless/knowledge.h"
#include "replication/leaderless/messages.h"
#include "replication/leaderless/mutation.h"
#include "replication/leaderless/tracker.h"
#include "runtime/scope.h"
#include "runtime/sync.h"
#include "storage/engine_home.h"

// What the files of this room share; no other room includes it.
namespace coterie::node {

using clock::HybridTime;
using clock::VersionVector;
using leaderless::Tracker;
using runtime::Task;

/// First byte of each record in the journal.
enum class RecordKind : char { kMutation = 1, kCell = 2, kRaise = 3, kDrop = 4 };

/// Somebody who waits for an acknowledgement; a member of the frame that waits.
struct AckWaiter final : runtime::Runnable {
  void Run() override { handle.resume(); }
  std::coroutine_handle<> handle;
  bool woken = false;     ///< or it gave up: it is in no waiters
  bool promised = false;  ///< when it was woken
};
using AckWaiters = std::multimap<std::uint64_t, AckWaiter*>;  ///< by counter

/// A shard's replica on another node, as seen from here.
struct Remote {
  NodeId node;
  placement::Phase phase = placement::Phase::kActive;
  std::uint64_t sent = 0;           ///< of this node's own mutations
  std::uint64_t rewound_batch = 0;  ///< gaps reported in batches before it are known
  Instant hold_until{};             ///< it refused: nothing is sent before
  Epoch hold_epoch;                 ///< nor under an older map than this
  VersionVector heard;              ///< applied there, as of the account before the last
  /// What it had applied when it first spoke of the present epoch; reset once all that is here.
  std::optional<VersionVector> target;
  bool reached = false;  ///< its target was
};

/// One shard of which a replica is, or is to be, here.
struct Slot {
  ShardId id;
  std::uint32_t number = 0;  ///< never used twice: what tickets name
  bool placed = false;       ///< the map has said what follows
  std::string keyspace;
  keyspace::Conflict conflict = keyspace::Conflict::kCrdt;
  keyspace::Durability durability = keyspace::Durability::kQuorumFsync;
  Epoch epoch;
  placement::Phase phase = placement::Phase::kJoining;
  /// Active since this epoch: until it has what the others had when they first spoke of the epoch,
  /// it may lack what W of them have acknowledged before.
  bool settling = false;
  std::vector<Remote> others;

  Tracker tracker;
  leaderless::Acknowledgements acks;
  leaderless::Knowledge knowledge;
  clock::Actor actor;                                       ///< of this node's mutations in it
  std::uint64_t last = 0;                                   ///< how many it has made
  std::deque<std::pair<LogIndex, std::uint64_t>> unsynced;  ///< own, by journal position
  std::map<std::uint32_t, AckWaiters> waiters;              ///< by W

  VersionVector durable;  ///< what no crash makes this replica forget
  std::optional<std::pair<LogIndex, VersionVector>> becoming_durable;
  VersionVector stable;
  /// Of the cells that were joined: what the store may have beyond the applied vector.
  VersionVector joined;
  /// Since a restart `joined` is not known, until the others' accounts are covered.
  bool unsure = false;
  bool began_empty = false;  ///< when the journal's replay began
  bool purging = false;      ///< there may be more that can go
  bool repairing = false;
  bool reporting = false;
  bool clock_warned = false;
  VersionVector leaving_with;  ///< what the others must have before this replica may go

  /// Acknowledgements wait for the disk.
  bool synced() const { return durability == keyspace::Durability::kQuorumFsync; }
  /// This node's own copy counts only once it is on disk.
  bool own_synced() const { return durability <= keyspace::Durability::kOneFsync; }
  bool active() const { return placed && phase == placement::Phase::kActive && !settling; }
  Remote* Find(NodeId node);
};

/// What is sent to one node, and waits for its answer.
struct Link {
  struct InFlight {
    std::uint64_t number;
    Instant sent;
    std::size_t bytes;
    std::vector<std::pair<ShardId, std::uint64_t>> last;  ///< of each shard in it
  };
  NodeId node;
  bool up = false;
  std::uint64_t number = 1;  ///< of the batch being filled
  std::string batch;         ///< "": nothing in it
  clock::Actor batch_from;
  std::vector<std::pair<ShardId, std::uint64_t>> batch_last;
  std::deque<InFlight> in_flight;
  std::size_t in_flight_bytes = 0;
  bool behind = false;  ///< something is not sent for want of room, connection or map
  int timeouts = 0;     ///< in a row
  leaderless::Acks answer;
  std::deque<std::pair<LogIndex, leaderless::Acks>> deferred;  ///< until that much is durable
};

struct LeaderlessReplicas::State {
  State(Host h, LeaderlessOptions o);
  ~State();

  // -- opening and closing (open.cc) -------------------------------------------------------------
  Task<Status> Open();
  Status Replay(std::string_view record);
  Status ReplayMutation(std::string_view bytes);
  void Serve();
  Task<void> PrepareToStop(Instant deadline);
  Task<bool> FlushAll();

  // -- writing and waiting (replicas.cc) ---------------------------------------------------------
  /// `time` 0: now.
  Result<WriteTicket> Write(const placement::Keyspace& keyspace, const placement::Shard& shard,
                            const std::function<void(cells::Edit&)>& make,
                            clock::HybridTime time = {});
  Status CheckRoom(const Slot& slot, std::uint32_t w);
  void Made(Slot& slot, std::uint64_t counter, std::string_view mutation, LogIndex position);
  void Wake(Slot& slot);
  void WakeUpTo(AckWaiters& waiters, std::uint64_t counter, bool promised);
  void OnDurable();
  /// The beginning of a turn, once in each: what time it is.
  const WallInterval& Turn();

  // -- links: what goes out (links.cc) -----------------------------------------------------------
  Link& LinkTo(NodeId node);
  bool MaySend(const Slot& slot, const Remote& remote, const Link& link) const;
  void Offer(Slot& slot, Remote& remote, std::uint64_t counter, std::string_view mutation);
  void AddToBatch(Link& link, const Slot& slot, std::uint64_t counter, std::string_view mutation);
  void EndTurnSoon();
  void EndTurn();
  void Flush(Link& link);
  void Pump(Link& link);
  bool PumpSlot(Link& link, Slot& slot, Remote& remote);
  void Rewind(Link& link);
  void WatchLinks();
  void OnAcks(NodeId from, const leaderless::Acks& acks);
  void OnRefused(NodeId from, Slot& slot, Remote& remote, const leaderless::Refused& refused);

  // -- receiving (receive.cc) --------------------------------------------------------------------
  void OnMutations(NodeId from, std::string_view body);
  void OnAnswer(NodeId from, std::string_view body);
  enum class Taken { kApplied, kKnown, kGap, kTooFarAhead, kMalformed };
  Taken Take(Slot& slot, const leaderless::MutationView& view, std::string_view bytes);
  bool Apply(Slot& slot, const leaderless::MutationView& view, std::string_view bytes);
  void TakeReady(Slot& slot);
  Taken TakePulled(Slot& slot, std::string_view bytes);
  Status NoteJoined(Slot& slot, std::string_view cell);
  bool JoinCell(Slot& slot, const leaderless::KeyCell& cell);
  void Raise(Slot& slot, const VersionVector& to);

  // -- accounts and catching up (accounts.cc) ----------------------------------------------------
  void NoteDurable(Slot& slot);
  void SendAccounts();
  void SendAccount(Link& link);
  void OnAccount(NodeId from, const leaderless::Account& account);
  void Hear(NodeId from, Slot& slot, Remote& remote, HybridTime time,
            const leaderless::Account::OfShard& of);
  void Settle(Slot& slot);
  Task<void> CatchUp(ShardId id, NodeId from);
  Task<Result<bool>> PullDots(ShardId id, NodeId from);

  // -- whole cells (repair.cc, cells_service.cc) -------------------------------------------------
  Task<Result<std::string>> Ask(NodeId node, leaderless::CellsRequest request, Instant deadline);
  Task<Status> Reconcile(ShardId id, NodeId with, leaderless::KeyRange range, bool give,
                         VersionVector* theirs, Instant deadline);
  Task<Status> CompareRanges(ShardId id, NodeId with, std::vector<leaderless::KeyRange>* ranges,
                             leaderless::Difference* difference,
                             std::vector<leaderless::KeyRange>* fetch, VersionVector* theirs,
                             Instant deadline);
  Task<Status> Fetch(ShardId id, NodeId from, std::vector<leaderless::KeyRange> ranges,
                     Instant deadline);
  Task<Status> Give(ShardId id, NodeId to, std::vector<leaderless::KeyCell> cells,
                    Instant deadline);
  Task<Status> GiveKeys(ShardId id, NodeId to, std::vector<std::string> keys, Instant deadline);
  using VisitCell = std::function<void(std::string_view key, std::string_view cell)>;
  /// Visits the cells of a range a slice at a time, letting others run in between.
  Task<Status> Scan(ShardId id, leaderless::KeyRange range, VisitCell visit);
  Task<Result<std::string>> OnCells(NodeId from, std::string body, Instant deadline);
  Result<Slot*> SlotFor(ShardId shard, Epoch epoch);
  Result<std::string> AnswerDots(const leaderless::DotsRequest& request);
  Task<Result<std::string>> AnswerSummaries(leaderless::SummariesRequest request);
  Result<std::string> AnswerFetch(const leaderless::FetchRequest& request);
  Task<Result<std::string>> AnswerGive(leaderless::GiveRequest request);
  Result<std::string> AnswerObject(const leaderless::ObjectRequest& request);
  Result<std::string> AnswerDigests(const leaderless::DigestsRequest& request);
  /// Whether this replica may have something of `object` from a mutation that `seen` lacks.
  bool Touched(const Slot& slot, const VersionVector& seen, std::string_view object) const;
  struct ObjectCells {
    std::vector<leaderless::KeyCell> cells;
    bool large = false;
  };
  Result<ObjectCells> CellsOfObject(ShardId shard, std::string_view key);

  // -- reading at R (reads.cc) -------------------------------------------------------------------
  struct Refreshing;
  Task<Status> Refresh(ShardId id, std::string key, std::uint32_t read, Instant deadline);
  Task<void> RefreshFrom(Refreshing* reading, NodeId node);
  Task<Status> Agree(ShardId id, std::string key, NodeId node,
                     std::vector<leaderless::KeyCell>* received, Instant deadline);
  std::vector<NodeId> Others(const Slot& slot) const;
  using Where = std::map<NodeId, std::vector<ShardId>>;
  Task<Result<std::vector<ShardDigest>>> Digests(Where where, Instant deadline);

  // -- the map (placement.cc) --------------------------------------------------------------------
  Slot* Find(ShardId shard);
  const Slot* Find(ShardId shard) const;
  Slot& MakeSlot(ShardId shard, clock::Actor actor);
  Task<void> FollowMap();
  Task<Status> Adopt(placement::ClusterMapPtr map);
  Status Remember(std::uint64_t version);
  Status Recall();
  void Place(const placement::ClusterMap& map, const placement::Keyspace& keyspace,
             const placement::Shard& shard);
  void NoteDrop(ShardId shard);
  Task<Result<clock::Actor>> ActorOfReturned();
  Status Reopen(Slot& slot);
  void Forget(ShardId shard);
  void ConsiderReports();
  bool HasEverything(const Slot& slot) const;
  bool HasHandedOver(const Slot& slot) const;
  bool OthersFollowed(const Slot& slot) const;
  bool HasSettled(const Slot& slot) const;
  Task<void> Report(ShardId shard, Epoch epoch);
  bool IsDead(NodeId node) const;

  // -- upkeep (upkeep.cc) ------------------------------------------------------------------------
  Task<void> Tick();
  Task<void> AccountLoop();
  Task<void> ExpiryLoop();
  Task<void> WriteBackLoop();
  Task<void> ScrubLoop();
  void Expire(Slot& slot);
  void Purge(Slot& slot);
  /// Crashes the node on an error.
  bool WriteBack();
  Task<Status> FlushEngine();
  void Fail(std::string_view doing, const Error& error);

  Host host;
  const LeaderlessOptions options;
  runtime::World& world;
  storage::EngineHome home;
  std::unique_ptr<storage::Engine> engine;
  cells::Store store;
  clock::HybridClock clock;
  leaderless::History history;
  std::map<ShardId, std::unique_ptr<Slot>> slots;
  std::vector<Slot*> by_number;  ///< null: dropped
  std::map<NodeId, Link> links;
  std::set<clock::Actor> actors;  ///< of this process
  /// Shards that this process has written to and that have left it.
  std::set<ShardId> left;
  std::uint64_t map_version = 0;  ///< adopted; remembered in the engine
  struct KeyspaceConflicts {
    std::uint64_t count = 0;
    std::deque<cells::Conflict> newest;
  };
  std::map<std::string, KeyspaceConflicts, std::less<>> conflicts;
  Stats stats;
  std::string record;  // scratch
  WallInterval wall;
  Instant wall_at{};
  bool wall_known = false;
  int repairs = 0;
  int reconciliations = 0;
  bool flushing = false;
  bool stopping = false;

  struct TurnEnd final : runtime::Runnable {
    explicit TurnEnd(State& s) : state(s) {}
    void Run() override { state.EndTurn(); }
    State& state;
  };
  TurnEnd turn_end;
  runtime::Notification flushed;
  runtime::Scope scope;  // last: its tasks use all of the above
};

/// Sets a flag of a slot for as long as it lives; the slot may go first.
class SlotFlag {
 public:
  SlotFlag(LeaderlessReplicas::State& state, Slot& slot, bool Slot::* flag)
      : state_(state), number_(slot.number), flag_(flag) {
    slot.*flag = true;
  }
  ~SlotFlag() {
    Slot* slot = state_.by_number[number_];
    if (slot != nullptr) slot->*flag_ = false;
  }
  SlotFlag(const SlotFlag&) = delete;
  SlotFlag& operator=(const SlotFlag&) = delete;

 private:
  LeaderlessReplicas::State& state_;
  std::uint32_t number_;
  bool Slot::* flag_;
};

}  // namespace coterie::node
