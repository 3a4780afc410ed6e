#include <bit>
#include <cmath>

#include "base/assert.h"
#include "base/coding.h"
#include "crdt/cell.h"

namespace coterie::crdt {
namespace {

constexpr char kFormat = 1;
// What an entry holds; the values are on disk.
constexpr std::uint8_t kValue = 1;
constexpr std::uint8_t kInteger = 2;
constexpr std::uint8_t kReal = 4;

/// Small magnitudes, of either sign, become small numbers.
std::uint64_t ZigZag(std::int64_t v) {
  return static_cast<std::uint64_t>(v) << 1 ^ static_cast<std::uint64_t>(v >> 63);
}
std::int64_t UnZigZag(std::uint64_t v) {
  return static_cast<std::int64_t>(v >> 1 ^ (~(v & 1) + 1));
}

/// A dot as a place in the context and the distance to the newest known there: two bytes, mostly.
void PutDot(std::string& out, Dot dot, const VersionVector& context) {
  const auto& known = context.entries();
  std::size_t place = 0;
  while (place < known.size() && known[place].first != dot.actor) ++place;
  COT_ASSERT(place < known.size() && known[place].second >= dot.counter);
  PutVarint(out, place);
  PutVarint(out, known[place].second - dot.counter);
}

bool GetDot(std::string_view& in, const VersionVector& context, Dot& dot) {
  const auto place = GetVarint(in);
  const auto behind = GetVarint(in);
  if (!place || !behind || *place >= context.entries().size()) return false;
  const auto& [actor, newest] = context.entries()[*place];
  if (*behind >= newest) return false;
  dot = {actor, newest - *behind};
  return true;
}

void PutEntry(std::string& out, const Entry& entry, const VersionVector& context, bool timed) {
  PutDot(out, entry.dot, context);
  const bool real = std::bit_cast<std::uint64_t>(entry.real) != 0;
  const int kind = entry.value ? kValue : (entry.integer != 0 ? kInteger : 0) | (real ? kReal : 0);
  out.push_back(static_cast<char>(kind));
  if (timed) PutFixed64(out, entry.time.value);
  if (entry.value) {
    PutLengthPrefixed(out, *entry.value);
    return;
  }
  COT_ASSERT(entry.run > 0 && entry.run <= entry.dot.counter);
  PutVarint(out, entry.dot.counter - entry.run);
  if (entry.integer != 0) PutVarint(out, ZigZag(entry.integer));
  if (real) PutFixed64(out, std::bit_cast<std::uint64_t>(entry.real));
}

bool GetSum(std::string_view& in, std::uint8_t kind, Entry& entry) {
  const auto since = GetVarint(in);
  if (!since || *since >= entry.dot.counter) return false;
  entry.run = entry.dot.counter - *since;
  if ((kind & kInteger) != 0) {
    const auto integer = GetVarint(in);
    if (!integer || *integer == 0) return false;
    entry.integer = UnZigZag(*integer);
  }
  if ((kind & kReal) != 0) {
    const auto bits = GetFixed64(in);
    if (!bits) return false;
    entry.real = std::bit_cast<double>(*bits);
    if (!std::isfinite(entry.real) || entry.real == 0) return false;
  }
  return true;
}

bool GetEntry(std::string_view& in, const VersionVector& context, bool timed, Entry& entry) {
  if (!GetDot(in, context, entry.dot) || in.empty()) return false;
  const auto kind = static_cast<std::uint8_t>(in.front());
  in.remove_prefix(1);
  if (timed) {
    const auto time = GetFixed64(in);
    if (!time) return false;
    entry.time = HybridTime(*time);
  }
  if ((kind & ~(kInteger | kReal)) == 0) return GetSum(in, kind, entry);
  if (kind != kValue || !timed) return false;
  const auto value = GetLengthPrefixed(in);
  if (!value) return false;
  entry.value.emplace(*value);
  return true;
}

/// `timed`: the entries that survive; else the floors.
bool GetEntries(std::string_view& in, const VersionVector& context, bool timed,
                std::vector<Entry>& entries) {
  const auto count = GetVarint(in);
  // Four bytes an entry at the least: a count that cannot be true reserves nothing.
  if (!count || *count > in.size() / 4) return false;
  entries.resize(*count);
  const Entry* last_sum = nullptr;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    Entry& entry = entries[i];
    if (!GetEntry(in, context, timed, entry)) return false;
    const bool sum = !entry.value;
    if (sum && last_sum != nullptr && last_sum->dot.actor == entry.dot.actor) return false;
    if (sum) last_sum = &entry;
    if (i == 0) continue;
    const Entry& before = entries[i - 1];
    const bool twin = before.dot == entry.dot && !before.value && entry.value;
    if (before.dot >= entry.dot && !twin) return false;
  }
  return true;
}

}  // namespace

std::string Encode(const Cell& cell) {
  std::string out;
  Encode(cell, out);
  return out;
}

void Encode(const Cell& cell, std::string& out) {
  out.push_back(kFormat);
  Put(out, cell.context);
  PutVarint(out, cell.entries.size());
  for (const Entry& entry : cell.entries) PutEntry(out, entry, cell.context, true);
  PutVarint(out, cell.removed.size());
  for (const Entry& floor : cell.removed) PutEntry(out, floor, cell.context, false);
}

std::optional<Cell> Decode(std::string_view bytes) {
  if (bytes.empty() || bytes.front() != kFormat) return std::nullopt;
  bytes.remove_prefix(1);
  std::optional<Cell> cell(std::in_place);
  if (!Get(bytes, cell->context) || !GetEntries(bytes, cell->context, true, cell->entries) ||
      !GetEntries(bytes, cell->context, false, cell->removed) || !bytes.empty()) {
    return std::nullopt;
  }
  return cell;
}

}  // namespace coterie::crdt
