#include <xxhash.h>

#include <algorithm>

#include "base/assert.h"
#include "model/kv/history.h"
#include "model/kv/state.h"
#include "model/kv/store.h"

namespace coterie::kv {
namespace {

std::unexpected<Error> Corrupt(const char* what) { return Fail(ErrorCode::kCorruptState, what); }

}  // namespace

// Walks the event log up to the compacted revision and deletes what each event made garbage: the
// version it replaced, and itself if it was a deletion. Nothing is searched for: an event names its
// predecessor. Events before the compacted revision go too; those of that revision stay, for
// watchers that start there.
Result<bool> Store::PurgeSome(std::size_t records_max) {
  COT_ASSERT(state_->engine != nullptr);
  COT_ASSERT(records_max > 0);
  Revision compacted = state_->meta.compacted;
  if (!state_->read_at.empty()) compacted = std::min(compacted, *state_->read_at.begin());
  layout::PurgeCursor& cursor = state_->purge;
  if (cursor.finished >= compacted) return false;
  storage::Batch batch;
  std::size_t seen = 0;
  const auto at =
      state_->engine->Iterate(layout::EventRecord(cursor.next.revision, cursor.next.sub),
                              layout::EventRecord(compacted + 1, 0));
  for (at->SeekToFirst(); at->Valid() && seen < records_max; at->Next(), ++seen) {
    const auto position = layout::ParseEventRecord(at->key());
    const auto event =
        position ? layout::ParseEvent(position->revision, at->value()) : std::nullopt;
    if (!event) return Corrupt("kv: event record");
    if (event->prev_mod != 0) batch.Delete(layout::KeyRecord(event->key, event->prev_mod));
    if (!event->put) batch.Delete(layout::KeyRecord(event->key, position->revision));
    if (position->revision < compacted) batch.Delete(std::string(at->key()));
    cursor.next = {position->revision, position->sub + 1};
  }
  COT_TRY(at->status());
  const bool more = at->Valid();
  if (!more) cursor = {.next = {std::max<Revision>(compacted, 0), 0}, .finished = compacted};
  batch.Put(layout::PurgeRecord(), layout::EncodePurge(cursor));
  COT_TRY(state_->engine->Write(std::move(batch)));
  return more;
}

// The versions that a reader at or after the compacted revision can see, oldest reader included, up
// to `revision`; so what PurgeSome has or has not deleted yet does not count.
Result<Store::HashAt> Store::HashKv(Revision revision) const {
  HashProgress progress;
  progress.revision = revision;
  for (;;) {
    COT_ASSIGN(const auto hash, HashKv(progress, 1u << 20));
    if (hash) return *hash;
  }
}

// Between steps only a position is kept, no iterator: writes after `revision` are not looked at,
// and another engine with the same history may have come.
Result<std::optional<Store::HashAt>> Store::HashKv(HashProgress& progress,
                                                   std::size_t records_max) const {
  COT_ASSERT(state_->engine != nullptr);
  COT_ASSERT(records_max > 0);
  const Revision compacted = state_->meta.compacted;
  if (progress.revision <= 0) progress.revision = state_->meta.revision;
  if (compacted != progress.compacted) {
    progress = {
        .revision = progress.revision, .compacted = compacted, .hash = 0, .next = {}, .done = {}};
  }
  const Revision revision = progress.revision;
  if (revision > state_->meta.revision) {
    return Fail(ErrorCode::kFutureRevision, std::to_string(state_->meta.revision));
  }
  if (revision < compacted) return Fail(ErrorCode::kCompacted, std::to_string(compacted));
  std::uint64_t& hash = progress.hash;
  std::string& done = progress.done;
  const std::string from =
      progress.next.empty() ? layout::SpaceBegin(layout::kKeys) : progress.next;
  const auto at = state_->engine->Iterate(from, layout::SpaceEnd(layout::kKeys));
  for (at->SeekToFirst(); at->Valid(); at->Next()) {
    if (records_max-- == 0) {
      progress.next = at->key();
      return std::nullopt;
    }
    const auto record = layout::ParseKeyRecord(at->key());
    const auto version =
        record ? layout::ParseVersion(record->revision, at->value()) : std::nullopt;
    if (!version) return Corrupt("kv: key record");
    if (record->revision > revision || record->prefix == done) continue;
    if (record->revision <= compacted) {
      done = record->prefix;
      if (!version->head.live()) continue;
    }
    hash = XXH3_64bits_withSeed(at->key().data(), at->key().size(), hash);
    hash = XXH3_64bits_withSeed(at->value().data(), at->value().size(), hash);
  }
  COT_TRY(at->status());
  // Of no record, too, there is a hash: etcd's is never 0, which clients take for none.
  if (hash == 0) hash = XXH3_64bits(nullptr, 0);
  const auto folded = static_cast<std::uint32_t>(hash ^ hash >> 32);
  return std::optional(HashAt{folded, revision, compacted});
}

}  // namespace coterie::kv
