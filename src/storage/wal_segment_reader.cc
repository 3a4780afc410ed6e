#include "storage/wal_segment_reader.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "storage/wal_mutant.h"

namespace coterie::storage::wal {

using runtime::Disk;
using runtime::Task;

namespace {
constexpr std::size_t kWindowBytes = 256u << 10;
}

Task<Result<SegmentReader>> SegmentReader::Open(Disk& disk, std::string path,
                                                std::uint64_t segment) {
  SegmentReader reader;
  COT_CO_ASSIGN(reader.file_, co_await disk.Open(path, Disk::Mode::kOpenExisting));
  COT_CO_ASSIGN(reader.file_bytes_, co_await reader.file_->Size());
  reader.path_ = std::move(path);
  reader.segment_ = segment;
  co_return std::move(reader);
}

Task<Result<std::string_view>> SegmentReader::Window(std::uint64_t offset, std::size_t size) {
  const bool inside = offset >= window_at_ && offset + size <= window_at_ + window_.size();
  if (!inside) {
    const std::uint64_t left = file_bytes_ - std::min(offset, file_bytes_);
    const std::size_t want = std::min<std::uint64_t>(std::max(size, kWindowBytes), left);
    window_.clear();
    COT_CO_ASSIGN(window_, co_await file_->Read(offset, want));
    window_at_ = offset;
  }
  COT_ASSERT(offset >= window_at_);
  const std::size_t skip = std::min<std::size_t>(offset - window_at_, window_.size());
  co_return std::string_view(window_).substr(skip, size);
}

bool SegmentReader::IsPlace(const FrameHeader& header, std::uint64_t offset,
                            std::optional<std::uint64_t> log_id) const {
  if (kMutantChecksumWithoutPlace) return true;
  if (log_id && header.place.log_id != *log_id) return false;
  return header.place.segment == segment_ && header.place.offset == offset;
}

Task<Result<std::optional<Frame>>> SegmentReader::Read(std::uint64_t offset,
                                                       std::optional<std::uint64_t> log_id) {
  COT_ASSERT(offset % kAlignment == 0);
  std::optional<Frame> none;
  COT_CO_ASSIGN(const std::string_view head, co_await Window(offset, kHeaderBytes));
  if (head.size() < kHeaderBytes) co_return none;
  const auto header = ParseHeader(head);
  if (!header || !IsPlace(*header, offset, log_id)) co_return none;
  const std::uint64_t bytes = kHeaderBytes + header->body_bytes;
  if (bytes > file_bytes_ - offset) co_return none;
  COT_CO_ASSIGN(const std::string_view frame, co_await Window(offset, bytes));
  if (frame.size() < bytes || !ChecksumHolds(*header, frame)) co_return none;
  if (header->version > kVersion) {
    co_return Fail(ErrorCode::kNewerData, path_ + " has frames of a later version");
  }
  co_return Frame{*header, frame.substr(kHeaderBytes)};
}

Task<Result<bool>> SegmentReader::IsBlank(std::uint64_t offset) {
  COT_CO_ASSIGN(const std::string_view head, co_await Window(offset, kHeaderBytes));
  if (head.find_first_not_of('\0') == std::string_view::npos) co_return true;
  if (head.size() < kHeaderBytes) co_return false;
  const auto header = ParseHeader(head);
  co_return header && header->place.segment != segment_;
}

Task<Result<std::optional<std::uint64_t>>> SegmentReader::Find(
    std::uint64_t from, std::optional<std::uint64_t> log_id) {
  COT_ASSERT(from % kAlignment == 0);
  while (from + kHeaderBytes <= file_bytes_) {
    COT_CO_ASSIGN(const std::string_view window, co_await Window(from, kWindowBytes));
    if (window.size() < kHeaderBytes) break;
    std::optional<std::uint64_t> candidate;
    std::uint64_t end = from;
    for (; end + kHeaderBytes <= from + window.size() && !candidate; end += kAlignment) {
      const auto header = ParseHeader(window.substr(end - from, kHeaderBytes));
      if (header && IsPlace(*header, end, log_id)) candidate = end;
    }
    if (candidate) {
      COT_CO_ASSIGN(const auto frame, co_await Read(*candidate, log_id));
      if (frame) co_return candidate;
    }
    COT_ASSERT(end > from);
    from = end;
  }
  co_return std::optional<std::uint64_t>();
}

}  // namespace coterie::storage::wal
