#pragma once

#include "consensus/raft/raft.h"
#include "model/state_machine.h"
#include "storage/engine.h"
#include "storage/wal.h"

namespace coterie::node {

/// What a restart starts from, and what must be written to the WAL before anything else happens.
struct Recovered {
  raft::Restored restored;
  bool reset_log =
      false;  ///< the engine is ahead of the log: a snapshot's installation was cut short
};

/// Joins what the WAL and the engine held into the state of a Raft replica. `machine` is loaded
/// from `engine`; `first` is in force where nothing says otherwise. Errors: kCorruptState,
/// kCorruptLog.
Result<Recovered> Recover(raft::Configuration first, storage::WalShard shard,
                          const model::StateMachine& machine, const storage::Engine& engine);

}  // namespace coterie::node
