#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "door/redis/ordered_kv.h"
#include "door/redis/ordered_view.h"

namespace coterie::door::redis::ordered {

/// A view of a raft keyspace: Redis objects as records of one KvTransaction. Every change of a
/// collection writes its header, and every use reads it, so that a transaction is guarded by one
/// comparison an object, however many elements it looked at.
class Objects final : public View {
 public:
  Objects(const kv::Store& store, Surroundings surroundings) : View(surroundings), kv_(store) {}

  // View
  const Object& Find(std::string_view key) override;
  void PutString(std::string_view key, std::string value, std::uint64_t expires_at_ms) override;
  void SetExpiry(std::string_view key, std::uint64_t expires_at_ms) override;
  void Remove(std::string_view key) override;
  Objects* objects() override { return this; }

  // Collections. Requires of those that change one: it is of the type, or not there. One without
  // elements is removed.
  using Element = std::pair<std::string, std::string>;
  std::optional<std::string> Get(std::string_view key, std::string_view element);
  /// Up to `max` (0: all) elements greater than `after`, or from the first one on, in order.
  std::vector<Element> Elements(std::string_view key, std::optional<std::string_view> after = {},
                                std::size_t max = 0);
  /// Some element; nullopt: there is none. Each is as likely in one of at most 512; in a
  /// larger one the choice is made byte by byte, evenly among the bytes that occur, so that it does
  /// not cost the whole collection.
  std::optional<Element> Draw(std::string_view key);
  /// True if the element is new.
  bool Put(std::string_view key, ObjectType type, std::string_view element, std::string value);
  /// True if it was there.
  bool Remove(std::string_view key, std::string_view element);

  // Sorted sets, besides the above, which keeps no order.
  std::optional<double> Score(std::string_view key, std::string_view member);
  /// True if the member is new.
  bool PutScore(std::string_view key, std::string_view member, double score);
  bool RemoveMember(std::string_view key, std::string_view member);
  /// Those from `from` up to before `to`, which are ScoreBounds or "": the ends; at most `max`.
  std::vector<Scored> Scores(std::string_view key, std::string from, std::string to,
                             std::size_t max);
  /// How many are in front of the member.
  std::size_t Rank(std::string_view key, double score, std::string_view member);

  // The keyspace as a whole.
  /// Up to `max` keys greater than `after` (nullopt: from the first on), in order; expired ones are
  /// left out, `next` is where to go on, nullopt at the end. Nothing guards it.
  struct Page {
    std::vector<std::string> keys;
    std::optional<std::string> next;
  };
  Page Keys(std::optional<std::string> after, std::size_t max);
  std::size_t KeyCount();
  void Flush();

  /// Some number that changes whenever the key does, for WATCH; and whether it is there.
  struct Version {
    std::int64_t string = 0, header = 0, expiry = 0;
    bool exists = false;
    friend bool operator==(const Version&, const Version&) = default;
  };
  Version VersionOf(std::string_view key);

  KvTransaction& kv() { return kv_; }

 private:
  Object& FindMutable(std::string_view key);
  Object Load(const std::string& key);
  void Erase(const std::string& key);
  void WriteHeader(std::string_view key, const Object& object);
  void DropExpired(std::vector<std::string>& keys);
  std::vector<std::string> KeysIn(KeyRange range, std::optional<std::string> after,
                                  std::size_t max);

  KvTransaction kv_;
  std::map<std::string, Object, std::less<>> objects_;
};

}  // namespace coterie::door::redis::ordered
