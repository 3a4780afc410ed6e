#pragma once

// Classic mistakes of ordered commands, planted one at a time to prove that this room's properties
// would notice them. The library that ships is compiled without COTERIE_MUTANTS: there
// COT_ORDERED_MUTANT(x) is the constant false.

#ifdef COTERIE_MUTANTS
namespace coterie::door::redis::ordered {
enum class Mutant {
  kNone,
  kWatchTheStore,  ///< EXEC compares with the store, not with what its batch wrote before it
  kGuardNothing,   ///< what was read is not compared when the transaction comes to its place
  kNoBarrier,      ///< what changes nothing is answered from whatever state is here
  kPipelineApart,  ///< the commands of a pipeline run side by side, in no order
};
extern Mutant active_mutant;
}  // namespace coterie::door::redis::ordered
#define COT_ORDERED_MUTANT(id) \
  (::coterie::door::redis::ordered::active_mutant == ::coterie::door::redis::ordered::Mutant::id)
#else
#define COT_ORDERED_MUTANT(id) false
#endif
