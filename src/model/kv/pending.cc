#include "model/kv/pending.h"

#include <utility>

#include "base/assert.h"

namespace coterie::kv {

using Kind = storage::Batch::Kind;

storage::Batch Pending::Take() {
  order_.clear();
  indexed_ = 0;
  return std::exchange(batch_, storage::Batch());
}

void Pending::Index() {
  for (; indexed_ < batch_.changes().size(); ++indexed_) {
    COT_ASSERT(batch_.changes()[indexed_].kind != Kind::kDeleteRange);
    const auto position = static_cast<std::uint32_t>(indexed_);
    const auto [at, inserted] = order_.insert(position);
    if (inserted) continue;
    order_.insert(order_.erase(at), position);
  }
}

const storage::Batch::Change* Pending::Find(std::string_view key) {
  Index();
  const auto found = order_.find(key);
  return found == order_.end() ? nullptr : &batch_.changes()[*found];
}

Cursor::Cursor(const storage::Engine& engine, Pending* pending, std::string lower,
               std::string upper)
    : upper_(upper), base_(engine.Iterate(std::move(lower), std::move(upper))), pending_(pending) {
  COT_ASSERT(!upper_.empty());
}

bool Cursor::PendingAtEnd() const {
  return pending_ == nullptr || at_ == pending_->order_.end() || PendingKey() >= upper_;
}

std::string_view Cursor::PendingKey() const { return pending_->batch_.changes()[*at_].key; }

// Stops on the smaller of the two sides; a pending change hides the Engine's record of the same
// key, and a pending deletion shows nothing.
void Cursor::Settle() {
  from_pending_ = false;
  while (!PendingAtEnd()) {
    const std::string_view pending_key = PendingKey();
    if (base_->Valid()) {
      const int order = base_->key().compare(pending_key);
      if (order < 0) return;
      if (order == 0) {
        base_->Next();
        continue;
      }
    }
    if (pending_->batch_.changes()[*at_].kind == Kind::kPut) {
      from_pending_ = true;
      return;
    }
    ++at_;
  }
}

void Cursor::Seek(std::string_view key) {
  base_->Seek(key);
  if (pending_ != nullptr) {
    pending_->Index();
    at_ = pending_->order_.lower_bound(key);
  }
  Settle();
}

void Cursor::Next() {
  COT_ASSERT(Valid());
  if (from_pending_) {
    ++at_;
  } else {
    base_->Next();
  }
  Settle();
}

std::string_view Cursor::key() const {
  COT_ASSERT(Valid());
  return from_pending_ ? PendingKey() : base_->key();
}

std::string_view Cursor::value() const {
  COT_ASSERT(Valid());
  return from_pending_ ? std::string_view(pending_->batch_.changes()[*at_].value) : base_->value();
}

}  // namespace coterie::kv
