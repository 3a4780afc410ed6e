#include "node/leaderless/mutants.h"

namespace coterie::node {

LeaderlessMutant active_leaderless_mutant = LeaderlessMutant::kNone;

}  // namespace coterie::node
