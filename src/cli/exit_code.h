#pragma once

#include "base/status.h"

namespace coterie::cli {

/// What the command answers to the shell. The numbers are stable.
enum ExitCode : int {
  kExitOk = 0,
  kExitUsage = 1,          ///< the command line or the configuration is wrong
  kExitCannotConnect = 2,  ///< nobody answers there
  kExitAuth = 3,           ///< the caller may not do that
  kExitRefused = 4,        ///< asked correctly, refused for a reason that repeating does not change
  kExitServer = 5,         ///< the node or this machine failed
  kExitPromise = 6,        ///< a keyspace cannot keep its promise now; later may help
  kExitOutcomeUnknown = 7,  ///< it may have happened
  kExitCheckFailed = 8,     ///< a check ran and found a violation
  kExitRemoved = 9,  ///< the node was removed, or lost its directory: starting it again is no use
};

/// An unknown outcome decides before the code does: a script must not repeat such a command
/// blindly.
ExitCode ExitCodeFor(const Error& error);

/// Prints `error` with its code and hint to stderr and answers its exit code.
ExitCode Complain(const Error& error);

}  // namespace coterie::cli
