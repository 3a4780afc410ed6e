#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "runtime/sim/disk_image.h"

namespace coterie::runtime {
namespace {

/// The sectors of a page that [first, last) of it touches, a bit each.
std::uint8_t SectorMask(std::size_t first, std::size_t last) {
  std::uint8_t mask = 0;
  for (std::size_t s = first / SimInode::kSectorBytes; s * SimInode::kSectorBytes < last; ++s) {
    mask = static_cast<std::uint8_t>(mask | (1u << s));
  }
  return mask;
}

}  // namespace

std::string SimInode::Read(std::uint64_t offset, std::size_t size) const {
  if (offset >= size_) return {};
  std::string out(std::min<std::uint64_t>(size, size_ - offset), '\0');
  std::size_t done = 0;
  while (done < out.size()) {
    const std::uint64_t at = offset + done;
    const std::size_t within = at % kPageBytes;
    const std::size_t part = std::min(kPageBytes - within, out.size() - done);
    const auto page = pages_.find(at / kPageBytes);
    if (page != pages_.end())
      std::memcpy(out.data() + done, page->second.now.data() + within, part);
    done += part;
  }
  return out;
}

SimInode::Page& SimInode::Touch(std::uint64_t number, std::uint8_t sectors) {
  Page& page = pages_[number];
  if (page.durable == nullptr) page.durable = std::make_unique<Bytes>(page.now);
  if (page.dirty == 0) touched_.push_back(number);
  page.dirty = static_cast<std::uint8_t>(page.dirty | sectors);
  page.lost = static_cast<std::uint8_t>(page.lost & ~sectors);
  return page;
}

void SimInode::Write(std::uint64_t offset, std::string_view data) {
  const std::uint64_t end = offset + data.size();
  while (!data.empty()) {
    const std::size_t within = offset % kPageBytes;
    const std::size_t part = std::min(kPageBytes - within, data.size());
    Page& page = Touch(offset / kPageBytes, SectorMask(within, within + part));
    std::memcpy(page.now.data() + within, data.data(), part);
    data.remove_prefix(part);
    offset += part;
  }
  size_ = std::max(size_, end);
}

void SimInode::Truncate(std::uint64_t size) {
  if (size >= size_) return Extend(size);
  for (auto at = pages_.lower_bound(size / kPageBytes); at != pages_.end(); ++at) {
    const std::uint64_t start = at->first * kPageBytes;
    const std::size_t from = size > start ? size - start : 0;
    Page& page = Touch(at->first, SectorMask(from, kPageBytes));
    std::memset(page.now.data() + from, 0, kPageBytes - from);
  }
  size_ = size;
}

void SimInode::Extend(std::uint64_t size) { size_ = std::max(size_, size); }

void SimInode::Sync() {
  for (const std::uint64_t number : touched_) {
    Page& page = pages_[number];
    if (page.lost == 0) {
      page.durable.reset();
    } else {
      for (std::size_t s = 0; s < kSectorsPerPage; ++s) {
        if ((page.dirty >> s & 1) == 0) continue;
        std::memcpy(page.durable->data() + s * kSectorBytes, page.now.data() + s * kSectorBytes,
                    kSectorBytes);
      }
    }
    page.dirty = 0;
  }
  touched_.clear();
  durable_size_ = size_;
}

void SimInode::LoseUnsynced() {
  for (const std::uint64_t number : touched_) {
    Page& page = pages_[number];
    page.lost = static_cast<std::uint8_t>(page.lost | page.dirty);
    page.dirty = 0;
  }
  touched_.clear();
  // The size stays unsynced: the next sync that succeeds makes it durable, with zeroes behind it.
}

/// What the sectors [first, last) of a page hold after the crash; answers up to where, within the
/// page, something unsynced reached the disk, or 0.
std::size_t SimInode::CrashUnit(Page& page, std::size_t first, std::size_t last, Random& random) {
  const std::size_t begin = first * kSectorBytes;
  const std::size_t end = last * kSectorBytes;
  unsigned dirty = 0;
  for (std::size_t s = first; s < last; ++s) dirty |= page.dirty & (1u << s);
  std::size_t new_to = begin;  // unsynced bytes before it reached the disk
  if (dirty != 0) {
    const std::uint64_t draw = random.Below(6);  // kept, kept, dropped, dropped, torn, destroyed
    if (draw < 2) new_to = end;
    if (draw == 4) new_to = begin + random.Below(end - begin);
    if (draw == 5) {
      for (std::size_t at = begin; at < end; ++at) page.now[at] = static_cast<char>(random.Next());
      return end;
    }
  }
  std::size_t kept_to = 0;
  for (std::size_t s = first; s < last; ++s) {
    const std::size_t at = s * kSectorBytes;
    const bool unsynced = (dirty >> s & 1) != 0;
    if (!unsynced && (page.lost >> s & 1) == 0) continue;
    const std::size_t kept = unsynced ? std::clamp(new_to, at, at + kSectorBytes) - at : 0;
    if (kept > 0) kept_to = at + kept;
    std::memcpy(page.now.data() + at + kept, page.durable->data() + at + kept, kSectorBytes - kept);
  }
  return kept_to;
}

void SimInode::Crash(Random& random, std::size_t unit) {
  COT_ASSERT(unit >= kSectorBytes && unit <= kPageBytes && kPageBytes % unit == 0);
  const std::uint64_t written = size_;
  // The new size, journalled by itself, or the old one, extended by the data that made it.
  const bool size_kept = random.Chance(0.5);
  const bool truncation_lost = !size_kept && written < durable_size_;
  std::uint64_t kept_to = 0;
  for (auto& [number, page] : pages_) {
    if (page.durable == nullptr) continue;
    const std::uint64_t start = number * kPageBytes;
    for (std::size_t s = 0; s < kSectorsPerPage; ++s) {
      if (!truncation_lost || start + (s + 1) * kSectorBytes <= written) continue;
      if ((page.dirty >> s & 1) == 0) continue;
      page.dirty = static_cast<std::uint8_t>(page.dirty & ~(1u << s));
      page.lost = static_cast<std::uint8_t>(page.lost | (1u << s));
    }
    for (std::size_t at = 0; at < kPageBytes; at += unit) {
      const std::size_t first = at / kSectorBytes;
      const std::size_t to = CrashUnit(page, first, first + unit / kSectorBytes, random);
      if (to > 0) kept_to = std::max(kept_to, start + to);
    }
    page.durable.reset();
    page.dirty = page.lost = 0;
  }
  touched_.clear();
  size_ = size_kept ? written : std::max(durable_size_, std::min(kept_to, written));
  durable_size_ = size_;
  // What lies past the end reads as zeroes should the file grow again.
  for (auto at = pages_.lower_bound(size_ / kPageBytes); at != pages_.end(); ++at) {
    const std::uint64_t start = at->first * kPageBytes;
    const std::size_t from = size_ > start ? size_ - start : 0;
    std::memset(at->second.now.data() + from, 0, kPageBytes - from);
  }
}

void SimInode::FlipBit(std::uint64_t offset, int bit) {
  COT_ASSERT(offset < size_);
  COT_ASSERT(bit >= 0 && bit < 8);
  Page& page = pages_[offset / kPageBytes];
  const std::size_t at = offset % kPageBytes;
  page.now[at] = static_cast<char>(page.now[at] ^ (1 << bit));
  if (page.durable != nullptr)
    (*page.durable)[at] = static_cast<char>((*page.durable)[at] ^ (1 << bit));
}

}  // namespace coterie::runtime
