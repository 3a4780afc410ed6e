#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "crdt/cell.h"

namespace {

using namespace coterie::crdt;

void Require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

// Arbitrary bytes: no crash; what decodes is the decoding of its own encoding; joining and changing
// it makes nothing that cannot be encoded and decoded.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view all(reinterpret_cast<const char*>(bytes) + 1, size - 1);
  const std::size_t cut = std::min<std::size_t>(bytes[0], all.size());
  const auto a = Decode(all.substr(0, cut));
  const auto b = Decode(all.substr(cut));
  for (const auto& cell : {a, b}) {
    if (cell) Require(Decode(Encode(*cell)) == cell);
  }
  if (!a || !b) return 0;
  Cell joined = *a;
  Join(joined, *b, Merge::kLastWriter);
  Require(Decode(Encode(joined)) == joined);
  const auto actor = coterie::clock::MakeActor(coterie::NodeId(1), 0);
  if (joined.context.Get(actor) == UINT64_MAX) return 0;
  const Dot dot{actor, joined.context.Get(actor) + 1};
  for (const Cell& delta :
       {Assign(joined, dot, {}, "v"), AssignOver(joined, b->context, dot, {}, "v"),
        Remove(joined, dot, {}), Add(joined, dot, {}, -1), AddReal(joined, dot, {}, 1.5)}) {
    Require(Decode(Encode(delta)) == delta);
    Cell after = joined;
    Join(after, delta, Merge::kGreatest);
    Require(Decode(Encode(after)) == after);
  }
  return 0;
}
