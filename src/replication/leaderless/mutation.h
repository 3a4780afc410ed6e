#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "clock/dot.h"
#include "clock/hybrid.h"

namespace coterie::leaderless {

using clock::Actor;
using clock::Dot;
using clock::HybridTime;
using clock::VersionVector;

/// One change of one cell: where, and the delta that every replica joins (crdt::Encode).
struct CellDelta {
  std::string key;  ///< the cell's key within its shard, as model/cells lays it out
  std::string delta;
};

/// What one edit did: all its deltas under one dot, visible together. The unit of the log.
struct Mutation {
  ShardId shard;
  Dot dot;
  HybridTime time;
  std::vector<CellDelta> cells;
};

/// A mutation as bytes: encoded once where it is made, then journaled, sent and kept as it is.
void Encode(const Mutation& mutation, std::string& out);
/// Views into the encoded bytes: no copies on the way to the cells.
struct MutationView {
  ShardId shard;
  Dot dot;
  HybridTime time;
  struct Cell {
    std::string_view key;
    std::string_view delta;
  };
  std::vector<Cell> cells;
};
/// nullopt: malformed. Total on any input.
std::optional<MutationView> DecodeMutation(std::string_view bytes);

}  // namespace coterie::leaderless
