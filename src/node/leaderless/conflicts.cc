#include <algorithm>

#include "base/coding.h"
#include "node/leaderless/state.h"

// Losers of races: in the journal in one record with what made them lose, later in the engine.
// Their number is their place, so that a replay counts none twice.
namespace coterie::node {

namespace {
// Beside the store's own records in its engine: how many, and a ring of the newest.
constexpr std::string_view kCountKey =
    "\xff"
    "conflicts";
constexpr std::string_view kRingKey =
    "\xff"
    "conflict:";
constexpr std::size_t kNameBytesMax = 512;               // of keys and elements, as reported
constexpr std::size_t kRecordConflictsMax = 256u << 10;  // bytes of them in one record

std::string KeyOf(std::string_view prefix, ShardId shard) {
  std::string key(prefix);
  PutBigEndian64(key, shard.value);
  return key;
}

void Put(std::string& out, const cells::Conflict& conflict) {
  PutLengthPrefixed(out, conflict.key);
  PutLengthPrefixed(out, conflict.element);
  PutFixed32(out, conflict.dot.actor.value);
  PutVarint(out, conflict.dot.counter);
  PutFixed64(out, conflict.time.value);
  PutLengthPrefixed(out, conflict.value);
  PutFixed32(out, conflict.winner.actor.value);
  PutVarint(out, conflict.winner.counter);
}

bool Get(std::string_view& in, cells::Conflict& conflict) {
  const auto key = GetLengthPrefixed(in);
  const auto element = key ? GetLengthPrefixed(in) : std::nullopt;
  const auto actor = element ? GetFixed32(in) : std::nullopt;
  const auto counter = actor ? GetVarint(in) : std::nullopt;
  const auto time = counter ? GetFixed64(in) : std::nullopt;
  const auto value = time ? GetLengthPrefixed(in) : std::nullopt;
  const auto winner = value ? GetFixed32(in) : std::nullopt;
  const auto its_counter = winner ? GetVarint(in) : std::nullopt;
  if (!its_counter) return false;
  conflict.key = *key;
  conflict.element = *element;
  conflict.dot = {clock::Actor(*actor), *counter};
  conflict.time = HybridTime(*time);
  conflict.value = *value;
  conflict.winner = {clock::Actor(*winner), *its_counter};
  return true;
}

}  // namespace

void LeaderlessReplicas::State::ShardConflicts::Add(cells::Conflict conflict) {
  ++count;
  newest.push_back(std::move(conflict));
  if (newest.size() > kConflictsKept) newest.pop_front();
}

/// The journal's record of a change, in `record`, and of who lost by it.
LogIndex LeaderlessReplicas::State::AppendChange(ShardId shard, bool lazy) {
  if (lost.empty()) return host.journal.Append(record, lazy);
  ShardConflicts& of = conflicts[shard];
  std::string all(1, static_cast<char>(RecordKind::kConflicts));
  PutVarint(all, shard.value);
  PutVarint(all, of.count);
  PutVarint(all, lost.size());
  std::string list;
  std::size_t listed = 0;
  for (cells::Conflict& conflict : lost) {
    conflict.key.resize(std::min(conflict.key.size(), kNameBytesMax));
    conflict.element.resize(std::min(conflict.element.size(), kNameBytesMax));
    if (list.size() < kRecordConflictsMax && listed < kConflictsKept) {
      Put(list, conflict);
      ++listed;
      of.Add(std::move(conflict));
    } else {
      ++of.count;
      // The ring has a place for each: an empty one says that no more is known.
      of.newest.push_back({.shard = shard});
      if (of.newest.size() > kConflictsKept) of.newest.pop_front();
    }
  }
  lost.clear();
  PutVarint(all, listed);
  all += list;
  all += record;
  const LogIndex position = host.journal.Append(all, lazy);
  while (of.marks.size() > 1 && of.marks[1].first <= host.journal.durable()) of.marks.pop_front();
  of.marks.emplace_back(position, of.count);
  return position;
}

/// What AppendChange put in front of the change; counts what the engine did not have yet.
Status LeaderlessReplicas::State::ReplayConflicts(std::string_view& bytes) {
  const auto malformed = [] {
    return coterie::Fail(ErrorCode::kCorruptLog, "conflicts in the leaderless journal");
  };
  const auto shard = GetVarint(bytes);
  const auto before = shard ? GetVarint(bytes) : std::nullopt;
  const auto total = before ? GetVarint(bytes) : std::nullopt;
  const auto listed = total ? GetVarint(bytes) : std::nullopt;
  if (!listed || *listed > *total) return malformed();
  ShardConflicts& of = conflicts[ShardId(*shard)];
  for (std::uint64_t i = 0; i < *listed; ++i) {
    cells::Conflict conflict{.shard = ShardId(*shard)};
    if (!Get(bytes, conflict)) return malformed();
    if (*before + i >= of.count) of.Add(std::move(conflict));
  }
  of.count = std::max(of.count, *before + *total);
  of.marks.assign(1, {LogIndex(0), of.count});
  return Ok();
}

/// Gives the engine what the journal has durable.
Status LeaderlessReplicas::State::WriteConflicts(LogIndex durable) {
  storage::Batch batch;
  for (auto& [shard, of] : conflicts) {
    while (of.marks.size() > 1 && of.marks[1].first <= durable) of.marks.pop_front();
    if (of.marks.empty() || of.marks.front().first > durable) continue;
    const std::uint64_t upto = of.marks.front().second;
    if (upto <= of.written) continue;
    const std::uint64_t first = of.count - of.newest.size();  // the number before its first
    for (std::uint64_t n = std::max(of.written, first); n < upto; ++n) {
      std::string key = KeyOf(kRingKey, shard);
      PutBigEndian64(key, n % kConflictsKept);
      std::string value;
      Put(value, of.newest[n - first]);
      batch.Put(std::move(key), std::move(value));
    }
    std::string count;
    PutVarint(count, upto);
    batch.Put(KeyOf(kCountKey, shard), std::move(count));
    of.written = upto;
  }
  if (batch.empty()) return Ok();
  return engine->Write(std::move(batch));
}

Status LeaderlessReplicas::State::RecallConflicts() {
  const auto corrupt = [] {
    return coterie::Fail(ErrorCode::kCorruptState, "conflicts in the cells");
  };
  std::string end(kCountKey);
  end.back() = static_cast<char>(end.back() + 1);
  const auto at = engine->Iterate(std::string(kCountKey), std::move(end));
  for (at->SeekToFirst(); at->Valid(); at->Next()) {
    std::string_view name = at->key().substr(kCountKey.size());
    std::string_view value = at->value();
    const auto shard = GetBigEndian64(name);
    const auto count = GetVarint(value);
    if (!shard || !count) return corrupt();
    ShardConflicts& of = conflicts[ShardId(*shard)];
    const std::uint64_t kept = std::min<std::uint64_t>(*count, kConflictsKept);
    for (std::uint64_t n = *count - kept; n < *count; ++n) {
      std::string key = KeyOf(kRingKey, ShardId(*shard));
      PutBigEndian64(key, n % kConflictsKept);
      COT_ASSIGN(const auto bytes, engine->Get(key));
      cells::Conflict conflict{.shard = ShardId(*shard)};
      std::string_view in = bytes ? std::string_view(*bytes) : std::string_view();
      if (bytes && !Get(in, conflict)) return corrupt();
      of.Add(std::move(conflict));
    }
    of.count = of.written = *count;
  }
  return at->status();
}

/// Of shards that are of no keyspace any more nobody can ask.
Status LeaderlessReplicas::State::ForgetConflicts(const placement::ClusterMap& map) {
  storage::Batch batch;
  std::erase_if(conflicts, [&](const auto& each) {
    if (map.FindShard(each.first) != nullptr) return false;
    batch.Delete(KeyOf(kCountKey, each.first));
    const std::string prefix = KeyOf(kRingKey, each.first);
    batch.DeleteRange(prefix, KeyOf(kRingKey, each.first + 1));
    return true;
  });
  if (batch.empty()) return Ok();
  return engine->Write(std::move(batch));
}

LeaderlessReplicas::Conflicts LeaderlessReplicas::conflicts(
    const placement::Keyspace& keyspace) const {
  Conflicts all;
  for (const placement::Shard& shard : keyspace.shards) {
    const auto found = state_->conflicts.find(shard.id);
    if (found == state_->conflicts.end()) continue;
    all.count += found->second.count;
    std::ranges::copy_if(found->second.newest, std::back_inserter(all.newest),
                         [](const cells::Conflict& one) { return one.dot.counter != 0; });
  }
  std::ranges::sort(all.newest, {},
                    [](const cells::Conflict& one) { return std::pair(one.time, one.dot); });
  if (all.newest.size() > State::kConflictsKept) {
    all.newest.erase(all.newest.begin(),
                     all.newest.end() - static_cast<std::ptrdiff_t>(State::kConflictsKept));
  }
  return all;
}

}  // namespace coterie::node
