#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/coding.h"
#include "storage/testing/test_world.h"
#include "storage/wal.h"
#include "storage/wal_format.h"
#include "storage/wal_segments.h"

// Any bytes as segment files: Open answers an error or a log that works, and never crashes. The
// first byte says whether checksums are made right, so that the fuzzer gets past them; the second
// where the input is cut into two segments.

namespace coterie::storage {
namespace {

/// Gives every frame header in `segment` the place it is at and the right checksum.
void Mend(std::string& segment, std::uint64_t number) {
  for (std::size_t at = 0; at + wal::kHeaderBytes <= segment.size(); at += wal::kAlignment) {
    char* header = segment.data() + at;
    if (header[0] == 0) continue;
    StoreFixed32(header, wal::kMagic);
    StoreFixed32(header + 4, 1);
    StoreFixed64(header + 8, 1);
    StoreFixed64(header + 16, number);
    StoreFixed64(header + 24, at);
    const std::size_t room = segment.size() - at - wal::kHeaderBytes;
    const std::uint32_t body = static_cast<std::uint32_t>(LoadFixed32(header + 40) % (room + 1));
    StoreFixed32(header + 40, body);
    const std::string_view frame = std::string_view(segment).substr(at, wal::kHeaderBytes + body);
    StoreFixed32(header + 44, Crc32c(frame.substr(wal::kHeaderBytes), Crc32c(frame.substr(0, 44))));
  }
}

void OpenOne(std::string_view input) {
  if (input.size() < 2) return;
  const bool mend = (input[0] & 1) != 0;
  const std::size_t cut = static_cast<unsigned char>(input[1]) * wal::kAlignment / 8;
  input.remove_prefix(2);
  testing::DiskImage image;
  image.dirs = {"d", "d/wal"};
  std::string first(input.substr(0, cut));
  std::string second(input.substr(std::min(cut, input.size())));
  if (mend) Mend(first, 1);
  if (mend) Mend(second, 2);
  image.files["d/wal/" + wal::SegmentName(1)] = std::move(first);
  if (!second.empty()) image.files["d/wal/" + wal::SegmentName(2)] = std::move(second);
  testing::TestWorld world(std::move(image));
  const WalOptions options{.segment_bytes = 8192};
  auto opened = world.Run(Wal::Open(world, "d/wal", options));
  if (!opened) return;
  const std::size_t shards = (*opened)->TakeRecovered().size();
  opened->reset();
  // What opened once opens again, with the same shards.
  auto again = world.Run(Wal::Open(world, "d/wal", options));
  COT_ASSERT(again.has_value());
  COT_ASSERT((*again)->TakeRecovered().size() == shards);
}

}  // namespace
}  // namespace coterie::storage

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  coterie::storage::OpenOne({reinterpret_cast<const char*>(data), size});
  return 0;
}
