#include "replication/leaderless/mutation.h"

#include "base/coding.h"

namespace coterie::leaderless {
namespace {

// v(shard) fixed32(actor) v(counter) fixed64(time) v(count), then count x (key, delta), each
// length-prefixed, behind one byte of format.
constexpr char kFormat = 1;
/// The shortest cell is two lengths: no count that the bytes cannot hold is believed.
constexpr std::size_t kCellBytesMin = 2;
constexpr std::size_t kHeaderBytesMax = 1 + 10 + 4 + 10 + 8 + 10;
constexpr std::size_t kLengthBytesMax = 10;

}  // namespace

void Encode(const Mutation& mutation, std::string& out) {
  std::size_t bytes = kHeaderBytesMax;
  for (const CellDelta& cell : mutation.cells) {
    bytes += cell.key.size() + cell.delta.size() + 2 * kLengthBytesMax;
  }
  out.reserve(out.size() + bytes);
  out.push_back(kFormat);
  PutVarint(out, mutation.shard.value);
  PutFixed32(out, mutation.dot.actor.value);
  PutVarint(out, mutation.dot.counter);
  PutFixed64(out, mutation.time.value);
  PutVarint(out, mutation.cells.size());
  for (const CellDelta& cell : mutation.cells) {
    PutLengthPrefixed(out, cell.key);
    PutLengthPrefixed(out, cell.delta);
  }
}

std::optional<MutationView> DecodeMutation(std::string_view bytes) {
  if (bytes.empty() || bytes.front() != kFormat) return std::nullopt;
  bytes.remove_prefix(1);
  const auto shard = GetVarint(bytes);
  if (!shard) return std::nullopt;
  const auto actor = GetFixed32(bytes);
  if (!actor) return std::nullopt;
  const auto counter = GetVarint(bytes);
  if (!counter || *counter == 0) return std::nullopt;
  const auto time = GetFixed64(bytes);
  if (!time) return std::nullopt;
  const auto count = GetVarint(bytes);
  if (!count || *count > bytes.size() / kCellBytesMin) return std::nullopt;
  MutationView view{
      .shard = ShardId(*shard),
      .dot = {.actor = Actor(*actor), .counter = *counter},
      .time = HybridTime(*time),
      .cells = {},
  };
  view.cells.reserve(*count);
  for (std::uint64_t i = 0; i < *count; ++i) {
    const auto key = GetLengthPrefixed(bytes);
    if (!key) return std::nullopt;
    const auto delta = GetLengthPrefixed(bytes);
    if (!delta) return std::nullopt;
    view.cells.push_back({.key = *key, .delta = *delta});
  }
  if (!bytes.empty()) return std::nullopt;
  return view;
}

}  // namespace coterie::leaderless
