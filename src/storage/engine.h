#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "runtime/task.h"
#include "runtime/world.h"

namespace coterie::storage {

/// Changes that an Engine takes all together or not at all, in order.
class Batch {
 public:
  enum class Kind : std::uint8_t { kPut, kDelete, kDeleteRange };
  struct Change {
    Kind kind;
    std::string key;    // the begin of [key, value) for kDeleteRange
    std::string value;  // the end for kDeleteRange
  };
  void Put(std::string key, std::string value) {
    bytes_ += key.size() + value.size();
    changes_.push_back({Kind::kPut, std::move(key), std::move(value)});
  }
  void Delete(std::string key) {
    bytes_ += key.size();
    changes_.push_back({Kind::kDelete, std::move(key), {}});
  }
  void DeleteRange(std::string begin, std::string end) {
    bytes_ += begin.size() + end.size();
    changes_.push_back({Kind::kDeleteRange, std::move(begin), std::move(end)});
  }
  const std::vector<Change>& changes() const { return changes_; }
  /// Moves the changes out; the batch is empty afterwards.
  std::vector<Change> TakeChanges() {
    bytes_ = 0;
    return std::exchange(changes_, {});
  }
  bool empty() const { return changes_.empty(); }
  std::size_t bytes() const { return bytes_; }
  void Clear() {
    changes_.clear();
    bytes_ = 0;
  }

 private:
  std::vector<Change> changes_;
  std::size_t bytes_ = 0;
};

/// A consistent state of the Engine, unchanged by later writes. Destroy it before the Engine.
class ReadView {
 public:
  virtual ~ReadView() = default;
};

/// A position in the ordered map, within the bounds it was made with. Views are valid until it
/// moves.
class Iterator {
 public:
  virtual ~Iterator() = default;
  virtual bool Valid() const = 0;
  /// To the first key >= `key`; to the last key <= `key`.
  virtual void Seek(std::string_view key) = 0;
  virtual void SeekForPrev(std::string_view key) = 0;
  virtual void SeekToFirst() = 0;
  virtual void SeekToLast() = 0;
  virtual void Next() = 0;
  virtual void Prev() = 0;
  virtual std::string_view key() const = 0;
  virtual std::string_view value() const = 0;
  /// Why it stopped being Valid: ok at an end, kCorruptState or kIo on damage.
  virtual Status status() const = 0;
};

/// An ordered map of byte strings, compared as unsigned bytes. Writes are atomic and visible at
/// once, but durable only after Flush: durability comes from the write-ahead log, from which
/// everything after the last flushed state is applied again. After a crash the Engine holds a
/// prefix of the batches written: all up to the last Flush, and perhaps some later ones.
class Engine {
 public:
  virtual ~Engine() = default;
  /// Errors (kIo, kDiskFull, kCorruptState) leave the Engine unusable: crash and recover.
  virtual Status Write(Batch batch) = 0;
  /// nullopt: no such key. `view` nullptr: the latest state.
  virtual Result<std::optional<std::string>> Get(std::string_view key,
                                                 const ReadView* view = nullptr) const = 0;
  virtual std::unique_ptr<ReadView> View() const = 0;
  /// Iterates [lower, upper) (upper "": to the end) of `view`, or of the state at this call. Not
  /// yet positioned. Destroy it before the Engine and before `view`.
  virtual std::unique_ptr<Iterator> Iterate(std::string lower, std::string upper,
                                            const ReadView* view = nullptr) const = 0;
  /// The first of the records whose keys are `prefix` and a version of eight bytes, in order;
  /// nullopt: there is none, which an Engine may know without a search. `prefix` must not be the
  /// beginning of other records' prefixes.
  struct Record {
    std::string key;
    std::string value;
  };
  static constexpr std::size_t kVersionBytes = 8;
  virtual Result<std::optional<Record>> FirstVersion(std::string_view prefix) const;
  /// Makes every batch written before this call durable.
  virtual runtime::Task<Status> Flush() = 0;
  /// Bytes on disk and in memory, roughly.
  virtual std::uint64_t ApproximateBytes() const = 0;
};

/// Opens, or creates, an Engine in a directory of its own.
using EngineFactory = std::function<runtime::Task<Result<std::unique_ptr<Engine>>>(
    runtime::World& world, std::string dir)>;

/// In-memory map; Flush writes the whole of it to one checksummed file through the World's Disk.
/// For simulation and tests: O(state) per Flush.
EngineFactory MemoryEngineFactory();

/// RocksDB with its own write-ahead log off. Real world only: it owns threads and files. In a
/// library of its own, coterie_storage_rocksdb.
struct RocksOptions {
  std::size_t block_cache_bytes = 64u << 20;
  std::size_t memtable_bytes = 32u << 20;
};
EngineFactory RocksEngineFactory(RocksOptions options = {});

}  // namespace coterie::storage
