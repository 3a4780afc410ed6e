#include "storage/wal_end_mark.h"

#include <utility>

#include "base/coding.h"
#include "storage/durable_dir.h"

namespace coterie::storage::wal {

using runtime::Disk;
using runtime::Task;

namespace {

// Slot: magic u32, version u32, sequence u64, log id u64, frame number u64, flags u32 (1: cut),
// CRC32C u32 of all before it; zeros to the next slot.
constexpr std::uint32_t kMagic = 0x444e4543;  // "CEND"
constexpr std::uint32_t kVersion = 1;
constexpr std::uint32_t kCut = 1;
constexpr std::size_t kChecksumAt = 36;
constexpr std::size_t kSlotBytes = 40;
constexpr std::uint64_t kSlots = 2;
// A unit of its own, whatever the disk's is, up to 4 KiB: larger ones are not sectors.
constexpr std::uint64_t kSlotStride = 4096;

struct Slot {
  std::uint64_t sequence;
  EndMark mark;
};

std::optional<Slot> Parse(std::string_view bytes) {
  if (bytes.size() < kSlotBytes || LoadFixed32(bytes.data()) != kMagic) return std::nullopt;
  const std::uint32_t checksum = LoadFixed32(bytes.data() + kChecksumAt);
  if (Crc32c(bytes.substr(0, kChecksumAt)) != checksum) return std::nullopt;
  return Slot{.sequence = LoadFixed64(bytes.data() + 8),
              .mark = {.log_id = LoadFixed64(bytes.data() + 16),
                       .number = LoadFixed64(bytes.data() + 24),
                       .cut = (LoadFixed32(bytes.data() + 32) & kCut) != 0}};
}

}  // namespace

Task<Result<std::unique_ptr<EndMarkFile>>> EndMarkFile::Open(Disk& disk, std::string path) {
  auto mark = std::make_unique<EndMarkFile>();
  COT_CO_ASSIGN(mark->file_, co_await disk.Open(path, Disk::Mode::kOpenOrCreate));
  COT_CO_TRY(co_await disk.SyncDir(ParentOf(path)));
  for (std::uint64_t slot = 0; slot < kSlots; ++slot) {
    COT_CO_ASSIGN(const std::string bytes,
                  co_await mark->file_->Read(slot * kSlotStride, kSlotBytes));
    const auto parsed = Parse(bytes);
    if (!parsed || parsed->sequence < mark->sequence_) continue;
    mark->sequence_ = parsed->sequence;
    mark->found_ = parsed->mark;
  }
  co_return std::move(mark);
}

Task<Status> EndMarkFile::Write(EndMark mark) {
  std::string bytes(kSlotStride, '\0');
  char* const out = bytes.data();
  ++sequence_;
  StoreFixed32(out, kMagic);
  StoreFixed32(out + 4, kVersion);
  StoreFixed64(out + 8, sequence_);
  StoreFixed64(out + 16, mark.log_id);
  StoreFixed64(out + 24, mark.number);
  StoreFixed32(out + 32, mark.cut ? kCut : 0);
  StoreFixed32(out + kChecksumAt, Crc32c(std::string_view(bytes).substr(0, kChecksumAt)));
  auto written = co_await file_->WriteAndSync(sequence_ % kSlots * kSlotStride, std::move(bytes));
  co_return written;
}

}  // namespace coterie::storage::wal
