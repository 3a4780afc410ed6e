#include "keyspace/promise.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

namespace coterie::keyspace {
namespace {

template <class Value>
struct Word {
  Value value;
  std::string_view text;
};

constexpr std::array kReplications = {Word{Replication::kRaft, "raft"},
                                      Word{Replication::kPaxos, "paxos"},
                                      Word{Replication::kLeaderless, "leaderless"}};
constexpr std::array kConflicts = {Word{Conflict::kNone, "none"}, Word{Conflict::kLww, "lww"},
                                   Word{Conflict::kSiblings, "siblings"},
                                   Word{Conflict::kCrdt, "crdt"}};
constexpr std::array kDurabilities = {
    Word{Durability::kQuorumFsync, "quorum-fsync"}, Word{Durability::kOneFsync, "one-fsync"},
    Word{Durability::kInterval, "interval"}, Word{Durability::kMemory, "memory"}};

template <class Words, class Value>
std::string_view TextOf(const Words& words, Value value) {
  for (const auto& word : words) {
    if (word.value == value) return word.text;
  }
  return "?";
}

template <class Value, class Words>
Result<Value> Parse(const Words& words, std::string_view what, std::string_view text) {
  std::string known;
  for (const auto& word : words) {
    if (word.text == text) return word.value;
    known += (known.empty() ? "" : ", ") + std::string(word.text);
  }
  return Fail(ErrorCode::kInvalidArgument,
              fmt::format("{} '{}' is none of {}.", what, text, known));
}

std::unexpected<Error> Contradiction(std::string message) {
  return Fail(ErrorCode::kPromiseContradiction, std::move(message));
}

Status CheckName(std::string_view name) {
  constexpr std::string_view kAllowed = "abcdefghijklmnopqrstuvwxyz0123456789_-";
  if (!name.empty() && name.size() <= kNameBytesMax &&
      name.find_first_not_of(kAllowed) == std::string_view::npos) {
    return Ok();
  }
  return Contradiction(fmt::format(
      "The name '{}' against the rule for names: 1 to {} characters of a-z, 0-9, '_' and '-'.",
      name.substr(0, kNameBytesMax), kNameBytesMax));
}

/// A promise can come from an older or newer version's bytes.
Status CheckKnown(const Promise& promise) {
  if (ToText(promise.replication) == "?" || ToText(promise.conflict) == "?" ||
      ToText(promise.durability) == "?") {
    return Contradiction(
        "The declaration has a replication, conflict or durability that this version does not "
        "know.");
  }
  return Ok();
}

Status CheckRanges(const Promise& promise) {
  if (promise.replicas < 1 || promise.replicas > kReplicasMax) {
    return Contradiction(
        fmt::format("{} replicas against the range of 1 to {}.", promise.replicas, kReplicasMax));
  }
  if (!std::has_single_bit(promise.shards) || promise.shards > kShardsMax) {
    return Contradiction(
        fmt::format("{} shards against hashing: the top bits of a key's hash name its shard, so "
                    "there must be a power of two of them, at most {}.",
                    promise.shards, kShardsMax));
  }
  if (promise.redis_database > kRedisDatabaseMax) {
    return Contradiction(fmt::format("redis database {} against the range of 0 to {}.",
                                     promise.redis_database, kRedisDatabaseMax));
  }
  return Ok();
}

/// raft and paxos: agreement before the answer leaves nothing to choose.
Status CheckAgreed(const Promise& promise) {
  const std::string_view kind = ToText(promise.replication);
  if (promise.read != 0 || promise.write != 0) {
    return Contradiction(
        fmt::format("replication {} against {} {}: a {} keyspace always waits for a majority; R "
                    "and W are for leaderless.",
                    kind, promise.read != 0 ? "read" : "write",
                    promise.read != 0 ? promise.read : promise.write, kind));
  }
  if (promise.conflict != Conflict::kNone) {
    return Contradiction(
        fmt::format("replication {} against conflict {}: writes are ordered before they are "
                    "answered, so none are concurrent.",
                    kind, ToText(promise.conflict)));
  }
  if (promise.durability != Durability::kQuorumFsync) {
    return Contradiction(
        fmt::format("replication {} against durability {}: a majority agrees only if none of it "
                    "can forget what it said; use quorum-fsync, or leaderless.",
                    kind, ToText(promise.durability)));
  }
  if (promise.replication == Replication::kRaft && promise.shards != 1) {
    return Contradiction(fmt::format(
        "replication raft against {} shards: a raft keyspace is one log.", promise.shards));
  }
  return Ok();
}

Status CheckLeaderless(const Promise& promise) {
  if (promise.read > promise.replicas) {
    return Contradiction(fmt::format("read {} against replicas {}: a read cannot wait for more.",
                                     promise.read, promise.replicas));
  }
  if (promise.write > promise.replicas) {
    return Contradiction(fmt::format("write {} against replicas {}: a write cannot wait for more.",
                                     promise.write, promise.replicas));
  }
  return Ok();
}

}  // namespace

std::string_view ToText(Replication replication) { return TextOf(kReplications, replication); }
std::string_view ToText(Conflict conflict) { return TextOf(kConflicts, conflict); }
std::string_view ToText(Durability durability) { return TextOf(kDurabilities, durability); }

Result<Replication> ParseReplication(std::string_view text) {
  return Parse<Replication>(kReplications, "replication", text);
}
Result<Conflict> ParseConflict(std::string_view text) {
  return Parse<Conflict>(kConflicts, "conflict", text);
}
Result<Durability> ParseDurability(std::string_view text) {
  return Parse<Durability>(kDurabilities, "durability", text);
}

Result<Promise> Complete(Promise promise) {
  COT_TRY(CheckName(promise.name));
  COT_TRY(CheckKnown(promise));
  const bool leaderless = promise.replication == Replication::kLeaderless;
  if (promise.shards == 0) promise.shards = promise.replication == Replication::kRaft ? 1 : 16;
  COT_TRY(CheckRanges(promise));
  if (!leaderless) {
    COT_TRY(CheckAgreed(promise));
    return promise;
  }
  const std::uint32_t majority = promise.replicas / 2 + 1;
  if (promise.read == 0) promise.read = majority;
  if (promise.write == 0) promise.write = majority;
  if (promise.conflict == Conflict::kNone) promise.conflict = Conflict::kCrdt;
  COT_TRY(CheckLeaderless(promise));
  return promise;
}

}  // namespace coterie::keyspace
