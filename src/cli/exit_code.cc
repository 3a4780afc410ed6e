#include "cli/exit_code.h"

#include <fmt/format.h>

#include <cstdio>

namespace coterie::cli {

ExitCode ExitCodeFor(const Error& error) {
  if (error.outcome == Outcome::kUnknown) return kExitOutcomeUnknown;
  switch (error.code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kUnknownConfigKey:
    case ErrorCode::kInvalidConfig:
    case ErrorCode::kPromiseContradiction:
      return kExitUsage;
    case ErrorCode::kConnectFailed:
    case ErrorCode::kConnectionClosed:
    case ErrorCode::kNoDemo:
      return kExitCannotConnect;
    case ErrorCode::kPermissionDenied:
      return kExitAuth;
    case ErrorCode::kNotLeader:
    case ErrorCode::kNoLeader:
    case ErrorCode::kProposalDropped:
    case ErrorCode::kOverloaded:
    case ErrorCode::kTimedOut:
    case ErrorCode::kTooFewReplicas:
    case ErrorCode::kNotReplica:
    case ErrorCode::kStaleEpoch:
    case ErrorCode::kContended:
      return kExitPromise;
    case ErrorCode::kRemovedNode:
    case ErrorCode::kForgottenNode:
      return kExitRemoved;
    case ErrorCode::kOtherFounders:
    case ErrorCode::kAddressInUse:
    case ErrorCode::kUnimplemented:
    case ErrorCode::kKeyspaceExists:
    case ErrorCode::kNoKeyspace:
    case ErrorCode::kNoNode:
    case ErrorCode::kTooFewNodes:
    case ErrorCode::kRefusedOutsideDemo:
    case ErrorCode::kWrongCluster:
    case ErrorCode::kForeignData:
    case ErrorCode::kNewerData:
    case ErrorCode::kDataDirInUse:
      return kExitRefused;
    default:
      return static_cast<unsigned>(error.code) / 1000 == 4 ? kExitRefused : kExitServer;
  }
}

ExitCode Complain(const Error& error) {
  fmt::print(stderr, "coterie: {}\n", Describe(error));
  return ExitCodeFor(error);
}

}  // namespace coterie::cli
