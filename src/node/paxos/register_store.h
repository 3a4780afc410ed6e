#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "consensus/paxos/acceptor.h"
#include "node/journal.h"
#include "runtime/scope.h"
#include "runtime/sync.h"
#include "runtime/world.h"
#include "storage/engine.h"

namespace coterie::node::registers {

struct StoreOptions {
  /// Registers kept in memory; over it the ones that were used longest ago and are in the engine
  /// go.
  std::size_t cache_bytes_max = 64u << 20;
  /// Changed registers are written to the engine once they are so many bytes, or the journal is.
  std::size_t dirty_bytes = 16u << 20;
  std::uint64_t journal_bytes = 64u << 20;
  Duration write_back_interval = 30s;
};

/// What the acceptors of one node must not forget: the registers of all its shards, each shard's
/// epoch, and how often the node has started. The journal makes it durable; the engine holds what
/// is too much for the memory and for a replay. Single reactor.
class RegisterStore {
 public:
  RegisterStore(runtime::World& world, Journal& journal, StoreOptions options);

  /// Takes over the state in `engine` and what the journal holds above it, counts a start, and
  /// begins to write back. Once, before anything else. Errors: kCorruptState, kCorruptLog, kIo.
  Status Load(std::unique_ptr<storage::Engine> engine);
  /// The start of this node that Load counted, from 1; durable when Start's position is.
  std::uint64_t starts() const { return starts_; }

  /// The register, to be changed in place; call Save right after a change. Valid until the next
  /// call of Find. Errors: kCorruptState, kIo (the engine: crash and recover).
  Result<paxos::Register*> Find(ShardId shard, std::string_view key);
  /// Journals the register that Find answered last.
  void Save();
  /// What that register tells is durable at this position.
  LogIndex position() const;

  /// The epoch below which the shard's acceptor here does nothing any more; 0: none yet.
  Epoch fence(ShardId shard) const;
  /// Raises it. Answers the position at which it is durable; without a change, of the last change.
  LogIndex Fence(ShardId shard, Epoch epoch);
  /// Forgets the shard's registers, and fences it.
  void Drop(ShardId shard, Epoch epoch);

  /// Registers of the shard with key > `after` (or from the first) in order, until false.
  using Visit = std::function<bool(std::string_view key, const paxos::Register& state)>;
  Status VisitAll(ShardId shard, std::string_view after, bool from_start, const Visit& visit) const;

  Journal& journal() { return journal_; }
  /// Changed registers fill the memory: nothing more should be changed until some are written.
  bool overloaded() const { return dirty_bytes_ > 4 * options_.dirty_bytes; }
  /// Writes everything changed so far to the engine and trims the journal.
  runtime::Task<Status> WriteBack();

 private:
  struct Entry {
    paxos::Register state;
    LogIndex position;   ///< of its last record
    bool dirty = false;  ///< not yet in the engine
    std::size_t bytes = 0;
    std::list<std::map<std::string, Entry>::iterator>::iterator used;
  };
  using Entries = std::map<std::string, Entry>;

  Status Replay(std::string_view bytes);
  void RecordStart();
  Status LoadMeta();
  void Count(Entries::iterator entry, bool dirty);
  void Evict();
  runtime::Task<void> WriteBackLoop();
  storage::Batch Collect(LogIndex covered) const;

  runtime::World& world_;
  Journal& journal_;
  const StoreOptions options_;
  std::unique_ptr<storage::Engine> engine_;
  std::uint64_t starts_ = 0;
  struct FenceMark {
    Epoch epoch;
    LogIndex position;
  };
  std::map<ShardId, FenceMark> fences_;
  Entries entries_;                    ///< by engine key
  std::list<Entries::iterator> used_;  ///< the last used first
  Entries::iterator found_ = entries_.end();
  std::size_t bytes_ = 0;
  std::size_t dirty_bytes_ = 0;
  std::map<ShardId, std::uint64_t> dropped_;  ///< whose registers the engine still has: which drop
  std::uint64_t drops_ = 0;
  LogIndex written_;  ///< what the engine holds of the journal
  bool writing_ = false;
  runtime::Notification full_;
  runtime::Scope scope_;
};

}  // namespace coterie::node::registers
