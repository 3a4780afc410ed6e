#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/status.h"
#include "runtime/sim/knobs.h"

namespace coterie::runtime {

/// A file's content: what reads see, and how much of it would survive the machine's death. Kept in
/// sparse pages; absent ones are zeroes.
class SimInode {
 public:
  static constexpr std::size_t kPageBytes = 4096;
  static constexpr std::size_t kSectorBytes = 512;
  static constexpr std::size_t kSectorsPerPage = kPageBytes / kSectorBytes;

  std::uint64_t size() const { return size_; }
  /// The bytes of pages that exist.
  std::uint64_t allocated() const { return pages_.size() * kPageBytes; }
  std::string Read(std::uint64_t offset, std::size_t size) const;
  void Write(std::uint64_t offset, std::string_view data);
  void Truncate(std::uint64_t size);
  void Extend(std::uint64_t size);
  /// Everything written so far is durable.
  void Sync();
  /// A failed fsync: what was unsynced is marked clean and will never reach the disk.
  void LoseUnsynced();
  /// The machine dies: each `unit` with an unsynced sector is kept, dropped, torn or destroyed,
  /// with all that was in it, by a draw of its own; lost sectors are dropped.
  void Crash(Random& random, std::size_t unit);
  void FlipBit(std::uint64_t offset, int bit);
  bool HasUnsynced() const { return !touched_.empty() || size_ != durable_size_; }

 private:
  using Bytes = std::array<char, kPageBytes>;
  struct Page {
    Bytes now{};                     // what reads see
    std::unique_ptr<Bytes> durable;  // what the disk holds, where it differs
    std::uint8_t dirty = 0;          // a bit per sector: written, not synced
    std::uint8_t lost = 0;           // a bit per sector: a failed sync forgot it
  };
  Page& Touch(std::uint64_t page, std::uint8_t sectors);
  static std::size_t CrashUnit(Page& page, std::size_t first, std::size_t last, Random& random);

  std::map<std::uint64_t, Page> pages_;
  std::vector<std::uint64_t> touched_;  // pages with a dirty sector
  std::uint64_t size_ = 0;
  std::uint64_t durable_size_ = 0;
};

/// One machine's disk: it outlives the node's incarnations. Names are a journal of changes on top
/// of what the last SyncDir of each directory made durable.
class DiskImage {
 public:
  explicit DiskImage(std::uint64_t seed) : random_(seed) {}

  using InodePtr = std::shared_ptr<SimInode>;  // null for a directory
  DiskKnobs knobs;

  /// "a//b/./c/" -> "a/b/c"; ".." is taken literally.
  static std::string Normalize(std::string_view path);
  static std::string ParentOf(const std::string& path);

  const InodePtr* Find(const std::string& path) const;
  bool IsDir(const std::string& path) const;
  Result<InodePtr> Create(const std::string& path);
  Status Rename(const std::string& from, const std::string& to);
  void Remove(const std::string& path);
  Status MakeDir(const std::string& path);
  Status SyncDir(const std::string& path);
  Result<std::vector<std::string>> List(const std::string& path) const;
  std::uint64_t UsedBytes() const;

  /// What the machine's death does to what was not synced.
  void Crash();
  /// The disk is replaced by an empty one.
  void Wipe();
  /// The next Sync of any file fails as DiskKnobs::sync_failure says.
  void FailNextSync() { fail_next_sync_ = true; }
  bool DrawSyncFailure();
  /// Flips one bit of a file, durably. False if there is no such byte.
  bool FlipBit(const std::string& path, std::uint64_t offset, int bit);

  Random& random() { return random_; }

 private:
  using Names = std::map<std::string, InodePtr, std::less<>>;
  struct Change {  // inode set: `to` names it; else `to` is gone. `from`, if set, is gone with it.
    std::string from;
    std::string to;
    InodePtr inode;
    bool is_removal = false;
  };
  static void Apply(const Change& change, Names& names);
  void Note(Change change);

  Random random_;
  bool fail_next_sync_ = false;
  Names now_;
  Names durable_;
  std::vector<Change> journal_;  // from durable_ to now_, in order
};

}  // namespace coterie::runtime
