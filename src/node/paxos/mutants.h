#pragma once

// Classic mistakes of the registers' driver, planted one at a time to prove that the simulation
// would notice them. The library that ships is compiled without COTERIE_MUTANTS: there
// COT_REGISTERS_MUTANT(x) is the constant false.

#ifdef COTERIE_MUTANTS
namespace coterie::node::registers {
enum class Mutant {
  kNone,
  kReplyBeforeDurable,  ///< an acceptor answers before its state is on disk
  kExpiredIsNothing,    ///< a value that is past is read as nothing, without a round
  kNoSweep,             ///< a replica reports at once, whatever it holds
  kStaleReplicas,       ///< a conditional write trusts what replicas said before another's
  kRemovesWhatIsHere,   ///< a removal that was decided leaves nothing where the string was not yet
  kLastCallCounts,      ///< a change is answered as its last try would have been
  kForgetPending,       ///< what was decided and not yet applied is not seen by the next
};
extern Mutant active_mutant;
}  // namespace coterie::node::registers
#define COT_REGISTERS_MUTANT(id) \
  (::coterie::node::registers::active_mutant == ::coterie::node::registers::Mutant::id)
#else
#define COT_REGISTERS_MUTANT(id) false
#endif
