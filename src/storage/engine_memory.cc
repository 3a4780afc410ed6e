#include <utility>

#include "base/assert.h"
#include "base/coding.h"
#include "runtime/sync.h"
#include "storage/durable_dir.h"
#include "storage/engine.h"
#include "storage/version_map.h"

namespace coterie::storage {
namespace {

using runtime::Task;
using runtime::World;

// The file: magic, format version, then count x (key, value) length-prefixed, then CRC32C of all
// before.
constexpr std::string_view kMagic = "COTMEMEN";
constexpr std::uint32_t kFormat = 1;
constexpr std::size_t kFileBytesMax = std::size_t{16} << 30;

class PinnedView final : public ReadView {
 public:
  explicit PinnedView(VersionMap& map) : map_(map), sequence_(map.Pin()) {}
  ~PinnedView() override { map_.Unpin(sequence_); }
  VersionMap::Sequence sequence() const { return sequence_; }

 private:
  VersionMap& map_;
  VersionMap::Sequence sequence_;
};

VersionMap::Sequence SequenceOf(const ReadView& view) {
  return static_cast<const PinnedView&>(view).sequence();
}

/// Its view, or else a pin of its own, keeps the cell it stands on from being collected under it.
class MapIterator final : public Iterator {
 public:
  MapIterator(VersionMap& map, std::string lower, std::string upper, const ReadView* view)
      : map_(map), lower_(std::move(lower)), upper_(std::move(upper)), at_(map.map().end()) {
    if (view == nullptr) pin_.emplace(map);
    sequence_ = view != nullptr ? SequenceOf(*view) : pin_->sequence();
  }

  bool Valid() const override { return value_ != nullptr; }
  void Seek(std::string_view key) override {
    at_ = map_.map().lower_bound(key < std::string_view(lower_) ? std::string_view(lower_) : key);
    SettleForward();
  }
  void SeekForPrev(std::string_view key) override {
    if (!upper_.empty() && key >= std::string_view(upper_)) return SeekToLast();
    SettleBackward(map_.map().upper_bound(key));
  }
  void SeekToFirst() override { Seek(lower_); }
  void SeekToLast() override {
    SettleBackward(upper_.empty() ? map_.map().end() : map_.map().lower_bound(upper_));
  }
  void Next() override {
    COT_ASSERT(Valid());
    ++at_;
    SettleForward();
  }
  void Prev() override {
    COT_ASSERT(Valid());
    SettleBackward(at_);
  }
  std::string_view key() const override {
    COT_ASSERT(Valid());
    return at_->first;
  }
  std::string_view value() const override {
    COT_ASSERT(Valid());
    return *value_;
  }
  Status status() const override { return Ok(); }

 private:
  void SettleForward() {
    for (value_ = nullptr; at_ != map_.map().end(); ++at_) {
      if (!upper_.empty() && at_->first >= upper_) return;
      value_ = VersionMap::ValueAt(at_->second, sequence_);
      if (value_ != nullptr) return;
    }
  }
  /// To the last visible key before `end`.
  void SettleBackward(VersionMap::Map::const_iterator end) {
    value_ = nullptr;
    while (end != map_.map().begin()) {
      --end;
      if (end->first < lower_) return;
      value_ = VersionMap::ValueAt(end->second, sequence_);
      if (value_ == nullptr) continue;
      at_ = end;
      return;
    }
  }

  VersionMap& map_;
  std::optional<PinnedView> pin_;
  std::string lower_;
  std::string upper_;
  VersionMap::Sequence sequence_ = 0;
  VersionMap::Map::const_iterator at_;
  const std::string* value_ = nullptr;
};

class MemoryEngine final : public Engine {
 public:
  MemoryEngine(World& world, std::string dir)
      : world_(world), path_(std::move(dir) + "/state"), flushed_(world.executor()) {}

  Status Write(Batch batch) override {
    map_.Apply(std::move(batch));
    return Ok();
  }
  Result<std::optional<std::string>> Get(std::string_view key,
                                         const ReadView* view) const override {
    const std::string* value = map_.Find(key, view != nullptr ? SequenceOf(*view) : map_.last());
    if (value == nullptr) return std::optional<std::string>();
    return std::optional<std::string>(*value);
  }
  std::unique_ptr<ReadView> View() const override { return std::make_unique<PinnedView>(map_); }
  std::unique_ptr<Iterator> Iterate(std::string lower, std::string upper,
                                    const ReadView* view) const override {
    return std::make_unique<MapIterator>(map_, std::move(lower), std::move(upper), view);
  }
  std::uint64_t ApproximateBytes() const override { return map_.bytes(); }

  Task<Status> Flush() override {
    while (flushing_) co_await flushed_.Wait();  // one temporary file
    if (durable_ == map_.last()) co_return Ok();
    flushing_ = true;
    const VersionMap::Sequence sequence = map_.last();
    auto replaced = co_await runtime::ReplaceFile(world_.disk(), path_, Encode());
    flushing_ = false;
    flushed_.NotifyAll();
    if (replaced) durable_ = sequence;
    co_return replaced;
  }

  Task<Status> Load() {
    COT_CO_ASSIGN(const bool exists, co_await world_.disk().Exists(path_));
    if (!exists) co_return Ok();
    COT_CO_ASSIGN(auto content, co_await runtime::ReadFile(world_.disk(), path_, kFileBytesMax));
    // What the page cache shows need not be durable: the process before may have died between the
    // rename and the sync of the directory. The first Flush writes it again.
    co_return Decode(content);
  }

 private:
  std::string Encode() const {
    std::string out(kMagic);
    PutFixed32(out, kFormat);
    const std::size_t count_at = out.size();
    PutFixed64(out, 0);
    std::uint64_t count = 0;
    for (const auto& [key, cell] : map_.map()) {
      const std::string* value = VersionMap::ValueAt(cell, map_.last());
      if (value == nullptr) continue;
      PutLengthPrefixed(out, key);
      PutLengthPrefixed(out, *value);
      ++count;
    }
    StoreFixed64(out.data() + count_at, count);
    PutFixed32(out, Crc32c(out));
    return out;
  }

  Status Corrupt(std::string_view what) const {
    return Fail(ErrorCode::kCorruptState, path_ + ": " + std::string(what));
  }

  Status Decode(std::string_view in) {
    constexpr std::size_t kHeader = kMagic.size() + 4 + 8;
    if (in.size() < kHeader + 4 || !in.starts_with(kMagic)) return Corrupt("not an engine's file");
    const std::uint32_t crc = LoadFixed32(in.data() + in.size() - 4);
    in.remove_suffix(4);
    if (Crc32c(in) != crc) return Corrupt("checksum mismatch");
    in.remove_prefix(kMagic.size());
    if (*GetFixed32(in) > kFormat) {
      return Fail(ErrorCode::kNewerData, path_ + " has a newer format");
    }
    std::uint64_t left = *GetFixed64(in);
    Batch batch;
    for (; left > 0; --left) {
      const auto key = GetLengthPrefixed(in);
      if (!key) return Corrupt("a key is cut off");
      const auto value = GetLengthPrefixed(in);
      if (!value) return Corrupt("a value is cut off");
      batch.Put(std::string(*key), std::string(*value));
    }
    if (!in.empty()) return Corrupt("bytes after the last value");
    map_.Apply(std::move(batch));
    return Ok();
  }

  World& world_;
  const std::string path_;
  mutable VersionMap map_;  // pins come and go under const reads
  VersionMap::Sequence durable_ = 0;
  bool flushing_ = false;
  runtime::Notification flushed_;
};

Task<Result<std::unique_ptr<Engine>>> OpenMemoryEngine(World& world, std::string dir) {
  COT_CO_TRY(co_await MakeDirDurable(world.disk(), dir));
  auto engine = std::make_unique<MemoryEngine>(world, std::move(dir));
  COT_CO_TRY(co_await engine->Load());
  co_return std::unique_ptr<Engine>(std::move(engine));
}

}  // namespace

EngineFactory MemoryEngineFactory() { return OpenMemoryEngine; }

}  // namespace coterie::storage
