#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/status.h"
#include "storage/engine.h"

namespace coterie::kv {

/// The batch of the Apply call under way, readable in order: what later commands of the call must
/// see. Indexed only when somebody reads, because most commands never do.
class Pending {
 public:
  Pending() : order_(Less{&batch_}) {}
  Pending(const Pending&) = delete;
  Pending& operator=(const Pending&) = delete;

  void Put(std::string key, std::string value) { batch_.Put(std::move(key), std::move(value)); }
  void Delete(std::string key) { batch_.Delete(std::move(key)); }
  bool empty() const { return batch_.empty(); }
  /// The whole batch; this is empty afterwards.
  storage::Batch Take();

  /// The pending fate of `key`: nullptr if the batch does not change it.
  const storage::Batch::Change* Find(std::string_view key);

 private:
  friend class Cursor;
  struct Less {
    using is_transparent = void;
    const storage::Batch* batch;
    std::string_view KeyOf(std::uint32_t i) const { return batch->changes()[i].key; }
    bool operator()(std::uint32_t a, std::uint32_t b) const { return KeyOf(a) < KeyOf(b); }
    bool operator()(std::uint32_t a, std::string_view b) const { return KeyOf(a) < b; }
    bool operator()(std::string_view a, std::uint32_t b) const { return a < KeyOf(b); }
  };
  using Order = std::set<std::uint32_t, Less>;
  void Index();

  storage::Batch batch_;
  std::size_t indexed_ = 0;
  Order order_;  // positions in batch_, of the last change of each key
};

/// Forward iteration over the Engine with a pending batch, if there is one, laid over it. Seek
/// again after the batch has changed. Views are valid until it moves.
class Cursor {
 public:
  /// Iterates [lower, upper) of the engine's state at this call.
  Cursor(const storage::Engine& engine, Pending* pending, std::string lower, std::string upper);

  void Seek(std::string_view key);
  bool Valid() const { return from_pending_ || base_->Valid(); }
  void Next();
  std::string_view key() const;
  std::string_view value() const;
  Status status() const { return base_->status(); }

 private:
  bool PendingAtEnd() const;
  std::string_view PendingKey() const;
  void Settle();

  std::string upper_;
  std::unique_ptr<storage::Iterator> base_;
  Pending* pending_;
  Pending::Order::const_iterator at_;
  bool from_pending_ = false;
};

}  // namespace coterie::kv
