#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "storage/engine.h"

namespace coterie::storage {

/// An ordered map whose every state that somebody still looks at can be read: a key holds a chain
/// of versions, newest first, each with the sequence number of the batch that wrote it. A version
/// lives as long as it is the newest or a pinned sequence number sees it. With nothing pinned every
/// key holds exactly one live version.
class VersionMap {
 public:
  using Sequence = std::uint64_t;

  struct Version {
    Sequence sequence;
    std::optional<std::string> value;  // nullopt: deleted
    std::unique_ptr<Version> older;
  };
  struct Cell {
    // Versions are allocated one by one: an Iterator's value() must not move when a newer one
    // arrives.
    std::unique_ptr<Version> newest;
    bool queued = false;
  };
  using Map = std::map<std::string, Cell, std::less<>>;

  /// Applies the batch as one sequence number.
  void Apply(Batch batch);
  Sequence last() const { return last_; }

  /// Keeps the state at last() readable until Unpin of the answer.
  Sequence Pin();
  void Unpin(Sequence sequence);

  /// The value that `sequence` sees; nullptr: none. Requires: pinned, or last().
  static const std::string* ValueAt(const Cell& cell, Sequence sequence);
  const std::string* Find(std::string_view key, Sequence sequence) const;

  const Map& map() const { return map_; }
  std::uint64_t bytes() const { return bytes_; }
  /// Versions held, for tests of the garbage collection.
  std::size_t versions() const { return versions_; }

 private:
  void Set(std::string key, std::optional<std::string> value);
  void DeleteRange(const std::string& begin, const std::string& end);
  void Supersede(Map::iterator at, std::optional<std::string> value);
  void Prune(Cell& cell);
  void Queue(Map::iterator at);
  void Collect();
  bool Seen(Sequence from, Sequence until) const;
  void Erase(Map::iterator at);

  struct Garbage {
    Sequence superseded;  // collectable when no pin is below it
    Map::iterator at;
  };

  Map map_;
  std::multiset<Sequence> pins_;
  std::deque<Garbage> garbage_;
  Sequence last_ = 0;
  std::uint64_t bytes_ = 0;
  std::size_t versions_ = 0;
};

}  // namespace coterie::storage
