#pragma once

#include <fmt/format.h>

#include <functional>
#include <string>
#include <string_view>

namespace coterie {

enum class LogLevel { kDebug, kInfo, kWarn, kError };

/// A node's log lines: one event a line, `level room: message`. Where they go (stderr with wall
/// time, a simulation's trace with virtual time) is decided by the World that owns the Logger.
class Logger {
 public:
  using Sink = std::function<void(LogLevel, std::string_view room, std::string_view message)>;

  Logger() = default;
  Logger(LogLevel minimum, Sink sink) : minimum_(minimum), sink_(std::move(sink)) {}

  bool Wants(LogLevel level) const { return sink_ && level >= minimum_; }

  template <class... Args>
  void Debug(std::string_view room, fmt::format_string<Args...> format, Args&&... args) {
    if (Wants(LogLevel::kDebug))
      Write(LogLevel::kDebug, room, fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  void Info(std::string_view room, fmt::format_string<Args...> format, Args&&... args) {
    if (Wants(LogLevel::kInfo))
      Write(LogLevel::kInfo, room, fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  void Warn(std::string_view room, fmt::format_string<Args...> format, Args&&... args) {
    if (Wants(LogLevel::kWarn))
      Write(LogLevel::kWarn, room, fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  void Error(std::string_view room, fmt::format_string<Args...> format, Args&&... args) {
    if (Wants(LogLevel::kError))
      Write(LogLevel::kError, room, fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  void Write(LogLevel level, std::string_view room, std::string_view message) {
    sink_(level, room, message);
  }

  LogLevel minimum_ = LogLevel::kInfo;
  Sink sink_;
};

/// "debug", "info", "warn" or "error".
constexpr std::string_view NameOf(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarn:
      return "warn";
    case LogLevel::kError:
      return "error";
  }
  return "?";
}

}  // namespace coterie
