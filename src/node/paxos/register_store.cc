#include "node/paxos/register_store.h"

#include <utility>

#include "base/assert.h"
#include "base/coding.h"
#include "node/paxos/codec.h"

namespace coterie::node::registers {
namespace {

// Engine keys: 'r' shard key -> register; 'f' shard -> epoch; "m" -> journal position, starts.
// Shards are big-endian, so that a shard's registers stand together, by key.
constexpr char kMetaKey[] = "m";
constexpr std::size_t kOverhead = 160;  // of an entry beside its bytes

std::string ShardKey(char kind, ShardId shard) {
  std::string key(1, kind);
  PutBigEndian64(key, shard.value);
  return key;
}

std::string EngineKey(ShardId shard, std::string_view key) {
  std::string out = ShardKey('r', shard);
  out += key;
  return out;
}

ShardId ShardOf(std::string_view engine_key) {
  engine_key.remove_prefix(1);
  return ShardId(*GetBigEndian64(engine_key));
}

std::size_t SizeOf(const std::string& key, const paxos::Register& state) {
  return kOverhead + key.size() + (state.value.bytes ? state.value.bytes->size() : 0) +
         state.value.applied.size() * sizeof(paxos::ChangeId);
}

}  // namespace

RegisterStore::RegisterStore(runtime::World& world, Journal& journal, StoreOptions options)
    : world_(world), journal_(journal), options_(options), full_(world.executor()) {}

Status RegisterStore::Load(std::unique_ptr<storage::Engine> engine) {
  COT_ASSERT(engine_ == nullptr);
  engine_ = std::move(engine);
  COT_TRY(LoadMeta());
  COT_TRY(journal_.Replay(written_, [this](std::string_view record) { return Replay(record); }));
  ++starts_;
  RecordStart();
  scope_.Spawn(WriteBackLoop());
  return Ok();
}

void RegisterStore::RecordStart() {
  Record start;
  start.kind = Record::Kind::kStart;
  start.number = starts_;
  journal_.Append(Encode(start));
}

Status RegisterStore::LoadMeta() {
  COT_ASSIGN(const auto meta, engine_->Get(kMetaKey));
  if (!meta) return Ok();
  std::string_view in = *meta;
  const auto position = GetVarint(in);
  const auto starts = position ? GetVarint(in) : std::nullopt;
  if (!starts || !in.empty()) return Fail(ErrorCode::kCorruptState, "registers: position");
  written_ = LogIndex(*position);
  starts_ = *starts;
  const auto fences = engine_->Iterate("f", "g");
  for (fences->SeekToFirst(); fences->Valid(); fences->Next()) {
    std::string_view value = fences->value();
    const auto epoch = GetVarint(value);
    if (!epoch || fences->key().size() != 9) {
      return Fail(ErrorCode::kCorruptState, "registers: epoch of a shard");
    }
    fences_[ShardOf(fences->key())] = {Epoch(*epoch), LogIndex(0)};
  }
  return fences->status();
}

Status RegisterStore::Replay(std::string_view bytes) {
  std::optional<Record> record = DecodeRecord(bytes);
  if (!record) return Fail(ErrorCode::kCorruptLog, "registers: a record that is none");
  switch (record->kind) {
    case Record::Kind::kRegister: {
      const auto [entry, fresh] = entries_.try_emplace(EngineKey(record->shard, record->key));
      if (fresh) entry->second.used = used_.insert(used_.begin(), entry);
      entry->second.state = std::move(record->state);
      Count(entry, true);
      break;
    }
    case Record::Kind::kDrop:
    case Record::Kind::kFence: {
      FenceMark& mark = fences_[record->shard];
      mark.epoch = std::max(mark.epoch, record->epoch);
      if (record->kind == Record::Kind::kDrop) Drop(record->shard, Epoch(0));
      break;
    }
    case Record::Kind::kStart:
      starts_ = std::max(starts_, record->number);
      break;
  }
  return Ok();
}

// Keeps the sums right after an entry has changed.
void RegisterStore::Count(Entries::iterator entry, bool dirty) {
  const std::size_t now = SizeOf(entry->first, entry->second.state);
  const std::size_t before = std::exchange(entry->second.bytes, now);
  const bool was_dirty = std::exchange(entry->second.dirty, dirty);
  bytes_ += now - before;
  dirty_bytes_ += (dirty ? now : 0) - (was_dirty ? before : 0);
}

Result<paxos::Register*> RegisterStore::Find(ShardId shard, std::string_view key) {
  std::string engine_key = EngineKey(shard, key);
  found_ = entries_.find(engine_key);
  if (found_ == entries_.end()) {
    paxos::Register state;
    if (!dropped_.contains(shard)) {
      COT_ASSIGN(const auto bytes, engine_->Get(engine_key));
      std::string_view in = bytes ? std::string_view(*bytes) : std::string_view();
      if (bytes && (!GetRegister(in, state) || !in.empty())) {
        return Fail(ErrorCode::kCorruptState, "registers: a register");
      }
    }
    found_ = entries_.try_emplace(std::move(engine_key)).first;
    found_->second.state = std::move(state);
    found_->second.used = used_.insert(used_.begin(), found_);
    Count(found_, false);
    Evict();
  } else {
    used_.splice(used_.begin(), used_, found_->second.used);
  }
  return &found_->second.state;
}

void RegisterStore::Save() {
  COT_ASSERT(found_ != entries_.end());
  const std::string_view key = std::string_view(found_->first).substr(9);
  found_->second.position =
      journal_.Append(EncodeRegisterRecord(ShardOf(found_->first), key, found_->second.state));
  Count(found_, true);
  if (dirty_bytes_ > options_.dirty_bytes || journal_.bytes() > options_.journal_bytes) {
    full_.NotifyAll();
  }
}

LogIndex RegisterStore::position() const {
  COT_ASSERT(found_ != entries_.end());
  return found_->second.position;
}

void RegisterStore::Evict() {
  // Looks at some of the oldest only: dirty ones may stand in the way until they are written.
  auto oldest = used_.end();
  for (int looked = 0; bytes_ > options_.cache_bytes_max && looked < 8; ++looked) {
    if (oldest == used_.begin()) return;
    const auto candidate = *--oldest;
    if (candidate->second.dirty || candidate == found_) continue;
    bytes_ -= candidate->second.bytes;
    oldest = used_.erase(oldest);
    entries_.erase(candidate);
  }
}

Epoch RegisterStore::fence(ShardId shard) const {
  const auto mark = fences_.find(shard);
  return mark == fences_.end() ? Epoch(0) : mark->second.epoch;
}

LogIndex RegisterStore::Fence(ShardId shard, Epoch epoch) {
  FenceMark& mark = fences_[shard];
  if (epoch <= mark.epoch) return mark.position;
  Record record;
  record.kind = Record::Kind::kFence;
  record.shard = shard;
  record.epoch = epoch;
  mark = {epoch, journal_.Append(Encode(record))};
  return mark.position;
}

void RegisterStore::Drop(ShardId shard, Epoch epoch) {
  if (epoch != Epoch(0)) {  // 0: replayed
    FenceMark& mark = fences_[shard];
    Record record;
    record.kind = Record::Kind::kDrop;
    record.shard = shard;
    record.epoch = std::max(epoch, mark.epoch);
    mark = {record.epoch, journal_.Append(Encode(record))};
  }
  const auto from = entries_.lower_bound(ShardKey('r', shard));
  const auto to = entries_.lower_bound(ShardKey('r', shard + 1));
  for (auto entry = from; entry != to; ++entry) {
    bytes_ -= entry->second.bytes;
    if (entry->second.dirty) dirty_bytes_ -= entry->second.bytes;
    used_.erase(entry->second.used);
  }
  entries_.erase(from, to);
  found_ = entries_.end();
  dropped_[shard] = ++drops_;
}

Status RegisterStore::VisitAll(ShardId shard, std::string_view after, bool from_start,
                               const Visit& visit) const {
  const std::string lower = EngineKey(shard, after);
  const std::string upper = ShardKey('r', shard + 1);
  auto cached = from_start ? entries_.lower_bound(lower) : entries_.upper_bound(lower);
  const auto end = entries_.lower_bound(upper);
  std::unique_ptr<storage::Iterator> stored;
  if (!dropped_.contains(shard)) {
    stored = engine_->Iterate(lower, upper);
    stored->SeekToFirst();
    if (!from_start && stored->Valid() && stored->key() == lower) stored->Next();
  }
  for (;;) {
    const bool on_disk = stored != nullptr && stored->Valid();
    if (cached == end && !on_disk) break;
    if (cached != end && (!on_disk || cached->first <= stored->key())) {
      if (on_disk && cached->first == stored->key()) stored->Next();
      const auto& [key, entry] = *cached++;
      if (!visit(std::string_view(key).substr(9), entry.state)) return Ok();
      continue;
    }
    paxos::Register state;
    std::string_view in = stored->value();
    if (!GetRegister(in, state)) return Fail(ErrorCode::kCorruptState, "registers: a register");
    if (!visit(stored->key().substr(9), state)) return Ok();
    stored->Next();
  }
  return stored == nullptr ? Ok() : stored->status();
}

// Whatever is dirty now.
storage::Batch RegisterStore::Collect(LogIndex covered) const {
  storage::Batch batch;
  for (const auto& [shard, number] : dropped_) {
    batch.DeleteRange(ShardKey('r', shard), ShardKey('r', shard + 1));
  }
  for (const auto& [key, entry] : entries_) {
    if (!entry.dirty) continue;
    std::string value;
    PutRegister(value, entry.state);
    batch.Put(key, std::move(value));
  }
  for (const auto& [shard, mark] : fences_) {
    std::string value;
    PutVarint(value, mark.epoch.value);
    batch.Put(ShardKey('f', shard), std::move(value));
  }
  std::string meta;
  PutVarint(meta, covered.value);
  PutVarint(meta, starts_);
  batch.Put(kMetaKey, std::move(meta));
  return batch;
}

runtime::Task<Status> RegisterStore::WriteBack() {
  const LogIndex newest = journal_.last();
  if (writing_ || newest == LogIndex(0)) co_return Ok();
  writing_ = true;
  struct Writing {
    bool& flag;
    ~Writing() { flag = false; }
  } writing{writing_};
  // This turn may still add to the newest entry, so that one is replayed once more: registers are
  // recorded whole, so that does no harm.
  const LogIndex covered = newest - 1;
  storage::Batch batch = Collect(covered);
  const std::map<ShardId, std::uint64_t> dropped = dropped_;
  // The engine may keep what it is given: never more than the journal is sure of.
  co_await journal_.Durable(newest);
  COT_CO_TRY(engine_->Write(std::move(batch)));
  for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
    if (entry->second.dirty && entry->second.position <= covered) Count(entry, false);
  }
  for (const auto& [shard, number] : dropped) {
    if (dropped_[shard] == number) dropped_.erase(shard);  // else it was dropped again meanwhile
  }
  Evict();
  const Status flushed = co_await engine_->Flush();
  if (!flushed) co_return flushed;
  written_ = covered;
  journal_.Trim(covered);
  co_return Ok();
}

runtime::Task<void> RegisterStore::WriteBackLoop() {
  LogIndex seen;
  for (;;) {
    co_await full_.WaitUntil(world_.Now() + options_.write_back_interval);
    // The newest entry is never let go, so a quiet journal makes a new one that holds less.
    const bool holds_old_log = journal_.log_bytes_held() >= Journal::kLogBytesHeldMax;
    if (holds_old_log) RecordStart();
    if (std::exchange(seen, journal_.last()) == journal_.last()) continue;
    const Status written = co_await WriteBack();
    if (!written) {
      world_.Crash(Describe(written.error()));
      co_return;
    }
  }
}

}  // namespace coterie::node::registers
