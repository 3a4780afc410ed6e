#include "cli/process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/assert.h"

namespace coterie::cli {
namespace {

std::string SystemError(std::string_view what, std::string_view subject) {
  return fmt::format("{} {}: {}", what, subject, std::strerror(errno));
}

timespec ToTimespec(Duration duration) {
  const auto ns = std::max<std::int64_t>(duration.count(), 0);
  return {.tv_sec = ns / 1'000'000'000, .tv_nsec = ns % 1'000'000'000};
}

struct StatLine {
  char state;
  std::uint64_t user_ticks;
  std::uint64_t system_ticks;
  int threads;
  std::uint64_t start_ticks;
};

/// What /proc says of a process. The program's name in field 2 may hold spaces and brackets, so
/// fields are counted from the last ')'.
std::optional<StatLine> ReadStat(int pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::stringstream content;
  content << file.rdbuf();
  const std::string text = content.str();
  const std::size_t bracket = text.rfind(')');
  if (bracket == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(bracket + 1));
  StatLine line{};
  std::string skipped;
  fields >> line.state;
  for (int field = 4; field < 14; ++field) fields >> skipped;
  fields >> line.user_ticks >> line.system_ticks;
  for (int field = 16; field < 20; ++field) fields >> skipped;
  fields >> line.threads >> skipped >> line.start_ticks;
  if (!fields) return std::nullopt;
  return line;
}

/// The child's side of Launch, from fork to exec: async-signal-safe calls only.
[[noreturn]] void BecomeProgram(const char* path, char* const* argv, int log, bool end_with_parent,
                                int parent) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  setsid();
  if (end_with_parent) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(127);  // it ended before the line above
  }
  const int null = open("/dev/null", O_RDONLY);
  dup2(null, STDIN_FILENO);
  dup2(log, STDOUT_FILENO);
  dup2(log, STDERR_FILENO);
  if (null > STDERR_FILENO) close(null);
  if (log > STDERR_FILENO) close(log);
  execv(path, argv);
  constexpr std::string_view kMessage = "coterie: the program cannot be executed\n";
  [[maybe_unused]] const auto ignored = write(STDERR_FILENO, kMessage.data(), kMessage.size());
  _exit(127);
}

}  // namespace

std::string SelfExecutable() {
  std::error_code error;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? "/proc/self/exe" : path.string();
}

Result<Process> Launch(const LaunchSpec& spec) {
  const int log = open(spec.log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (log < 0) return Fail(ErrorCode::kIo, SystemError("opening", spec.log_path));
  std::vector<std::string> words = spec.arguments;
  words.insert(words.begin(), spec.executable);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);

  const int parent = getpid();
  const int pid = fork();
  if (pid == 0) {
    BecomeProgram(spec.executable.c_str(), argv.data(), log, spec.end_with_parent, parent);
  }
  const int fork_errno = errno;
  close(log);
  errno = fork_errno;
  if (pid < 0) return Fail(ErrorCode::kIo, SystemError("starting", spec.executable));
  const std::optional<StatLine> stat = ReadStat(pid);  // our unreaped child: /proc has it
  return Process{.pid = pid, .start_ticks = stat ? stat->start_ticks : 0};
}

ProcessState StateOf(Process process) {
  if (process.pid <= 0) return ProcessState::kGone;
  const std::optional<StatLine> stat = ReadStat(process.pid);
  if (!stat || stat->start_ticks != process.start_ticks) return ProcessState::kGone;
  // The first thread can be a zombie while others still hold the process's files and ports.
  const bool ended = stat->state == 'Z' || stat->state == 'X';
  if (ended) return stat->threads > 1 ? ProcessState::kRunning : ProcessState::kGone;
  return stat->state == 'T' || stat->state == 't' ? ProcessState::kPaused : ProcessState::kRunning;
}

Status Signal(Process process, int signal) {
  if (StateOf(process) == ProcessState::kGone) {
    return Fail(ErrorCode::kNotFound, fmt::format("process {} has ended", process.pid));
  }
  if (kill(process.pid, signal) != 0) {
    return Fail(errno == EPERM ? ErrorCode::kPermissionDenied : ErrorCode::kNotFound,
                SystemError("signalling process", fmt::to_string(process.pid)));
  }
  return Ok();
}

Duration CpuTimeOf(int pid) {
  const std::optional<StatLine> stat = ReadStat(pid);
  if (!stat) return Duration{};
  const auto ticks_per_second = static_cast<std::uint64_t>(sysconf(_SC_CLK_TCK));
  const std::uint64_t ticks = stat->user_ticks + stat->system_ticks;
  return std::chrono::nanoseconds(ticks * 1'000'000'000 / ticks_per_second);
}

std::uint64_t ResidentBytesOf(int pid) {
  std::ifstream file(fmt::format("/proc/{}/statm", pid));
  std::uint64_t total_pages = 0;
  std::uint64_t resident_pages = 0;
  file >> total_pages >> resident_pages;
  return file ? resident_pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE)) : 0;
}

bool WaitGone(Process process, Duration limit) {
  constexpr Duration kStep = 5ms;
  for (Duration waited{}; StateOf(process) != ProcessState::kGone; waited += kStep) {
    if (waited >= limit) return false;
    SleepFor(kStep);
  }
  ReapChildren();
  return true;
}

Status RequestStop(Process process) {
  // SIGTERM first: a paused process finds it when it continues.
  COT_TRY(Signal(process, SIGTERM));
  return Signal(process, SIGCONT);
}

void Stop(Process process, Duration grace) {
  if (!RequestStop(process)) return;
  if (WaitGone(process, grace)) return;
  (void)Signal(process, SIGKILL);
  WaitGone(process, 10s);
}

void ReapChildren() {
  while (waitpid(-1, nullptr, WNOHANG) > 0) {
  }
}

void SleepFor(Duration duration) {
  timespec left = ToTimespec(duration);
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

Status CheckFree(const runtime::Address& address) {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(address.port);
  if (inet_pton(AF_INET, address.host.c_str(), &at.sin_addr) != 1) {
    return Fail(ErrorCode::kInvalidArgument, fmt::format("'{}' is not IPv4.", address.host));
  }
  const int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (probe < 0) return Fail(ErrorCode::kIo, SystemError("probing", ToText(address)));
  const int on = 1;  // as the node does: a connection that lingers does not keep the port
  setsockopt(probe, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const bool free =
      bind(probe, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0 && listen(probe, 1) == 0;
  const int reason = errno;
  close(probe);
  errno = reason;
  if (free) return Ok();
  return Fail(errno == EADDRINUSE ? ErrorCode::kAddressInUse : ErrorCode::kInvalidArgument,
              SystemError("listening on", ToText(address)));
}

Instant MonotonicNow() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return Instant(std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec));
}

Result<runtime::Address> ResolveEndpoint(const std::string& text) {
  COT_ASSIGN(runtime::Address address, runtime::ParseAddress(text));
  in6_addr literal;
  if (inet_pton(AF_INET, address.host.c_str(), &literal) == 1) return address;
  if (inet_pton(AF_INET6, address.host.c_str(), &literal) == 1) return address;
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(address.host.c_str(), nullptr, &hints, &found);
  if (error != 0) {
    return Fail(ErrorCode::kConnectFailed,
                fmt::format("'{}': {}.", address.host, gai_strerror(error)));
  }
  const addrinfo* best = found;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    if (one->ai_family != AF_INET) continue;
    best = one;
    break;
  }
  char host[NI_MAXHOST];
  const int told =
      getnameinfo(best->ai_addr, best->ai_addrlen, host, sizeof host, nullptr, 0, NI_NUMERICHOST);
  freeaddrinfo(found);
  if (told != 0) return Fail(ErrorCode::kConnectFailed, gai_strerror(told));
  address.host = host;
  return address;
}

void KeepFilesPrivate() { umask(077); }

struct SignalWatch::State {
  sigset_t watched;
  sigset_t before;
};

SignalWatch::SignalWatch() : state_(std::make_unique<State>()) {
  sigemptyset(&state_->watched);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&state_->watched, signal);
  sigprocmask(SIG_BLOCK, &state_->watched, &state_->before);
}

SignalWatch::~SignalWatch() { sigprocmask(SIG_SETMASK, &state_->before, nullptr); }

std::optional<int> SignalWatch::Wait(Duration limit) {
  const timespec timeout = ToTimespec(limit);
  const int signal = sigtimedwait(&state_->watched, nullptr, &timeout);
  if (signal < 0) return std::nullopt;
  return signal;
}

Result<FileLock> FileLock::Take(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor < 0) return Fail(ErrorCode::kIo, SystemError("opening", path));
  while (flock(descriptor, LOCK_EX) != 0) {
    if (errno == EINTR) continue;
    close(descriptor);
    return Fail(ErrorCode::kIo, SystemError("locking", path));
  }
  return FileLock(descriptor);
}

FileLock::FileLock(FileLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

FileLock::~FileLock() {
  if (descriptor_ >= 0) close(descriptor_);
}

Result<std::string> ReadTextFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return Fail(errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo,
                SystemError("reading", path));
  }
  std::stringstream content;
  content << file.rdbuf();
  if (file.bad()) return Fail(ErrorCode::kIo, SystemError("reading", path));
  return content.str();
}

Status WriteTextFile(const std::string& path, const std::string& text) {
  const std::string fresh = fmt::format("{}.{}.tmp", path, getpid());
  {
    std::ofstream file(fresh, std::ios::binary | std::ios::trunc);
    file << text;
    file.close();
    if (!file) return Fail(ErrorCode::kIo, SystemError("writing", fresh));
  }
  if (rename(fresh.c_str(), path.c_str()) != 0) {
    return Fail(ErrorCode::kIo, SystemError("replacing", path));
  }
  return Ok();
}

std::vector<std::string> FilesIn(const std::string& directory) {
  std::vector<std::string> paths;
  std::error_code error;
  for (std::filesystem::directory_iterator at(directory, error), end; !error && at != end;
       at.increment(error)) {
    paths.push_back(at->path().string());
  }
  std::ranges::sort(paths);
  return paths;
}

Status MakeDirectories(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return Fail(ErrorCode::kIo, fmt::format("creating {}: {}", path, error.message()));
  return Ok();
}

Result<std::string> RuntimeDirectory() {
  const std::optional<std::string> xdg = Environment("XDG_RUNTIME_DIR");
  const std::string path =
      xdg && !xdg->empty() ? *xdg + "/coterie" : fmt::format("/tmp/coterie-{}", getuid());
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return Fail(ErrorCode::kIo, SystemError("creating", path));
  }
  struct stat found{};
  // lstat: in a directory everybody may write to, a link could lead to another user's files.
  if (lstat(path.c_str(), &found) != 0 || !S_ISDIR(found.st_mode) || found.st_uid != getuid()) {
    return Fail(ErrorCode::kPermissionDenied,
                fmt::format("{} is not a directory of this user; remove it or set "
                            "XDG_RUNTIME_DIR",
                            path));
  }
  return path;
}

Result<std::string> MakeTemporaryDirectory(const std::string& prefix) {
  COT_ASSIGN(const std::string parent, RuntimeDirectory());
  std::string path = parent + "/" + prefix + "XXXXXX";
  if (mkdtemp(path.data()) == nullptr) return Fail(ErrorCode::kIo, SystemError("creating", path));
  return path;
}

void RemoveTree(const std::string& path) {
  std::error_code ignored;
  std::filesystem::remove_all(path, ignored);
}

std::string AbsolutePath(const std::string& path) {
  std::error_code error;
  const auto absolute = std::filesystem::absolute(path, error);
  return error ? path : absolute.lexically_normal().string();
}

bool IsTerminal(int descriptor) { return isatty(descriptor) == 1; }

std::optional<std::string> Environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (value == nullptr) return std::nullopt;
  return std::string(value);
}

std::vector<std::pair<std::string, std::string>> EnvironmentWith(std::string_view prefix) {
  std::vector<std::pair<std::string, std::string>> found;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::size_t equals = text.find('=');
    if (!text.starts_with(prefix) || equals == std::string_view::npos) continue;
    found.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  std::ranges::sort(found);
  return found;
}

}  // namespace coterie::cli
