#include "node/paxos/mutants.h"

namespace coterie::node::registers {

Mutant active_mutant = Mutant::kNone;

}  // namespace coterie::node::registers
