#pragma once

// Classic mistakes of a driver, planted one at a time to prove that the simulation would notice
// them. The library that ships is compiled without COTERIE_MUTANTS: there COT_NODE_MUTANT(x) is the
// constant false. Only the test target coterie_node_mutants has the selector.

#ifdef COTERIE_MUTANTS
namespace coterie::node {
enum class Mutant {
  kNone,
  kSendBeforePersist,    ///< what a message promises is not durable when it leaves
  kAckBeforeDurable,     ///< the core is told that a write is durable when it was only handed over
  kApplyBeforeCommit,    ///< entries are applied, and answered, as soon as they are appended
  kReadBeforeApplied,    ///< a barrier does not wait until the state has reached its index
  kReadAsDeposedLeader,  ///< a leader reads without asking whether it still leads
  kReadIndexOfFollower,  ///< a follower takes its own commit index for the leader's
  kForgetVoteOnCompaction,  ///< the hard state that goes with a compaction is empty
  kCompactBeforeFlush,      ///< the log forgets entries whose effects are not durable
  kInstallWithoutLogReset,  ///< the log keeps what it had beside an installed snapshot
  kRetryUnknown,            ///< a command that may have been placed is placed once more
  kRenewAsDeposedLeader,    ///< a lease is renewed without asking whether this node still leads
  kFollowBeforeDurable,     ///< a new map's replicas start before a restart would find the map
  kRevokeAsDeposedLeader,   ///< a revocation decided by one leader is passed on to the next
  kLeasesAnewAtElection,    ///< a new leader gives every lease its whole time again
  kRenewUnheard,            ///< a renewal is the leader's alone: the others do not hear of it
};
extern Mutant active_mutant;
}  // namespace coterie::node
#define COT_NODE_MUTANT(id) (::coterie::node::active_mutant == ::coterie::node::Mutant::id)
#else
#define COT_NODE_MUTANT(id) false
#endif
