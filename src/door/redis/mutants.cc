#include "door/redis/mutants.h"

namespace coterie::door::redis::ordered {

Mutant active_mutant = Mutant::kNone;

}  // namespace coterie::door::redis::ordered
