#pragma once

// For this room's tests: server processes, and command lines run against them.

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

namespace coterie::door::etcd {

/// What `command` printed on both its outputs, run by bash.
inline std::string Shell(const std::string& command) {
  std::string output;
  ::setenv("COTERIE_COMMAND", command.c_str(), 1);
  std::FILE* pipe = ::popen("exec bash -c \"$COTERIE_COMMAND\" 2>&1", "r");
  if (pipe == nullptr) return "popen failed";
  std::array<char, 4096> buffer;
  while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe))
    output.append(buffer.data(), n);
  ::pclose(pipe);
  return output;
}

/// A child process that serves until this is destroyed. Its first line of output is kept.
class ServerProcess {
 public:
  explicit ServerProcess(std::vector<std::string> arguments) {
    std::array<int, 2> ends{-1, -1};
    if (::pipe(ends.data()) != 0) std::abort();
    pid_ = ::fork();
    if (pid_ < 0) std::abort();
    if (pid_ == 0) {
      ::dup2(ends[1], STDOUT_FILENO);
      ::close(ends[0]);
      std::vector<char*> raw;
      for (std::string& argument : arguments) raw.push_back(argument.data());
      raw.push_back(nullptr);
      ::execvp(raw[0], raw.data());
      ::_exit(127);
    }
    ::close(ends[1]);
    output_ = ends[0];
  }
  ServerProcess(const ServerProcess&) = delete;
  ~ServerProcess() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    ::close(output_);
  }

  /// Reads its output up to the first newline; "" if it ended before one.
  std::string FirstLine() {
    std::string line;
    char c = 0;
    while (::read(output_, &c, 1) == 1) {
      if (c == '\n') return line;
      line += c;
    }
    return "";
  }

 private:
  pid_t pid_ = -1;
  int output_ = -1;
};

/// The door's test server, built beside the running test.
inline std::string SingleNodePath() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / "door_etcd_single_node";
}

}  // namespace coterie::door::etcd
