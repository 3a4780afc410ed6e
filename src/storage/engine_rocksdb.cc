#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/iterator.h>
#include <rocksdb/options.h>
#include <rocksdb/slice.h>
#include <rocksdb/slice_transform.h>
#include <rocksdb/snapshot.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "storage/durable_dir.h"
#include "storage/engine.h"

namespace coterie::storage {
namespace {

using runtime::Task;
using runtime::World;

rocksdb::Slice SliceOf(std::string_view bytes) { return {bytes.data(), bytes.size()}; }
std::string_view ViewOf(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

ErrorCode CodeOf(const rocksdb::Status& status) {
  if (status.IsNoSpace()) return ErrorCode::kDiskFull;
  if (status.IsCorruption()) return ErrorCode::kCorruptState;
  return ErrorCode::kIo;
}

Status ToStatus(const rocksdb::Status& status) {
  if (status.ok()) return Ok();
  return FailUnknown(CodeOf(status), status.ToString());
}

/// Errors of opening: a file that is missing or not as the manifest says is damage, too.
ErrorCode OpenCodeOf(const rocksdb::Status& status) {
  if (status.IsNotSupported()) return ErrorCode::kNewerData;
  if (status.IsNoSpace()) return ErrorCode::kDiskFull;
  const std::string text = status.ToString();
  if (status.IsIOError() && text.find("lock") != std::string::npos) return ErrorCode::kDataDirInUse;
  const bool missing = text.find("No such file") != std::string::npos;
  return status.IsIOError() && !missing ? ErrorCode::kIo : ErrorCode::kCorruptState;
}

/// A record's key without its version: what the filters of FirstVersion are made of.
class WithoutVersion final : public rocksdb::SliceTransform {
 public:
  const char* Name() const override { return "coterie.WithoutVersion"; }
  bool InDomain(const rocksdb::Slice& key) const override {
    return key.size() > Engine::kVersionBytes;
  }
  rocksdb::Slice Transform(const rocksdb::Slice& key) const override {
    return {key.data(), key.size() - Engine::kVersionBytes};
  }
};

rocksdb::BlockBasedTableOptions TableOptions(const RocksOptions& options) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(options.block_cache_bytes, /*num_shard_bits=*/2);
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.cache_index_and_filter_blocks = true;  // so that the cache bounds them
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  table.format_version = 5;
  table.checksum = rocksdb::kXXH3;
  return table;
}

rocksdb::Options DbOptions(const RocksOptions& options) {
  rocksdb::Options db;
  db.create_if_missing = true;
  db.paranoid_checks = true;
  db.table_factory.reset(rocksdb::NewBlockBasedTableFactory(TableOptions(options)));
  db.write_buffer_size = options.memtable_bytes;
  db.max_write_buffer_number = 3;
  db.max_background_jobs = 2;
  // Versions are never overwritten: a first-level file gains little from being merged early.
  db.level0_file_num_compaction_trigger = 8;
  db.max_open_files = 512;
  db.level_compaction_dynamic_level_bytes = true;
  // New data is rewritten soon; what stays is worth compressing.
  db.compression_per_level = {rocksdb::kNoCompression, rocksdb::kNoCompression,
                              rocksdb::kLZ4Compression};
  db.prefix_extractor = std::make_shared<WithoutVersion>();
  db.memtable_prefix_bloom_size_ratio = 0.05;
  // No memtable insert hints, though they spare a quarter of an insert's time: 7.8 keeps one hint
  // for the points and the range deletions of a prefix, and so breaks its list.
  // One reactor writes: the machinery for concurrent writers only costs.
  db.allow_concurrent_memtable_write = false;
  db.enable_write_thread_adaptive_yield = false;
  // The write-ahead log has everything since the last Flush; do not make closing wait for a flush.
  db.avoid_flush_during_shutdown = true;
  db.info_log_level = rocksdb::WARN_LEVEL;
  db.max_log_file_size = 1u << 20;
  db.keep_log_file_num = 2;
  db.stats_dump_period_sec = 0;
  db.stats_persist_period_sec = 0;
  return db;
}

class RocksView final : public ReadView {
 public:
  explicit RocksView(rocksdb::DB& db) : db_(db), snapshot_(db.GetSnapshot()) {}
  ~RocksView() override { db_.ReleaseSnapshot(snapshot_); }
  const rocksdb::Snapshot* snapshot() const { return snapshot_; }

 private:
  rocksdb::DB& db_;
  const rocksdb::Snapshot* snapshot_;
};

rocksdb::ReadOptions ReadOptionsOf(const ReadView* view) {
  rocksdb::ReadOptions options;
  options.verify_checksums = true;
  if (view != nullptr) options.snapshot = static_cast<const RocksView*>(view)->snapshot();
  return options;
}

class RocksIterator final : public Iterator {
 public:
  RocksIterator(rocksdb::DB& db, std::string lower, std::string upper, const ReadView* view)
      : lower_(std::move(lower)),
        upper_(std::move(upper)),
        lower_slice_(lower_),
        upper_slice_(upper_) {
    rocksdb::ReadOptions options = ReadOptionsOf(view);
    options.total_order_seek = true;  // prefixes are FirstVersion's alone
    options.iterate_lower_bound = &lower_slice_;
    if (!upper_.empty()) options.iterate_upper_bound = &upper_slice_;
    it_.reset(db.NewIterator(options));
  }
  bool Valid() const override { return it_->Valid(); }
  void Seek(std::string_view key) override { it_->Seek(SliceOf(key)); }
  void SeekForPrev(std::string_view key) override {
    if (!upper_.empty() && key >= std::string_view(upper_)) return it_->SeekToLast();
    it_->SeekForPrev(SliceOf(key));
  }
  void SeekToFirst() override { it_->SeekToFirst(); }
  void SeekToLast() override { it_->SeekToLast(); }
  void Next() override {
    COT_ASSERT(it_->Valid());
    it_->Next();
  }
  void Prev() override {
    COT_ASSERT(it_->Valid());
    it_->Prev();
  }
  std::string_view key() const override {
    COT_ASSERT(it_->Valid());
    return ViewOf(it_->key());
  }
  std::string_view value() const override {
    COT_ASSERT(it_->Valid());
    return ViewOf(it_->value());
  }
  Status status() const override { return ToStatus(it_->status()); }

 private:
  const std::string lower_;
  const std::string upper_;
  const rocksdb::Slice lower_slice_;
  const rocksdb::Slice upper_slice_;
  std::unique_ptr<rocksdb::Iterator> it_;
};

/// The changes in an order that the memtable takes in faster: neighbours after each other. Those of
/// one key keep their order, and others do not touch each other unless a range is deleted.
std::vector<const Batch::Change*> InKeyOrder(const Batch& batch) {
  std::vector<const Batch::Change*> order;
  order.reserve(batch.changes().size());
  bool ranges = false;
  for (const Batch::Change& change : batch.changes()) {
    ranges = ranges || change.kind == Batch::Kind::kDeleteRange;
    order.push_back(&change);
  }
  if (ranges) return order;
  std::ranges::sort(order, [](const Batch::Change* a, const Batch::Change* b) {
    const int compared = a->key.compare(b->key);
    return compared != 0 ? compared < 0 : a < b;  // of one vector: the earlier change first
  });
  return order;
}

class RocksEngine final : public Engine {
 public:
  RocksEngine(World& world, std::shared_ptr<rocksdb::DB> db) : world_(world), db_(std::move(db)) {}

  Status Write(Batch batch) override {
    rocksdb::WriteBatch out(batch.bytes() + 16 * batch.changes().size() + 16);
    for (const Batch::Change* next : InKeyOrder(batch)) {
      const Batch::Change& change = *next;
      rocksdb::Status added;
      switch (change.kind) {
        case Batch::Kind::kPut:
          added = out.Put(change.key, change.value);
          break;
        case Batch::Kind::kDelete:
          added = out.Delete(change.key);
          break;
        case Batch::Kind::kDeleteRange:
          if (change.key < change.value) added = out.DeleteRange(change.key, change.value);
          break;
      }
      COT_TRY(ToStatus(added));
    }
    rocksdb::WriteOptions options;
    options.disableWAL = true;
    return ToStatus(db_->Write(options, &out));
  }

  Result<std::optional<std::string>> Get(std::string_view key,
                                         const ReadView* view) const override {
    std::string value;
    const rocksdb::Status got =
        db_->Get(ReadOptionsOf(view), db_->DefaultColumnFamily(), SliceOf(key), &value);
    if (got.IsNotFound()) return std::optional<std::string>();
    COT_TRY(ToStatus(got));
    return std::optional<std::string>(std::move(value));
  }
  std::unique_ptr<ReadView> View() const override { return std::make_unique<RocksView>(*db_); }
  std::unique_ptr<Iterator> Iterate(std::string lower, std::string upper,
                                    const ReadView* view) const override {
    return std::make_unique<RocksIterator>(*db_, std::move(lower), std::move(upper), view);
  }

  Result<std::optional<Record>> FirstVersion(std::string_view prefix) const override {
    rocksdb::ReadOptions options = ReadOptionsOf(nullptr);
    options.prefix_same_as_start = true;
    const std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator(options));
    it->Seek(std::string(prefix) + std::string(kVersionBytes, '\0'));
    COT_TRY(ToStatus(it->status()));
    if (!it->Valid()) return std::optional<Record>();
    COT_ASSERT(it->key().size() == prefix.size() + kVersionBytes);
    return Record{it->key().ToString(), it->value().ToString()};
  }

  Task<Status> Flush() override {
    // Shared with the work, which may outlive this frame and the Engine.
    auto result = std::make_shared<rocksdb::Status>();
    std::function<void()> work = [db = db_, result] {
      rocksdb::FlushOptions options;
      options.wait = true;
      options.allow_write_stall = true;
      *result = db->Flush(options);
    };
    co_await world_.Offload(std::move(work));
    co_return ToStatus(*result);
  }

  std::uint64_t ApproximateBytes() const override {
    std::uint64_t files = 0;
    std::uint64_t memtables = 0;
    db_->GetIntProperty(rocksdb::DB::Properties::kLiveSstFilesSize, &files);
    db_->GetIntProperty(rocksdb::DB::Properties::kCurSizeAllMemTables, &memtables);
    return files + memtables;
  }

 private:
  World& world_;
  std::shared_ptr<rocksdb::DB> db_;
};

struct Opening {
  rocksdb::Status status;
  std::shared_ptr<rocksdb::DB> db;
};

Task<Result<std::unique_ptr<Engine>>> OpenRocksEngine(World& world, std::string dir,
                                                      RocksOptions options) {
  COT_CO_TRY(co_await MakeDirDurable(world.disk(), dir));
  auto opening = std::make_shared<Opening>();
  std::function<void()> work = [opening, dir, options] {
    rocksdb::DB* db = nullptr;
    opening->status = rocksdb::DB::Open(DbOptions(options), dir, &db);
    opening->db.reset(db);
  };
  co_await world.Offload(std::move(work));
  if (!opening->status.ok()) {
    co_return Fail(OpenCodeOf(opening->status), dir + ": " + opening->status.ToString());
  }
  COT_ASSERT(opening->db != nullptr);
  co_return std::make_unique<RocksEngine>(world, std::move(opening->db));
}

}  // namespace

EngineFactory RocksEngineFactory(RocksOptions options) {
  return [options](World& world, std::string dir) {
    return OpenRocksEngine(world, std::move(dir), options);
  };
}

}  // namespace coterie::storage
