#include "consensus/paxos/mutants.h"

namespace coterie::paxos {

Mutant active_mutant = Mutant::kNone;

}  // namespace coterie::paxos
