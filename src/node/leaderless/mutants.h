#pragma once

// Classic mistakes of a convergent replica, planted one at a time to prove that the simulation
// would notice them. The library that ships is compiled without COTERIE_LEADERLESS_MUTANTS: there
// COT_LEADERLESS_MUTANT(x) is the constant false.

#ifdef COTERIE_LEADERLESS_MUTANTS
namespace coterie::node {
enum class LeaderlessMutant {
  kNone,
  kAckBeforeJournal,     ///< a batch is acknowledged before its mutations are durable
  kPurgeWithoutStable,   ///< a tombstone goes when it is applied here, whoever lacks it
  kSkipGap,              ///< a mutation is applied though one before it is missing
  kCountFailureDomains,  ///< replicas that fail together count as many
  kReuseDots,            ///< a shard that comes back is counted on from what the others know
};
extern LeaderlessMutant active_leaderless_mutant;
}  // namespace coterie::node
#define COT_LEADERLESS_MUTANT(id) \
  (::coterie::node::active_leaderless_mutant == ::coterie::node::LeaderlessMutant::id)
#else
#define COT_LEADERLESS_MUTANT(id) false
#endif
