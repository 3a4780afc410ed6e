#pragma once

// Classic Raft mistakes, planted one at a time to prove that the tests would notice them. The
// library that ships is compiled without COTERIE_MUTANTS: there COT_MUTANT(x) is the constant
// false. Only the test target coterie_consensus_raft_mutants has the selector.

#ifdef COTERIE_MUTANTS
namespace coterie::raft {
enum class Mutant {
  kNone,
  R1,    ///< a vote is answered before it is durable
  R3,    ///< an entry of an earlier term is committed by counting replicas [Raft fig. 8]
  R4,    ///< a vote is granted to a log that is not up to date
  R5,    ///< AppendEntries truncates the log without a conflict
  R6,    ///< a follower acknowledges entries before they are durable
  R7,    ///< a follower commits past what the leader's message vouches for
  R8,    ///< prev_log_term is not compared
  R9,    ///< a leader reads without confirming that it still leads
  R10,   ///< a read is answered before an entry of the term is committed
  R12,   ///< a membership change starts while another one may be under way
  R13,   ///< a configuration is in force when committed, not when appended
  R14,   ///< a snapshot discards a longer log that agrees with it
  R15,   ///< a reply of an earlier term moves match_index
  R16,   ///< half of an even group is a quorum
  R18,   ///< no CheckQuorum: a leader that nobody hears keeps leading
  R19,   ///< the election timeout is not random
  R21,   ///< learners count when entries are committed
  R22,   ///< a member that refuses what it had acknowledged is still counted on
  kAba,  ///< a write of entries since truncated vouches for the ones that replaced them
};
extern Mutant active_mutant;
}  // namespace coterie::raft
#define COT_MUTANT(id) (::coterie::raft::active_mutant == ::coterie::raft::Mutant::id)
#else
#define COT_MUTANT(id) false
#endif
