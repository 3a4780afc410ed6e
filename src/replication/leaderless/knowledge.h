#pragma once

#include <map>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "clock/dot.h"
#include "clock/hybrid.h"

namespace coterie::leaderless {

using clock::HybridTime;
using clock::VersionVector;

/// What the other replicas of one shard have said they know, and what follows from it. A value; no
/// I/O.
class Knowledge {
 public:
  /// What one replica says of itself.
  struct Account {
    Epoch epoch;            ///< of the map it goes by
    HybridTime time;        ///< its clock: later mutations of its own are stamped later
    VersionVector applied;  ///< what it had applied at that time
    VersionVector durable;  ///< what no crash makes it forget
  };

  /// The replicas other than this one, those that are gone but not dropped included. What is known
  /// of the ones that stay is kept.
  void SetOthers(const std::vector<NodeId>& others);
  /// Takes an account; `mine` is what this replica has applied. Nothing happens for one that is no
  /// replica. Accounts of one replica come in order.
  void Hear(NodeId node, Account account, const VersionVector& mine);
  /// This replica has applied more.
  void Advance(const VersionVector& mine);

  /// The newest account of `node`; null: none yet.
  const Account* Of(NodeId node) const;
  /// What every replica has, for good: what `mine_durable` and all the others' have in common, by
  /// accounts of which all is applied here. So it is causally stable [crdt/README.md]: whatever
  /// somebody made before knowing a mutation that this covers, is here. Covered mutations will
  /// never be asked for again, and covered tombstones may go.
  VersionVector Stable(const VersionVector& mine_durable) const;
  /// Every mutation stamped before this, by any replica, is applied here; nullopt: nothing is
  /// known of one of the others. `now`: this replica's own clock.
  HybridTime StableTime(HybridTime now) const;
  /// The other that holds StableTime back the most; 0: there are none.
  NodeId Slowest() const;

 private:
  struct Other {
    std::optional<Account> newest;
    std::optional<Account> pending;  // not covered by what is applied here
    HybridTime covered;              // all it had at this time is applied here
    VersionVector durable;           // what it had for good at that time
  };
  std::map<NodeId, Other> others_;
};

}  // namespace coterie::leaderless
