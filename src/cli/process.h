#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "runtime/network.h"

namespace coterie::cli {

// The command's own dealings with the machine: processes, signals, files. Real world only and
// blocking; nodes never come here.

/// A process that cannot be mistaken for a later one with the same number.
struct Process {
  int pid = 0;
  std::uint64_t start_ticks = 0;  ///< /proc/<pid>/stat field 22
  friend bool operator==(const Process&, const Process&) = default;
};

enum class ProcessState { kGone, kRunning, kPaused };

struct LaunchSpec {
  std::string executable;
  std::vector<std::string> arguments;  ///< without the program's own name
  std::string log_path;                ///< stdout and stderr are appended here
  bool end_with_parent = false;        ///< SIGTERM to it when the calling thread ends
};

/// The path of this program.
std::string SelfExecutable();

/// Starts a program in a session of its own, with stdin from /dev/null. Error kIo.
Result<Process> Launch(const LaunchSpec& spec);

/// Ended, also if nobody has waited for it yet, or replaced by another process: kGone.
ProcessState StateOf(Process process);

/// Signals `process` if it is still the same one; error kNotFound if it is gone.
Status Signal(Process process, int signal);

/// The processor time, user and system, that a process has used so far; zero if it is gone. In
/// steps of the kernel's clock tick, usually 10 ms.
Duration CpuTimeOf(int pid);

/// The memory that a process holds resident, in bytes; 0 if it is gone.
std::uint64_t ResidentBytesOf(int pid);

/// Waits up to `limit` until `process` is gone. False: it is still there.
bool WaitGone(Process process, Duration limit);

/// SIGTERM, and SIGCONT in case it is paused. Error kNotFound if it is gone.
Status RequestStop(Process process);

/// RequestStop, then SIGKILL when `grace` has passed; answers when it is gone.
void Stop(Process process, Duration grace);

/// Collects ended children of this process, so that they do not stay as zombies.
void ReapChildren();

void SleepFor(Duration duration);
/// Of this machine, since some instant: for deadlines of loops that also spend time on asking.
Instant MonotonicNow();

/// "host:port" as an address; a name is looked up, and its first address taken, IPv4 before IPv6.
/// Errors: kInvalidArgument, kConnectFailed (no such name). Blocks.
Result<runtime::Address> ResolveEndpoint(const std::string& text);

/// Files and directories that this process makes from now on are its user's alone.
void KeepFilesPrivate();

/// Whether something could listen there now. Errors: kAddressInUse, kInvalidArgument.
Status CheckFree(const runtime::Address& address);

/// While it lives, SIGINT, SIGTERM and SIGHUP are held back and asked for with Wait.
class SignalWatch {
 public:
  SignalWatch();
  ~SignalWatch();
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;
  /// The signal that arrived within `limit`, or nullopt.
  std::optional<int> Wait(Duration limit);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// An exclusive lock on a file, created if missing; held as long as it lives. Waits for its holder.
class FileLock {
 public:
  static Result<FileLock> Take(const std::string& path);
  FileLock(FileLock&& other) noexcept;
  ~FileLock();

 private:
  explicit FileLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

/// Errors: kNotFound, kIo.
Result<std::string> ReadTextFile(const std::string& path);
/// Replaces the file by renaming a complete new one over it. Error kIo.
Status WriteTextFile(const std::string& path, const std::string& text);
/// The paths of what a directory holds, in order; none if it cannot be read.
std::vector<std::string> FilesIn(const std::string& directory);
/// Creates a directory and its parents. Error kIo.
Status MakeDirectories(const std::string& path);
/// A directory for this user's own run-time files: $XDG_RUNTIME_DIR/coterie, or /tmp/coterie-<uid>.
/// Created for the user alone; error kPermissionDenied if it belongs to somebody else.
Result<std::string> RuntimeDirectory();
/// A fresh directory `<RuntimeDirectory>/<prefix>XXXXXX`.
Result<std::string> MakeTemporaryDirectory(const std::string& prefix);
/// Removes a tree. Errors are ignored: it is called on the way out.
void RemoveTree(const std::string& path);
std::string AbsolutePath(const std::string& path);
bool IsTerminal(int descriptor);
/// The variable's value, nullopt if it is not set.
std::optional<std::string> Environment(const std::string& name);
/// The variables whose names start with `prefix`, by name.
std::vector<std::pair<std::string, std::string>> EnvironmentWith(std::string_view prefix);

}  // namespace coterie::cli
