#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/random.h"
#include "storage/engine.h"

namespace coterie::cells::testing {

/// The plainest Engine that can be right: a map, copied when it is written to while somebody
/// iterates. It can crash: then it holds what was flushed, and any number of the first batches
/// after that.
class MapEngine final : public storage::Engine {
 public:
  using Map = std::map<std::string, std::string, std::less<>>;

  Status Write(storage::Batch batch) override {
    ++writes;
    if (map_.use_count() > 1) map_ = std::make_shared<Map>(*map_);
    Change(*map_, batch);
    if (crashes) since_flush_.push_back(std::move(batch));
    return Ok();
  }
  Result<std::optional<std::string>> Get(std::string_view key,
                                         const storage::ReadView* view) const override {
    COT_ASSERT(view == nullptr);
    ++gets;
    const auto found = map_->find(key);
    return found == map_->end() ? std::optional<std::string>() : std::optional(found->second);
  }
  std::unique_ptr<storage::ReadView> View() const override { return nullptr; }
  std::unique_ptr<storage::Iterator> Iterate(std::string lower, std::string upper,
                                             const storage::ReadView* view) const override {
    COT_ASSERT(view == nullptr);
    ++iterations;
    return std::make_unique<MapIterator>(map_, lower, upper);
  }
  runtime::Task<Status> Flush() override { co_return Ok(); }
  std::uint64_t ApproximateBytes() const override { return map_->size(); }

  void FlushNow() {
    flushed_ = *map_;
    since_flush_.clear();
  }
  void Crash(Random& random) {
    const std::size_t kept = random.Below(since_flush_.size() + 1);
    map_ = std::make_shared<Map>(flushed_);
    for (std::size_t i = 0; i < kept; ++i) Change(*map_, since_flush_[i]);
    FlushNow();
  }
  const Map& content() const { return *map_; }

  bool crashes = false;  ///< whether to remember batches
  int writes = 0;
  mutable int gets = 0;
  mutable int iterations = 0;

 private:
  static void Change(Map& map, const storage::Batch& batch) {
    for (const auto& change : batch.changes()) {
      switch (change.kind) {
        case storage::Batch::Kind::kPut:
          map[change.key] = change.value;
          break;
        case storage::Batch::Kind::kDelete:
          map.erase(change.key);
          break;
        case storage::Batch::Kind::kDeleteRange:
          map.erase(map.lower_bound(change.key), map.lower_bound(change.value));
      }
    }
  }

  class MapIterator final : public storage::Iterator {
   public:
    MapIterator(std::shared_ptr<Map> map, const std::string& lower, const std::string& upper)
        : map_(std::move(map)),
          begin_(map_->lower_bound(lower)),
          end_(upper.empty() ? map_->end() : map_->lower_bound(upper)),
          at_(end_) {}
    bool Valid() const override { return at_ != end_; }
    void Seek(std::string_view key) override {
      at_ = map_->lower_bound(key);
      if (begin_ != map_->end() && key < begin_->first) at_ = begin_;
      if (end_ != map_->end() && key >= end_->first) at_ = end_;
    }
    void SeekForPrev(std::string_view key) override {
      Seek(key);
      if (Valid() && at_->first == key) return;
      at_ == begin_ ? at_ = end_ : --at_;
    }
    void SeekToFirst() override { at_ = begin_; }
    void SeekToLast() override { at_ = begin_ == end_ ? end_ : std::prev(end_); }
    void Next() override { ++at_; }
    void Prev() override { at_ == begin_ ? at_ = end_ : --at_; }
    std::string_view key() const override { return at_->first; }
    std::string_view value() const override { return at_->second; }
    Status status() const override { return Ok(); }

   private:
    std::shared_ptr<Map> map_;
    Map::const_iterator begin_;
    Map::const_iterator end_;
    Map::const_iterator at_;
  };

  std::shared_ptr<Map> map_ = std::make_shared<Map>();
  Map flushed_;
  std::vector<storage::Batch> since_flush_;
};

}  // namespace coterie::cells::testing
