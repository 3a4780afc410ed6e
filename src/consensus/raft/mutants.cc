#include "consensus/raft/mutants.h"

namespace coterie::raft {

Mutant active_mutant = Mutant::kNone;

}  // namespace coterie::raft
