#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/coding.h"
#include "base/ids.h"
#include "clock/dot.h"
#include "replication/leaderless/messages.h"

// How the parts of messages are written; used by messages.cc and cells_messages.cc only.
namespace coterie::leaderless::wire {

/// Reads field after field; after the first malformed one everything reads as zero and ok() is
/// false.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : in_(bytes) {}
  bool ok() const { return ok_; }
  /// Well-formed to the last byte.
  bool done() const { return ok_ && in_.empty(); }

  std::uint64_t Varint() { return Take(GetVarint(in_)); }
  std::uint64_t Fixed64() { return Take(GetFixed64(in_)); }
  std::string_view Bytes() { return Take(GetLengthPrefixed(in_)); }
  std::string Text() { return std::string(Bytes()); }
  bool Flag() {
    const std::uint64_t flag = Varint();
    ok_ &= flag <= 1;
    return flag == 1;
  }
  ShardId Shard() { return ShardId(Varint()); }
  Epoch InEpoch() { return Epoch(Varint()); }
  Actor FromActor() {
    const std::uint64_t actor = Varint();
    ok_ &= actor <= UINT32_MAX;
    return Actor(static_cast<std::uint32_t>(actor));
  }
  VersionVector Vector() {
    VersionVector vector;
    ok_ = ok_ && clock::Get(in_, vector);
    return ok_ ? vector : VersionVector();
  }
  Fingerprint Print() {
    Fingerprint print;
    print.count = Varint();
    print.sum = Id();
    return print;
  }
  ItemId Id() {
    ItemId id;
    id.high = Fixed64();
    id.low = Fixed64();
    return id;
  }
  /// Reads a count and so many `read()`; a count that the bytes cannot hold is not believed.
  template <class Read>
  auto Many(Read read) {
    std::vector<decltype(read())> all;
    const std::uint64_t count = Varint();
    ok_ &= count <= in_.size();
    for (std::uint64_t i = 0; ok_ && i < count; ++i) all.push_back(read());
    return all;
  }

 private:
  template <class T>
  T Take(std::optional<T> field) {
    ok_ &= field.has_value();
    return ok_ ? *field : T();
  }

  std::string_view in_;
  bool ok_ = true;
};

inline void Put(std::string& out, const ItemId& id) {
  PutFixed64(out, id.high);
  PutFixed64(out, id.low);
}
inline void Put(std::string& out, const Fingerprint& print) {
  PutVarint(out, print.count);
  Put(out, print.sum);
}
template <class T, class Write>
void PutMany(std::string& out, const std::vector<T>& all, Write write) {
  PutVarint(out, all.size());
  for (const T& one : all) write(one);
}

}  // namespace coterie::leaderless::wire
