#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "door/redis/command.h"
#include "door/redis/reply.h"
#include "door/redis/scan_cursors.h"
#include "door/redis/text.h"
#include "model/cells/store.h"
#include "node/leaderless/leaderless.h"
#include "runtime/world.h"

namespace coterie::door::redis {

/// The option words `MATCH pattern` and `COUNT n` of the SCAN family, from words[first] on.
struct ScanOptions {
  std::uint64_t cursor = 0;
  std::string pattern;  ///< "": all
  std::size_t count = 10;
  std::string type;  ///< SCAN only
};
/// One command on this node's replica: its words, what it may touch, where its reply goes. Every
/// key's shard is here.
struct CellCall {
  const Context& context;
  Words words;
  runtime::World& world;
  node::Leaderless& leaderless;
  cells::Store& store;
  ScanCursors& cursors;
  Reply reply;
  node::WriteTicket& ticket;

  std::size_t size() const { return words.size(); }
  std::string_view operator[](std::size_t i) const { return words[i]; }
  const placement::Shard& ShardOf(std::string_view key) const {
    return context.keyspace->ShardOf(key);
  }
  ShardId IdOf(std::string_view key) const { return ShardOf(key).id; }

  /// False, and the refusal in `reply`, if `key` holds another type.
  bool Expect(ShardId shard, std::string_view key, cells::ObjectType type) {
    const cells::ObjectType held = store.TypeOf(shard, key);
    if (held == cells::ObjectType::kNone || held == type) return true;
    reply.Error("WRONGTYPE Operation against a key holding the wrong kind of value");
    return false;
  }

  /// Makes an edit of `key`'s shard; false, and the error in `reply`, if it was refused. The reply
  /// is written afterwards, by what `make` left behind.
  template <class Make>
  bool Write(std::string_view key, Make&& make) {
    // By reference: a std::function that owns what `make` captured would allocate.
    Result<node::WriteTicket> made =
        leaderless.Write(*context.keyspace, ShardOf(key), std::ref(make));
    if (!made) {
      reply.Error(made.error());
      return false;
    }
    ticket = *made;
    return true;
  }

  /// The integer at `i`; nullopt, and Redis's error in `reply`, if it is none.
  std::optional<std::int64_t> Integer(std::size_t i);
  std::optional<double> Double(std::size_t i);
  /// How many elements words[i] asks a random sample for; nullopt, and an error, if too many.
  std::optional<std::int64_t> SampleCount(std::size_t i);
  /// Writes what `fill` writes behind a header with the number that it answers.
  template <class Fill>
  void Counted(void (Reply::*header)(std::size_t), Fill&& fill);
  /// Writes the beginning of an answer of the SCAN family: an array of two, and the next cursor.
  /// `walk(after, visit)` calls `visit(element, take)` for each element behind `after` in byte
  /// order until it answers false; `take` is called for those that belong in the answer.
  template <class Walk>
  void ScanFrom(const ScanOptions& options, Walk&& walk);
  /// The options of HSCAN and its like. nullopt: an error is in `reply`, or the answer, if the key
  /// is not there.
  std::optional<ScanOptions> ElementScan(cells::ObjectType type);
  void SyntaxError() { reply.Error("ERR syntax error"); }
  /// -NOTCRDT and the like, for an option of a command: "SET with NX <reason>".
  void RefuseOption(std::string_view option, std::string_view reason);
};

template <class Fill>
void CellCall::Counted(void (Reply::*header)(std::size_t), Fill&& fill) {
  std::string& out = reply.out();
  const std::size_t at = out.size();
  const std::size_t n = fill();
  std::string text;
  Reply first(text, reply.protocol());
  (first.*header)(n);
  out.insert(at, text);
}

template <class Walk>
void CellCall::ScanFrom(const ScanOptions& options, Walk&& walk) {
  const std::string after = cursors.Find(options.cursor).after;
  std::string last;
  std::size_t seen = 0;
  bool more = false;
  walk(std::string_view(after), [&](std::string_view element, auto&& take) {
    if (seen == options.count) {
      more = true;
      return false;
    }
    ++seen;
    last.assign(element);
    if (options.pattern.empty() || GlobMatch(options.pattern, element)) take();
    return true;
  });
  reply.Array(2);
  reply.Bulk(std::to_string(more ? cursors.Make({.part = 0, .after = last}) : 0));
}

using CellHandler = void (*)(CellCall&);
/// Null: no leaderless keyspace serves the command on keys.
CellHandler HandlerOf(CommandId id);

/// nullopt, and Redis's error in `reply`, if they cannot be read.
std::optional<ScanOptions> ParseScan(Words words, std::size_t cursor_at, bool with_type,
                                     Reply& reply);

// -- handlers, a file a type
// -----------------------------------------------------------------------
namespace cell_strings {
void Get(CellCall&);
void Set(CellCall&);
void SetEx(CellCall&);
void MGet(CellCall&);
void MSet(CellCall&);
void StrLen(CellCall&);
void GetRange(CellCall&);
void GetEx(CellCall&);
void Add(CellCall&);      // INCR DECR INCRBY DECRBY
void Coterie(CellCall&);  // SIBLINGS, RESOLVE
}  // namespace cell_strings

namespace cell_keys {
void Del(CellCall&);     // and UNLINK
void Exists(CellCall&);  // and TOUCH
void Type(CellCall&);
void Expire(CellCall&);      // EXPIRE PEXPIRE EXPIREAT PEXPIREAT
void TimeToLive(CellCall&);  // TTL PTTL EXPIRETIME PEXPIRETIME
void Persist(CellCall&);
void Object(CellCall&);
/// Sets a deadline, or removes the key if it has passed.
void ExpireIn(cells::Edit& edit, std::string_view key, std::int64_t at_ms, std::uint64_t now_ms);
}  // namespace cell_keys

namespace cell_hashes {
void HSet(CellCall&);  // and HMSET
void HGet(CellCall&);
void HMGet(CellCall&);
void HDel(CellCall&);
void HGetAll(CellCall&);  // and HKEYS, HVALS
void HLen(CellCall&);
void HExists(CellCall&);
void HStrLen(CellCall&);
void HIncrBy(CellCall&);
void HScan(CellCall&);
void HRandField(CellCall&);
}  // namespace cell_hashes

namespace cell_sets {
void SAdd(CellCall&);
void SRem(CellCall&);
void SMembers(CellCall&);
void SIsMember(CellCall&);
void SMIsMember(CellCall&);
void SCard(CellCall&);
void SScan(CellCall&);
void SRandMember(CellCall&);
void Combine(CellCall&);  // SUNION SINTER SDIFF
void SInterCard(CellCall&);
}  // namespace cell_sets

namespace cell_sorted_sets {
void ZAdd(CellCall&);
void ZIncrBy(CellCall&);
void ZRem(CellCall&);
void ZScore(CellCall&);
void ZMScore(CellCall&);
void ZCard(CellCall&);
void ZRank(CellCall&);  // and ZREVRANK
void ZScan(CellCall&);
void ZRandMember(CellCall&);
}  // namespace cell_sorted_sets

namespace cell_sorted_ranges {
void ZCount(CellCall&);
void ZLexCount(CellCall&);
void ZRange(CellCall&);        // ZRANGE in all its forms
void ZRangeLegacy(CellCall&);  // ZREVRANGE Z[REV]RANGEBYSCORE Z[REV]RANGEBYLEX
void ZRemRange(CellCall&);     // ZREMRANGEBYRANK, BYSCORE, BYLEX
}  // namespace cell_sorted_ranges

namespace cell_sorted_algebra {
void Combine(CellCall&);  // ZUNION ZINTER ZDIFF
void ZInterCard(CellCall&);
}  // namespace cell_sorted_algebra

namespace cell_hll {
void PfAdd(CellCall&);
void PfCount(CellCall&);
void PfMerge(CellCall&);
}  // namespace cell_hll

namespace cell_streams {
void XAdd(CellCall&);
void XLen(CellCall&);
void XRange(CellCall&);  // and XREVRANGE
void XRead(CellCall&);
void XDel(CellCall&);
}  // namespace cell_streams

}  // namespace coterie::door::redis
