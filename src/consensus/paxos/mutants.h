#pragma once

// Classic mistakes around Paxos, planted one at a time to prove that the tests would notice them.
// The library that ships is compiled without COTERIE_MUTANTS: there COT_PAXOS_MUTANT(x) is the
// constant false. Only the test target coterie_consensus_paxos_mutants has the selector.

#ifdef COTERIE_MUTANTS
namespace coterie::paxos {
enum class Mutant {
  kNone,
  kAcceptNotPersisted,   ///< an acceptance is answered before it is durable
  kPromiseNotPersisted,  ///< a promise is answered before it is durable
  kPromiseForgetsValue,  ///< a promise does not tell what was accepted
  kAcceptBelowPromise,   ///< an acceptor accepts what it has promised to refuse
  kNextNotStored,        ///< the promise that rides on an accept is not kept
  kAnyEpoch,             ///< an acceptor serves ballots of epochs that are over
  kWrongValue,           ///< the proposer takes the lowest accepted value among the promises
  kHalfIsMajority,       ///< half of the voters decide
  kReadOfMinority,       ///< a read answers the newest report, though only one replica has it
  kKeepUndecided,        ///< a change that writes nothing does not complete what it was decided on
  kReadOfCache,          ///< a change that writes nothing trusts what the last round left behind
  kAppliedTwice,         ///< a retry does not look whether another proposer completed its change
  kLateRivalTry,         ///< an earlier try's value is left behind a change that writes nothing
  kNoSweep,              ///< a move goes on before the registers have followed
};
extern Mutant active_mutant;
}  // namespace coterie::paxos
#define COT_PAXOS_MUTANT(id) (::coterie::paxos::active_mutant == ::coterie::paxos::Mutant::id)
#else
#define COT_PAXOS_MUTANT(id) false
#endif
