#pragma once

#include <set>

#include "model/kv/key_cache.h"
#include "model/kv/layout.h"
#include "model/kv/lease_table.h"
#include "model/kv/range.h"
#include "model/kv/store.h"
#include "model/kv/watch_hub.h"

namespace coterie::kv {

/// What a Store is made of. The Engine holds the truth; the rest is derived from it, or bounded.
struct StoreState {
  explicit StoreState(StoreOptions o)
      : options(o), cache(o.key_cache_bytes_max), hub(o.watch_ring_bytes_max) {}

  StoreOptions options;
  storage::Engine* engine = nullptr;
  layout::Meta meta;
  layout::PurgeCursor purge;
  KeyCache cache;
  PageCounts pages;
  LeaseTable leases;
  std::multiset<Revision> read_at;  ///< by RangeReaders: PurgeSome takes nothing of these
  WatchHub hub;
};

struct Store::State : StoreState {
  using StoreState::StoreState;
};

}  // namespace coterie::kv
