#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace coterie::leaderless {

// Range-based set reconciliation of two replicas' cells [RBSR §3]: fingerprints of key ranges are
// compared, ranges that differ are cut into 16, and small ones are listed. Costs bytes in
// proportion to the difference and one round trip a level; keeps nothing between calls. Pure.

/// What identifies a cell with its content: 128 bits of a hash of both.
struct ItemId {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  friend auto operator<=>(const ItemId&, const ItemId&) = default;
};
ItemId IdOf(std::string_view key, std::string_view cell);

/// Of a set of items, whatever their order: how many, and the sum of their ids modulo 2^128.
struct Fingerprint {
  std::uint64_t count = 0;
  ItemId sum;
  void Add(const ItemId& id);
  void Add(const Fingerprint& other);
  friend bool operator==(const Fingerprint&, const Fingerprint&) = default;
};

struct Item {
  std::string key;
  ItemId id;
  friend bool operator==(const Item&, const Item&) = default;
};

/// One side's account of a range: its items if they are few, else adjoining parts of it.
struct Summary {
  struct Part {
    std::string from;  ///< up to the next part's, the last up to the end of the range
    Fingerprint fingerprint;
    friend bool operator==(const Part&, const Part&) = default;
  };
  std::vector<Item> items;  ///< in key order; all there are, when `parts` is empty
  std::vector<Part> parts;  ///< ascending; the first begins where the range does
  friend bool operator==(const Summary&, const Summary&) = default;
};

/// Makes a Summary of a range from one pass over its cells in key order, in bounded memory.
class Summariser {
 public:
  static constexpr std::size_t kListedMax = 48;
  static constexpr std::size_t kParts = 16;

  explicit Summariser(std::string from) : from_(std::move(from)) {}
  void Add(std::string_view key, std::string_view cell);
  /// Once.
  Summary Finish();

 private:
  void MergePairs();

  std::string from_;
  std::vector<Item> items_;  // until they are too many
  std::vector<Summary::Part> blocks_;
  std::uint64_t block_items_ = 1;  // in each block but the last
  Fingerprint all_;
};

/// The keys of the items that one side lacks, or has with another content.
struct Difference {
  std::vector<std::string> wanted;   ///< theirs that are not mine
  std::vector<std::string> offered;  ///< mine that are not theirs
};
/// Adds to `difference`. Both in key order.
void Compare(const std::vector<Item>& mine, const std::vector<Item>& theirs,
             Difference& difference);

}  // namespace coterie::leaderless
