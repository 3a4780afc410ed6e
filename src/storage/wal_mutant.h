#pragma once

// The tests build the log once more for each of these classic faults, and must notice it; the
// product is built with none. Numbers are those of the mutants' table in the simulation's
// documentation.
#ifndef COTERIE_MUTANT
#define COTERIE_MUTANT 0
#endif

namespace coterie::storage::wal {
inline constexpr bool kMutantRetriesFailedSync = COTERIE_MUTANT == 61;
inline constexpr bool kMutantChecksumWithoutPlace = COTERIE_MUTANT == 62;
inline constexpr bool kMutantDamageIsTornTail = COTERIE_MUTANT == 63;
inline constexpr bool kMutantNoDirectorySync = COTERIE_MUTANT == 64;
inline constexpr bool kMutantFramesShareUnits = COTERIE_MUTANT == 65;
}  // namespace coterie::storage::wal
