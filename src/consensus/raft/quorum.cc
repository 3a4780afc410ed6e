#include "consensus/raft/quorum.h"

#include "base/assert.h"
#include "consensus/raft/mutants.h"

namespace coterie::raft {

std::size_t MajorityOf(std::size_t n) {
  COT_ASSERT(n > 0);
  if (COT_MUTANT(R16)) return (n + 1) / 2;
  return n / 2 + 1;
}

VoteResult MajorityVote(std::size_t voters, std::size_t granted, std::size_t refused) {
  if (voters == 0) return VoteResult::kWon;
  COT_ASSERT(granted + refused <= voters);
  const std::size_t needed = MajorityOf(voters);
  if (granted >= needed) return VoteResult::kWon;
  return voters - refused < needed ? VoteResult::kLost : VoteResult::kPending;
}

}  // namespace coterie::raft
