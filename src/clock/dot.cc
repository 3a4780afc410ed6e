#include "clock/dot.h"

#include <algorithm>

#include "base/assert.h"
#include "base/coding.h"

namespace coterie::clock {
namespace {

auto Find(auto& entries, Actor actor) {
  return std::lower_bound(
      entries.begin(), entries.end(), actor,
      [](const VersionVector::Entry& entry, Actor key) { return entry.first < key; });
}

}  // namespace

std::string ToText(Dot dot) {
  return "n" + std::to_string(dot.actor.value >> 16) + "." +
         std::to_string(dot.actor.value & 0xffff) + ":" + std::to_string(dot.counter);
}

std::uint64_t VersionVector::Get(Actor actor) const {
  const auto at = Find(entries_, actor);
  return at != entries_.end() && at->first == actor ? at->second : 0;
}

bool VersionVector::Covers(const VersionVector& other) const {
  auto mine = entries_.begin();
  for (const auto& [actor, counter] : other.entries_) {
    while (mine != entries_.end() && mine->first < actor) ++mine;
    if (mine == entries_.end() || mine->first != actor || mine->second < counter) return false;
  }
  return true;
}

void VersionVector::Include(Dot dot) {
  COT_ASSERT(dot.counter > 0);
  const auto at = Find(entries_, dot.actor);
  if (at != entries_.end() && at->first == dot.actor) {
    at->second = std::max(at->second, dot.counter);
  } else {
    entries_.insert(at, {dot.actor, dot.counter});
  }
}

void VersionVector::Join(const VersionVector& other) {
  std::size_t absent = 0;
  auto mine = entries_.begin();
  for (const auto& [actor, counter] : other.entries_) {
    while (mine != entries_.end() && mine->first < actor) ++mine;
    if (mine != entries_.end() && mine->first == actor) {
      mine->second = std::max(mine->second, counter);
    } else {
      ++absent;
    }
  }
  if (absent == 0) return;
  // From the back, so that nothing is overwritten before it has moved.
  std::size_t left = entries_.size();
  entries_.resize(left + absent);
  std::size_t to = entries_.size();
  for (std::size_t theirs = other.entries_.size(); theirs > 0;) {
    const Entry& next = other.entries_[theirs - 1];
    if (left > 0 && entries_[left - 1].first >= next.first) {
      if (entries_[left - 1].first == next.first) --theirs;
      entries_[--to] = entries_[--left];
    } else {
      entries_[--to] = next;
      --theirs;
    }
  }
  COT_ASSERT(to == left);
}

void VersionVector::Meet(const VersionVector& other) {
  auto theirs = other.entries_.begin();
  auto kept = entries_.begin();
  for (const Entry& entry : entries_) {
    while (theirs != other.entries_.end() && theirs->first < entry.first) ++theirs;
    if (theirs == other.entries_.end() || theirs->first != entry.first) continue;
    *kept++ = {entry.first, std::min(entry.second, theirs->second)};
  }
  entries_.erase(kept, entries_.end());
}

void Put(std::string& out, const VersionVector& vector) {
  PutVarint(out, vector.entries().size());
  for (const auto& [actor, counter] : vector.entries()) {
    PutVarint(out, actor.value);
    PutVarint(out, counter);
  }
}

bool Get(std::string_view& in, VersionVector& vector) {
  vector.entries_.clear();
  const auto count = GetVarint(in);
  // Two bytes an entry at the least: a count that cannot be true reserves nothing.
  if (!count || *count > in.size() / 2) return false;
  vector.entries_.reserve(*count);
  for (std::uint64_t i = 0; i < *count; ++i) {
    const auto actor = GetVarint(in);
    const auto counter = GetVarint(in);
    if (!actor || !counter || *actor > UINT32_MAX || *counter == 0) return false;
    const Actor key(static_cast<std::uint32_t>(*actor));
    if (i > 0 && vector.entries_.back().first >= key) return false;
    vector.entries_.emplace_back(key, *counter);
  }
  return true;
}

}  // namespace coterie::clock
