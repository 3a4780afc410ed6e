#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "crdt/cell.h"
#include "keyspace/promise.h"
#include "model/cells/layout.h"

// What a reader sees of a cell, by its kind and its keyspace's policy.
namespace coterie::cells {

using Policy = keyspace::Conflict;

// kLww: the assigned values of registers and fields begin with a tag, since "nothing" is one.
constexpr char kNothingTag = 0;
constexpr char kValueTag = 1;
bool IsTagged(std::string_view value);

/// The assigned value that readers see, without its tag; nullopt: none, or "nothing". A view into
/// the cell. Requires: the kind is one whose values are assigned.
std::optional<std::string_view> Assigned(Policy policy, Kind kind, const crdt::Cell& cell);
/// Whether the cell is part of its object, for readers.
bool IsLive(Policy policy, Kind kind, const crdt::Cell& cell);
/// A hash field as readers see it; requires IsLive.
std::string FieldText(Policy policy, const crdt::Cell& cell);
/// The score of a live member.
double ScoreOf(const crdt::Cell& cell);
/// The greatest deadline; nullopt: none is set. kNever: it lives on.
std::optional<std::uint64_t> DeadlineOf(const crdt::Cell& cell);
std::uint8_t RankOf(const crdt::Cell& cell);
/// What a named addition amounts to.
std::int64_t AmountOf(const crdt::Cell& cell);
/// a + b as two's complement does it.
std::int64_t WrappingAdd(std::int64_t a, std::int64_t b);

/// Of the digest: what readers may come to see of a live cell.
std::uint64_t Fingerprint(Policy policy, std::string_view cell_key, Kind kind,
                          const crdt::Cell& cell);

}  // namespace coterie::cells
