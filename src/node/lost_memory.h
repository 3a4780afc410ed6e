#pragma once

#include <set>
#include <string>

#include "runtime/scope.h"
#include "runtime/world.h"
#include "storage/wal.h"

namespace coterie::node {

/// Whether the end of this node's write-ahead log was lost, and who of those that had promised
/// something by it is not yet caught up by the others. While anybody is, kCatchingUp holds; when
/// the last one has, the log forgets that it was cut.
class LostMemory {
 public:
  /// Both outlive it.
  LostMemory(runtime::World& world, storage::Wal& wal);
  /// Whoever begins now may have forgotten what it promised.
  bool lost() const { return lost_; }
  /// `who` takes no part in promises until Recovered; the name is shown.
  void Begin(const std::string& who);
  void Recovered(const std::string& who);

 private:
  runtime::Task<void> Forget();

  runtime::World& world_;
  storage::Wal& wal_;
  bool lost_;
  std::set<std::string> recovering_;
  runtime::Scope scope_;
};

}  // namespace coterie::node
