#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "clock/dot.h"
#include "clock/hybrid.h"
#include "replication/leaderless/reconciliation.h"

// What replicas of convergent shards say to each other, as bytes. README.md has the table. Every
// Decode is total: nullopt on anything malformed.
namespace coterie::leaderless {

using clock::Actor;
using clock::Dot;
using clock::HybridTime;
using clock::VersionVector;

// -- batches of mutations: the hot path, so views and no structure in between
// ----------------------

/// Begins a batch: frames of one actor to one node are numbered from 1.
void BeginBatch(Actor from, std::uint64_t number, std::string& out);
/// Adds an encoded mutation, made under the shard's `epoch`.
void AddToBatch(Epoch epoch, std::string_view mutation, std::string& out);
struct BatchReader {
  Actor from;
  std::uint64_t number = 0;
  std::string_view rest;  ///< (epoch, mutation) pairs
  /// nullopt at the end and where it is malformed: then `rest` is not empty.
  std::optional<std::pair<Epoch, std::string_view>> Next();
};
std::optional<BatchReader> ReadBatch(std::string_view bytes);

// -- answers to batches, and accounts: one kind of frame
// -------------------------------------------

/// Why a replica did not take mutations of a shard.
enum class Refusal : std::uint8_t {
  kGap = 1,         ///< some before them are missing: to be sent again from `applied` on
  kStaleEpoch = 2,  ///< made under an older map than `epoch`
  kNotReplica = 3,  ///< the shard is not open here (yet)
  kTooFarAhead = 4,
};
struct Refused {
  Refusal why;
  ShardId shard;
  Epoch epoch;                ///< the refusing replica's
  std::uint64_t batch = 0;    ///< that it was in
  std::uint64_t applied = 0;  ///< of the asking actor's, in that shard
  friend bool operator==(const Refused&, const Refused&) = default;
};
/// The mutations of these batches are applied, as durable as their keyspace says, but for those
/// that were refused.
struct Acks {
  Actor to;  ///< who made the batches; another incarnation ignores them
  std::vector<std::uint64_t> batches;
  std::vector<Refused> refused;
  friend bool operator==(const Acks&, const Acks&) = default;
};
/// What a node knows, of the shards that it shares with the one it tells.
struct Account {
  struct OfShard {
    ShardId shard;
    Epoch epoch;
    VersionVector applied;
    VersionVector durable;
    friend bool operator==(const OfShard&, const OfShard&) = default;
  };
  Actor from;
  HybridTime time;
  std::vector<OfShard> shards;
  friend bool operator==(const Account&, const Account&) = default;
};
std::string Encode(const Acks& acks);
std::string Encode(const Account& account);
std::optional<std::variant<Acks, Account>> DecodeAnswer(std::string_view bytes);

// -- calls: whole cells, dot ranges, digests
// -------------------------------------------------------

struct KeyRange {
  std::string from;
  std::string to;  ///< "": to the end
  friend bool operator==(const KeyRange&, const KeyRange&) = default;
};
struct KeyCell {
  std::string key;
  std::string cell;
  friend bool operator==(const KeyCell&, const KeyCell&) = default;
};

/// Mutations that `applied` does not cover.
struct DotsRequest {
  ShardId shard;
  Epoch epoch;
  VersionVector applied;
};
struct DotsReply {
  VersionVector applied;               ///< of the answering replica
  bool more = false;                   ///< there are others like these
  bool beyond = false;                 ///< some are no longer here one by one: reconcile
  std::vector<std::string> mutations;  ///< each actor's in order
};
struct SummariesRequest {
  ShardId shard;
  Epoch epoch;
  std::vector<KeyRange> ranges;
};
struct SummariesReply {
  VersionVector applied;  ///< before the first cell was looked at
  std::vector<Summary> summaries;
};
struct FetchRequest {
  ShardId shard;
  Epoch epoch;
  std::vector<KeyRange> ranges;
};
struct FetchReply {
  VersionVector applied;  ///< when the cells were read
  std::vector<KeyCell> cells;
  /// Where to go on: in this range of the request, from this key. At the end: past the last range.
  std::uint64_t resume_range = 0;
  std::string resume_key;
};
/// Cells for the other to join.
struct GiveRequest {
  ShardId shard;
  Epoch epoch;
  VersionVector applied;  ///< of the giving replica, when it read the cells
  std::vector<KeyCell> cells;
};
/// All cells of one object, if the answering replica has applied a change of it that the asking one
/// has not.
struct ObjectRequest {
  ShardId shard;
  Epoch epoch;
  std::string key;
  VersionVector applied;  ///< of the asking replica
};
struct ObjectReply {
  VersionVector applied;
  bool large = false;  ///< too many to be sent: reconcile
  std::vector<KeyCell> cells;
};
struct DigestsRequest {
  std::vector<ShardId> shards;
};
struct DigestsReply {
  struct Digest {
    ShardId shard;
    std::uint64_t digest = 0;
    std::string applied;
  };
  std::vector<Digest> digests;
};

using CellsRequest = std::variant<DotsRequest, SummariesRequest, FetchRequest, GiveRequest,
                                  ObjectRequest, DigestsRequest>;
std::string Encode(const CellsRequest& request);
std::optional<CellsRequest> DecodeCellsRequest(std::string_view bytes);

std::string Encode(const DotsReply& reply);
std::string Encode(const SummariesReply& reply);
std::string Encode(const FetchReply& reply);
std::string Encode(const ObjectReply& reply);
std::string Encode(const DigestsReply& reply);
std::optional<DotsReply> DecodeDotsReply(std::string_view bytes);
std::optional<SummariesReply> DecodeSummariesReply(std::string_view bytes);
std::optional<FetchReply> DecodeFetchReply(std::string_view bytes);
std::optional<ObjectReply> DecodeObjectReply(std::string_view bytes);
std::optional<DigestsReply> DecodeDigestsReply(std::string_view bytes);

}  // namespace coterie::leaderless
