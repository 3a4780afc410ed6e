#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "consensus/paxos/learner.h"
#include "consensus/paxos/proposer.h"
#include "node/control.h"
#include "node/failure_detector.h"
#include "node/paxos/acceptors.h"
#include "node/transport.h"
#include "runtime/scope.h"
#include "runtime/sync.h"

namespace coterie::node::registers {

struct RoundsOptions {
  paxos::Config core;
  /// Without answers of a majority for so long, a request is refused.
  Duration reach_patience = 1s;
  /// How long a read waits for the reports that could still agree before it takes a ballot.
  Duration agree_patience = 4ms;
  std::size_t queue_max = 1024;      ///< changes that wait for one register; over it kOverloaded
  std::size_t batch_max = 256;       ///< changes decided in one round
  std::size_t registers_max = 8192;  ///< of which the last round is remembered
};

/// What a register holds, as its acceptors keep it; nullopt: nothing.
using Bytes = std::optional<std::string>;
/// What to do with a register, given what it holds. Called once a try, each time with a greater
/// `call`. Which call counts says the answer: it need not be the last, for another proposer may
/// have carried an earlier try on.
using Fold = std::function<paxos::Decision(const Bytes& current, std::uint64_t call)>;
/// What a register holds after a change, and which call of the fold that was.
struct Changed {
  Bytes bytes;
  std::uint64_t call = 0;
};

constexpr std::size_t kValueBytesMax = 8u << 20;

/// Counts since the start.
struct RoundsStats {
  std::uint64_t rounds = 0;         ///< changes of registers that were decided, or not
  std::uint64_t one_trip = 0;       ///< that began with an accept
  std::uint64_t folded = 0;         ///< requests in them
  std::uint64_t reads = 0;          ///< without a ballot
  std::uint64_t reads_settled = 0;  ///< that took one
};

/// Reads and changes of single registers by asking the replicas of their shard, wherever they are.
class Rounds {
 public:
  Rounds(runtime::World& world, NodeId self, Control& control, Transport& transport,
         Acceptors& acceptors, clock::Actor proposer, FailureDetector* detector,
         RoundsOptions options);

  /// Errors (not applied): kNoKeyspace, kTooFewReplicas, kContended, kTimedOut.
  runtime::Task<Result<Bytes>> Read(ShardId shard, std::string key, Instant deadline);
  /// `fold` answers at most kValueBytesMax bytes. Errors (not applied): kNoKeyspace, kOverloaded,
  /// kTooFewReplicas, kContended, kTimedOut; (unknown): kTimedOut.
  runtime::Task<Result<Changed>> Change(ShardId shard, std::string key, Fold fold,
                                        Instant deadline);
  /// Decides what a register holds once more, in the shard's present epoch.
  runtime::Task<Result<Bytes>> Carry(ShardId shard, std::string key, Instant deadline);

  /// Every register that any of the shard's majority has accepted something for, in order, greater
  /// than `after`: at most about `max`, and whether there may be more. Errors: kTooFewReplicas,
  /// kStaleEpoch, kNoKeyspace, kTimedOut (not applied).
  struct Listed {
    std::string key;
    bool agreed = false;  ///< a majority reports one ballot, and this:
    paxos::Ballot accepted;
    bool holds = false;
  };
  struct Listing {
    Epoch epoch;
    std::vector<Listed> keys;
    bool more = false;
  };
  runtime::Task<Result<Listing>> List(ShardId shard, std::string after, bool from_start,
                                      std::size_t max, Instant deadline);

  /// The map has changed.
  void FollowMap();
  const RoundsStats& stats() const { return stats_; }
  NodeId self() const { return self_; }

 private:
  using RegisterName = std::pair<ShardId, std::string>;
  /// A change that somebody waits for.
  struct Waiting {
    Waiting(runtime::Executor& executor, Fold f, Instant d)
        : fold(std::move(f)), deadline(d), answer(executor) {}
    Fold fold;
    Instant deadline;
    bool started = false;
    bool abandoned = false;  ///< nobody waits any more
    runtime::Slot<Result<Changed>> answer;
  };
  struct Register {
    Register(runtime::Executor& executor, const paxos::Config& config, paxos::BallotSource& ballots,
             Random& random)
        : proposer(config, ballots, random), wake(executor) {}
    RegisterName name;
    paxos::Proposer proposer;
    std::deque<std::shared_ptr<Waiting>> queue;
    bool serving = false;
    bool stepped = false;
    runtime::Notification wake;
    std::list<Register*>::iterator idle;
  };
  struct Round;
  struct ReadRound;

  Register& Open(RegisterName name);
  runtime::Task<void> Serve(Register* reg);
  runtime::Task<void> RunRound(Register* reg, std::vector<std::shared_ptr<Waiting>> batch);
  void RaiseBallots();
  std::uint64_t NowUs() const;
  void StartChange(Register& reg, Round& round);
  void Conclude(Round& round, const paxos::Finished& finished);
  static void FailAll(Round& round, const Error& error);
  runtime::Task<void> Ask(Register* reg, NodeId to, paxos::Request request);
  runtime::Task<void> AskReader(std::shared_ptr<ReadRound> round, RegisterName name, NodeId to);
  runtime::Task<Result<Bytes>> ReadOnce(ShardId shard, std::string key, Instant deadline,
                                        bool* undecided);
  runtime::Task<Result<paxos::Reply>> Send(NodeId to, RegisterName name, paxos::Request request,
                                           Instant deadline);
  runtime::Task<void> AskKeys(NodeId to, KeysAsked asked, Instant deadline,
                              std::shared_ptr<std::map<NodeId, KeysReport>> reports,
                              std::shared_ptr<runtime::Notification> wake);
  std::optional<paxos::Replicas> Replicas(ShardId shard) const;

  runtime::World& world_;
  const NodeId self_;
  Control& control_;
  Transport& transport_;
  Acceptors& acceptors_;
  FailureDetector* const detector_;
  const RoundsOptions options_;
  paxos::BallotSource ballots_;
  std::uint64_t ahead_us_ = 0;  ///< how far others' ballots are ahead of this node's clock
  std::map<RegisterName, std::unique_ptr<Register>> registers_;
  std::list<Register*> idle_;  ///< the last used first
  std::uint64_t questions_ = 0;
  RoundsStats stats_;
  runtime::Scope scope_;
};

}  // namespace coterie::node::registers
