#pragma once

#include <span>

#include "check/history.h"

namespace coterie::check {

/// Tries the one order that the revisions in the answers suggest, in O(n log n). True is a proof:
/// the order respects real time, and replaying it on a plain store gives every answer; nothing that
/// the server said about order is believed. False says nothing: another order may do.
///
/// `operations` as in CheckLinearizable: answered ones, and writes of unknown outcome. Those that
/// somebody saw take the revision they were seen with; the others come in only where an answer
/// cannot be explained without one of them.
bool RevisionsAreAWitness(std::span<const Operation* const> operations);

}  // namespace coterie::check
