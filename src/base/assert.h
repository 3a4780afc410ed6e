#pragma once

namespace coterie {

/// Prints `expression` with its place and the calling stack to stderr, then aborts. Never returns.
[[noreturn]] void AssertFailed(const char* expression, const char* file, int line);

}  // namespace coterie

/// An invariant of our own code, checked in every build. User input can never trip one: bad input
/// is an Error. Write `COT_ASSERT(a); COT_ASSERT(b);`, not `COT_ASSERT(a && b);`.
#define COT_ASSERT(expression)                          \
  (static_cast<bool>(expression) ? static_cast<void>(0) \
                                 : ::coterie::AssertFailed(#expression, __FILE__, __LINE__))
