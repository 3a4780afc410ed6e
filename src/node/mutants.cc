#include "node/mutants.h"

namespace coterie::node {

Mutant active_mutant = Mutant::kNone;

}  // namespace coterie::node
