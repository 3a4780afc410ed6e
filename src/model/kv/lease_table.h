#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>

#include "model/kv/layout.h"
#include "storage/engine.h"

namespace coterie::kv {

/// The leases of the replicated state, in memory as well as in the Engine: a put asks for its lease
/// on every replica. About 100 bytes a lease; keys are attached in the Engine only.
class LeaseTable {
 public:
  struct Row : layout::Lease {
    /// The command by which this replica last heard of it: its grant or a renewal. Renewals change
    /// no state, so what came before the last Load is not known.
    LogIndex heard_at;
  };
  using Leases = std::map<std::int64_t, Row>;

  /// Replaces everything by what `engine` holds. Errors: kCorruptState, the Engine's.
  Status Load(const storage::Engine& engine);
  const Row* Find(std::int64_t id) const;
  void Grant(std::int64_t id, const layout::Lease& lease);
  /// Command `index` renews it; nothing if there is no such lease.
  void Renew(std::int64_t id, LogIndex index);
  void Revoke(std::int64_t id);
  const Leases& all() const { return leases_; }

  /// Counts grants, renewals and revocations, and loads.
  std::uint64_t generation() const { return generation_; }
  /// Counts loads.
  std::uint64_t loads() const { return loads_; }
  /// The ids that changed after `generation`, oldest first; nullptr when that is too long ago to
  /// know.
  std::optional<std::deque<std::int64_t>> ChangedSince(std::uint64_t generation) const;

 private:
  static constexpr std::size_t kChangesMax = 4096;
  void Note(std::int64_t id);

  Leases leases_;
  std::uint64_t generation_ = 0;
  std::uint64_t loads_ = 0;
  std::deque<std::int64_t> changes_;  // the newest changes, the last one made generation_
};

}  // namespace coterie::kv
