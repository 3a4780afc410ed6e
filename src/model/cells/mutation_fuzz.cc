#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/coding.h"
#include "model/cells/testing/replica.h"

// Any bytes as mutations and as cells from other nodes: they are joined or refused; what is refused
// changes nothing; what is joined can be read in every way, survives a restart, and gives the same
// state whether it went through a cache of some size or of none.

namespace coterie::cells::testing {
namespace {

std::map<std::string, std::string> Cells(Store& store) {
  std::map<std::string, std::string> cells;
  const auto status = store.VisitCells(kShard, "", "", [&](std::string_view k, std::string_view c) {
    cells.emplace(k, c);
    return true;
  });
  COT_ASSERT(status.has_value());
  return cells;
}

void ReadAll(Store& store) {
  for (const std::string& key : store.Keys(kShard, "", 1000)) {
    (void)store.GetString(kShard, key);
    (void)store.GetSiblings(kShard, key);
    std::uint64_t fields = 0;
    store.VisitHash(kShard, key, "", [&](auto, auto) { return ++fields > 0; });
    COT_ASSERT(fields == store.Size(kShard, key, ObjectType::kHash));
    std::uint64_t members = 0;
    store.VisitSet(kShard, key, "", [&](auto) { return ++members > 0; });
    COT_ASSERT(members == store.Size(kShard, key, ObjectType::kSet));
    for (const bool reverse : {false, true}) {
      std::uint64_t scored = 0;
      const double from = std::numeric_limits<double>::infinity() * (reverse ? 1 : -1);
      store.VisitSortedSet(kShard, key, from, reverse, [&](auto, auto) { return ++scored > 0; });
      COT_ASSERT(scored == store.Size(kShard, key, ObjectType::kSortedSet));
    }
    std::uint64_t entries = 0;
    store.VisitStream(kShard, key, {}, {~0ULL, ~0ULL}, false, [&](auto&) { return ++entries > 0; });
    COT_ASSERT(entries == store.Size(kShard, key, ObjectType::kStream));
    std::array<std::uint8_t, 16384> ranks{};
    (void)store.HllRanks(kShard, key, ranks);
  }
  COT_ASSERT(store.Digest(kShard).has_value());
}

/// A mutation of a node that is sound, by the next bytes, perhaps with one byte of it damaged.
std::string Make(Replica& maker, std::string_view& input) {
  const auto next = [&] {
    const auto byte = input.empty() ? 0U : static_cast<unsigned char>(input.front());
    if (!input.empty()) input.remove_prefix(1);
    return byte;
  };
  const std::string key(1, static_cast<char>(next() % 3));
  const std::string element(next() % 3, 'e');
  const unsigned what = next();
  std::string bytes = maker.Do(Ms(maker.made.size() + 1), [&](Edit& edit) {
    if ((what & 1) != 0) edit.SetString(key, element);
    if ((what & 2) != 0) (void)edit.Increment(key, 3, element);
    if ((what & 4) != 0) edit.HashSet(key, element, "7");
    if ((what & 8) != 0) (void)edit.HashIncrement(key, element, 5);
    if ((what & 16) != 0) edit.SortedSetIncrement(key, element, 1.5);
    if ((what & 32) != 0) edit.SetAdd(key, element);
    if ((what & 64) != 0) edit.StreamAdd(key, {{"f", "v"}});
    if ((what & 128) != 0) edit.RemoveKey(key);
    if (what == 3) edit.HllRaise(key, 5, 6);
    if (what == 7) edit.SetExpiry(key, 9);
  });
  const std::size_t at = next();
  if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ static_cast<char>(next()));
  return bytes;
}

void Run(std::string_view input) {
  if (input.empty()) return;
  const auto policy = static_cast<keyspace::Conflict>(1 + static_cast<unsigned>(input[0]) % 3);
  input.remove_prefix(1);
  Replica cached(NodeId(1), policy, {});
  Replica maker(NodeId(2), policy, {});
  Replica bare(NodeId(1), policy, {.cache_bytes_max = 0, .whole_cells_max = 0});
  while (!input.empty()) {
    const unsigned how = static_cast<unsigned char>(input.front()) % 4;
    input.remove_prefix(1);
    const bool whole_cell = how == 1;
    std::string made;
    std::optional<std::string_view> first;
    if (how >= 2) first = made = Make(maker, input);
    if (how < 2) first = GetLengthPrefixed(input);
    if (!first) break;
    const auto before = Cells(*cached.store);
    bool joined = false;
    if (whole_cell) {
      const auto second = GetLengthPrefixed(input);
      if (!second) break;
      joined = cached.store->JoinCell(kShard, *first, *second).has_value();
      COT_ASSERT(bare.store->JoinCell(kShard, *first, *second).has_value() == joined);
    } else if (const auto view = leaderless::DecodeMutation(*first)) {
      MutationView here = *view;
      here.shard = kShard;
      joined = cached.store->Apply(here).has_value();
      COT_ASSERT(bare.store->Apply(here).has_value() == joined);
    }
    if (!joined) COT_ASSERT(Cells(*cached.store) == before);
  }
  COT_ASSERT(Cells(*cached.store) == Cells(*bare.store));
  for (Replica* each : {&cached, &bare}) {
    ReadAll(*each->store);
    const auto keys = each->store->KeyCount(kShard);
    const auto tombstones = each->store->tombstones(kShard);
    const auto cells = Cells(*each->store);
    each->WriteBack();
    each->store.reset();
    each->Start();
    COT_ASSERT(each->store->KeyCount(kShard) == keys);
    COT_ASSERT(each->store->tombstones(kShard) == tombstones);
    COT_ASSERT(Cells(*each->store) == cells);
    ReadAll(*each->store);
    COT_ASSERT(each->store->Purge(kShard, each->applied(), 1000).has_value());
  }
}

}  // namespace
}  // namespace coterie::cells::testing

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  coterie::cells::testing::Run({reinterpret_cast<const char*>(data), size});
  return 0;
}
