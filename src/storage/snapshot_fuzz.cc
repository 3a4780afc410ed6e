#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/coding.h"
#include "storage/engine.h"
#include "storage/snapshot_stream.h"
#include "storage/testing/test_world.h"

// Any bytes as the chunks of a snapshot: the writer takes or refuses each, and what it refused
// changed nothing. The first byte says whether the input's own checksums count.

namespace coterie::storage {
namespace {

void ApplyChunks(std::string_view input) {
  if (input.empty()) return;
  const bool mend = (input.front() & 1) != 0;
  input.remove_prefix(1);
  testing::TestWorld world;
  auto engine = world.Run(MemoryEngineFactory()(world, "e"));
  COT_ASSERT(engine.has_value());
  SnapshotWriter writer(**engine);
  while (!input.empty()) {
    const auto bytes = GetLengthPrefixed(input);
    if (!bytes) return;
    std::string chunk(*bytes);
    if (mend && chunk.size() > 4) {
      const std::size_t body = chunk.size() - 4;
      StoreFixed32(chunk.data() + body, Crc32c(std::string_view(chunk).substr(0, body)));
    }
    const std::string before = writer.cursor();
    const Status applied = writer.Apply(chunk);
    if (!applied) COT_ASSERT(writer.cursor() == before);
  }
}

}  // namespace
}  // namespace coterie::storage

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  coterie::storage::ApplyChunks({reinterpret_cast<const char*>(data), size});
  return 0;
}
