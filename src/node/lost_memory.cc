#include "node/lost_memory.h"

#include "node/mutants.h"

namespace coterie::node {

LostMemory::LostMemory(runtime::World& world, storage::Wal& wal)
    : world_(world), wal_(wal), lost_(!wal.cut().empty() && !COT_NODE_MUTANT(kVoteAfterLogCut)) {
  if (!wal.cut().empty()) world_.Raise(ConditionKind::kLogCut, "", wal.cut());
}

void LostMemory::Begin(const std::string& who) {
  recovering_.insert(who);
  world_.Raise(ConditionKind::kCatchingUp, who, "it neither votes nor acknowledges");
}

void LostMemory::Recovered(const std::string& who) {
  if (recovering_.erase(who) == 0) return;
  world_.Clear(ConditionKind::kCatchingUp, who);
  if (recovering_.empty() && lost_) scope_.Spawn(Forget());
}

runtime::Task<void> LostMemory::Forget() {
  lost_ = false;
  const Status forgotten = co_await wal_.ForgetCut();
  if (!forgotten) {  // the next start catches up once more
    world_.log().Warn("node", "cannot note that all is caught up: {}", Describe(forgotten.error()));
  }
}

}  // namespace coterie::node
