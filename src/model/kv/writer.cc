#include "model/kv/writer.h"

#include <utility>

#include "base/assert.h"

namespace coterie::kv {

void Writer::Put(std::string_view key, std::string_view value, const Head& old,
                 std::int64_t lease) {
  const Head head{.mod = next(),
                  .create = old.live() ? old.create : next(),
                  .version = old.version + 1,
                  .lease = lease};
  const std::int64_t old_lease = old.live() ? old.lease : 0;
  if (old_lease != lease) {
    if (old_lease != 0) pending_.Delete(layout::AttachmentRecord(old_lease, key));
    if (lease != 0) pending_.Put(layout::AttachmentRecord(lease, key), std::string());
  }
  pending_.Put(layout::KeyRecord(key, head.mod), layout::EncodeVersion(head, value));
  Record(key, old, head, value);
}

void Writer::Delete(std::string_view key, const Head& old) {
  COT_ASSERT(old.live());
  if (old.lease != 0) pending_.Delete(layout::AttachmentRecord(old.lease, key));
  pending_.Put(layout::KeyRecord(key, next()), layout::EncodeTombstone());
  Record(key, old, Head{.mod = next()}, {});
}

void Writer::Record(std::string_view key, const Head& old, const Head& head,
                    std::string_view value) {
  COT_ASSERT(old.mod < head.mod);
  const Revision prev_mod = old.live() ? old.mod : 0;
  pending_.Put(layout::EventRecord(head.mod, changes_),
               layout::EncodeEvent(head.live(), head.mod, prev_mod, key));
  ++changes_;
  ++changed_;
  state_.cache.Set(key, head, value);
  if (!state_.hub.watched()) return;
  events_.push_back({.revision = head.mod,
                     .put = head.live(),
                     .prev_mod = prev_mod,
                     .head = head,
                     .key = std::string(key),
                     .value = std::string(value)});
}

void Writer::GrantLease(std::int64_t id, std::int64_t ttl_seconds, LogIndex index) {
  const layout::Lease lease{ttl_seconds, index};
  pending_.Put(layout::LeaseRecord(id), layout::EncodeLease(lease));
  state_.leases.Grant(id, lease);
}

void Writer::RevokeLease(std::int64_t id) {
  pending_.Delete(layout::LeaseRecord(id));
  state_.leases.Revoke(id);
}

void Writer::EndCommand() {
  if (changes_ > 0) ++state_.meta.revision;
  changes_ = 0;
}

Status Writer::Commit(LogIndex index, Term term) {
  COT_ASSERT(changes_ == 0);
  COT_ASSERT(index >= state_.meta.index);
  state_.meta.index = index;
  state_.meta.term = term;
  pending_.Put(layout::MetaRecord(), layout::EncodeMeta(state_.meta));
  COT_TRY(state_.engine->Write(pending_.Take()));
  state_.cache.Trim();
  if (!events_.empty()) state_.hub.Publish(std::move(events_), state_.meta.revision);
  return Ok();
}

}  // namespace coterie::kv
