#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "cli/json.h"
#include "cli/process.h"
#include "runtime/network.h"

namespace coterie::cli {

/// One node of a demo cluster: a process of this program.
struct DemoNode {
  std::uint64_t id = 0;
  std::string name;  ///< "n1"
  std::string host;  ///< "127.0.0.1"
  Process process;   ///< the last one started for it; may have ended
  std::string config_path;
  std::string log_path;
  bool joined = false;  ///< added to a demo that ran

  runtime::Address etcd() const { return {host, 2379}; }
  runtime::Address redis() const { return {host, 6379}; }
  runtime::Address admin() const { return {host, 7070}; }
  runtime::Address peer() const { return {host, 7071}; }
};

/// A demo cluster as its directory remembers it, in demo.json.
struct DemoState {
  std::string dir;
  bool temporary = false;  ///< the directory goes when the demo is stopped
  bool stopped = false;    ///< as a whole, by `coterie demo --stop` or Ctrl-C
  std::string executable;
  std::string first_address;  ///< of n1
  int made = 0;               ///< nodes ever, those that have left included: names are not reused
  std::vector<DemoNode> nodes;

  const DemoNode* Find(std::string_view name) const;
  bool AnyAlive() const;
  /// Whether nodes came or went since it was first started.
  bool Changed() const;
};

Json ToJson(const DemoState& state);
Result<DemoState> DemoStateFromJson(const Json& document);

/// Writes `state` into its directory.
Status SaveDemo(const DemoState& state);
/// Reads the demo of a directory. Error kNoDemo if there is none.
Result<DemoState> LoadDemo(const std::string& dir);
/// The demo of `dir`; without one that of the working directory, if it is a demo's, else the only
/// one of this user on this machine that has not been stopped. Errors: kNoDemo; kInvalidArgument,
/// naming them, if there are several: never another's is taken.
Result<DemoState> FindDemo(const std::optional<std::string>& dir);

/// The demos of this user on this machine that have not been stopped, by directory. Those that are
/// no more are forgotten.
Result<std::vector<DemoState>> ListDemos();

/// Makes the demo of `dir` one that FindDemo and ListDemos know.
Status RememberDemo(const std::string& dir);
/// Undoes it.
void ForgetDemo(const std::string& dir);

/// Held while processes of the demo are started, stopped or recorded.
Result<FileLock> LockDemo(const std::string& dir);

}  // namespace coterie::cli
