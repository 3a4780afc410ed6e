#include "model/cells/value.h"

#include <xxhash.h>

#include <bit>
#include <cmath>

#include "base/coding.h"

namespace coterie::cells {

bool IsTagged(std::string_view value) {
  return !value.empty() && (value.front() == kValueTag || value == std::string_view("\0", 1));
}

std::optional<std::string_view> Assigned(Policy policy, Kind kind, const crdt::Cell& cell) {
  const crdt::Entry* winner = crdt::Winner(cell);
  if (winner == nullptr) return std::nullopt;
  if (policy != Policy::kLww || (kind != Kind::kRegister && kind != Kind::kField)) {
    return *winner->value;
  }
  if (winner->value->front() == kNothingTag) return std::nullopt;
  return std::string_view(*winner->value).substr(1);
}

bool IsLive(Policy policy, Kind kind, const crdt::Cell& cell) {
  if (policy == Policy::kLww && (kind == Kind::kRegister || kind == Kind::kField)) {
    return Assigned(policy, kind, cell).has_value();
  }
  return cell.live();
}

std::int64_t WrappingAdd(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}

std::string FieldText(Policy policy, const crdt::Cell& cell) {
  const auto assigned = Assigned(policy, Kind::kField, cell);
  if (!crdt::HasSum(cell)) return std::string(assigned.value_or(std::string_view()));
  if (!assigned) return std::to_string(crdt::Sum(cell));
  const auto base = ParseInteger(*assigned);
  // Text was assigned while somebody added: the additions wait for a number.
  if (!base) return std::string(*assigned);
  return std::to_string(WrappingAdd(*base, crdt::Sum(cell)));
}

double ScoreOf(const crdt::Cell& cell) {
  const crdt::Entry* winner = crdt::Winner(cell);
  const double score =
      (winner != nullptr ? DecodeScore(*winner->value) : 0.0) + crdt::SumReal(cell);
  // Infinities of both signs, added at the same time: a number all the same, and the same on all.
  return std::isnan(score) ? 0.0 : score + 0.0;
}

std::optional<std::uint64_t> DeadlineOf(const crdt::Cell& cell) {
  const crdt::Entry* greatest = crdt::Greatest(cell);
  if (greatest == nullptr) return std::nullopt;
  return DecodeFixed(*greatest->value);
}

std::uint8_t RankOf(const crdt::Cell& cell) {
  const crdt::Entry* greatest = crdt::Greatest(cell);
  return greatest != nullptr ? static_cast<std::uint8_t>(greatest->value->front()) : 0;
}

std::int64_t AmountOf(const crdt::Cell& cell) {
  const crdt::Entry* winner = crdt::Winner(cell);
  return winner != nullptr ? static_cast<std::int64_t>(DecodeFixed(*winner->value)) : 0;
}

namespace {

void PutFingerprint(std::string& out, const crdt::Entry& entry) {
  PutFixed32(out, entry.dot.actor.value);
  PutFixed64(out, entry.dot.counter);
  PutFixed64(out, entry.time.value);
  PutFixed64(out, entry.run);
  out.push_back(entry.value ? 1 : 0);
  if (entry.value) PutLengthPrefixed(out, *entry.value);
}

}  // namespace

std::uint64_t Fingerprint(Policy policy, std::string_view cell_key, Kind kind,
                          const crdt::Cell& cell) {
  std::string bytes;
  PutLengthPrefixed(bytes, cell_key);
  if (policy == Policy::kLww && (kind == Kind::kRegister || kind == Kind::kField)) {
    // A purged "nothing" may live on beside a newer value, unseen, where it was not purged alone.
    PutFingerprint(bytes, *crdt::Winner(cell));
  } else {
    for (const crdt::Entry& entry : cell.entries) PutFingerprint(bytes, entry);
    PutFixed64(bytes, static_cast<std::uint64_t>(crdt::Sum(cell)));
    PutFixed64(bytes, std::bit_cast<std::uint64_t>(crdt::SumReal(cell) + 0.0));
  }
  return XXH3_64bits(bytes.data(), bytes.size());
}

}  // namespace coterie::cells
