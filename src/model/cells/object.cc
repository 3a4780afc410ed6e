#include "model/cells/object.h"

#include <algorithm>

#include "base/assert.h"
#include "base/coding.h"

namespace coterie::cells {
namespace {

constexpr char kRecordFormat = 1;
constexpr std::array kSingletonKinds = {Kind::kRegister, Kind::kCounter, Kind::kExpiry, Kind::kHll};
constexpr unsigned kCountsMask = 1U << kSingletonKinds.size();

constexpr std::array kCounts = {
    &Counts::operations, &Counts::fields, &Counts::members,       &Counts::scored,
    &Counts::entries,    &Counts::ranks,  &Counts::element_bytes, &Counts::cells,
};

/// What a node of a map, a set or a hash table costs beside its payload.
constexpr std::size_t kNodeBytes = 64;

}  // namespace

std::uint64_t& Counts::Of(Kind kind) {
  switch (kind) {
    case Kind::kField:
      return fields;
    case Kind::kMember:
      return members;
    case Kind::kScored:
      return scored;
    case Kind::kEntry:
      return entries;
    case Kind::kRank:
      return ranks;
    default:
      COT_ASSERT(kind == Kind::kOperation);
      return operations;
  }
}

const crdt::Cell& Object::singleton(Kind kind) const {
  static const crdt::Cell kNone;
  if (kind == Kind::kRegister) return value;
  return rest != nullptr ? rest->singleton(kind) : kNone;
}

crdt::Cell& Object::singleton(Kind kind) {
  return kind == Kind::kRegister ? value : Rest().singleton(kind);
}

bool Object::HasString(Policy policy) const {
  if (IsLive(policy, Kind::kRegister, value)) return true;
  return rest != nullptr && (rest->singleton(Kind::kCounter).live() || rest->counts.operations > 0);
}

bool Object::HasHll() const {
  return rest != nullptr && (rest->singleton(Kind::kHll).live() || rest->counts.ranks > 0);
}

bool Object::HasData(Policy policy) const {
  if (HasString(policy)) return true;
  return rest != nullptr && (rest->counts.live() > 0 || rest->singleton(Kind::kHll).live());
}

std::optional<std::uint64_t> Object::Deadline(Policy policy) const {
  if (rest == nullptr) return std::nullopt;
  const crdt::Cell& expiry = rest->singleton(Kind::kExpiry);
  if (!expiry.live()) return std::nullopt;
  std::optional<std::uint64_t> deadline;
  if (policy == Policy::kLww && IsLive(policy, Kind::kRegister, value)) {
    // One that was meant for an earlier string says nothing of this one.
    const clock::HybridTime since = crdt::Winner(value)->time;
    for (const crdt::Entry& entry : expiry.entries) {
      if (entry.value && entry.time >= since)
        deadline = std::max(deadline.value_or(0), DecodeFixed(*entry.value));
    }
  } else {
    deadline = DeadlineOf(expiry);
  }
  return deadline == kNever ? std::nullopt : deadline;
}

bool Object::IsBlank() const {
  for (const Kind kind : kSingletonKinds) {
    if (!singleton(kind).context.empty()) return false;
  }
  return counts() == Counts();
}

std::size_t CellBytes(const crdt::Cell& cell) {
  std::size_t bytes = (cell.entries.size() + cell.removed.size()) * sizeof(crdt::Entry) +
                      cell.context.entries().size() * sizeof(clock::VersionVector::Entry);
  for (const crdt::Entry& entry : cell.entries) {
    if (entry.value) bytes += entry.value->size();
  }
  return bytes;
}

std::size_t Object::Bytes() const {
  std::size_t bytes = sizeof(Object) + 2 * kNodeBytes + key.size() + CellBytes(value);
  if (rest != nullptr) {
    bytes += sizeof(Collection) + rest->bytes + rest->by_score.size() * kNodeBytes;
    for (const crdt::Cell& cell : rest->singletons) bytes += CellBytes(cell);
  }
  return bytes;
}

std::string EncodeRecord(const Object& object) {
  unsigned mask = 0;
  for (std::size_t i = 0; i < kSingletonKinds.size(); ++i) {
    if (!object.singleton(kSingletonKinds[i]).context.empty()) mask |= 1U << i;
  }
  const Counts& counts = object.counts();
  if (counts != Counts()) mask |= kCountsMask;
  std::string out;
  out.push_back(kRecordFormat);
  out.push_back(static_cast<char>(mask));
  for (std::size_t i = 0; i < kSingletonKinds.size(); ++i) {
    if ((mask & 1U << i) == 0) continue;
    PutLengthPrefixed(out, crdt::Encode(object.singleton(kSingletonKinds[i])));
  }
  if ((mask & kCountsMask) != 0) {
    for (const auto member : kCounts) PutVarint(out, counts.*member);
    PutFixed64(out, static_cast<std::uint64_t>(counts.operation_sum));
  }
  return out;
}

bool DecodeRecord(std::string_view bytes, Object& object) {
  if (bytes.size() < 2 || bytes[0] != kRecordFormat) return false;
  const auto mask = static_cast<unsigned char>(bytes[1]);
  bytes.remove_prefix(2);
  for (std::size_t i = 0; i < kSingletonKinds.size(); ++i) {
    if ((mask & 1U << i) == 0) continue;
    const auto encoded = GetLengthPrefixed(bytes);
    if (!encoded) return false;
    auto cell = crdt::Decode(*encoded);
    if (!cell) return false;
    object.singleton(kSingletonKinds[i]) = std::move(*cell);
  }
  if ((mask & kCountsMask) != 0) {
    Counts& counts = object.Rest().counts;
    for (const auto member : kCounts) {
      const auto count = GetVarint(bytes);
      if (!count) return false;
      counts.*member = *count;
    }
    const auto sum = GetFixed64(bytes);
    if (!sum) return false;
    counts.operation_sum = static_cast<std::int64_t>(*sum);
  }
  if (object.rest != nullptr) object.rest->complete = object.rest->counts.cells == 0;
  return bytes.empty();
}

}  // namespace coterie::cells
