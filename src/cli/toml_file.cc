// The one place that knows the TOML library.
#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <array>

#include "cli/config.h"
#include "cli/settings.h"

namespace coterie::cli {
namespace {

std::string Where(const std::string& path, const toml::node& node) {
  return fmt::format("{}:{}", path, node.source().begin.line);
}

/// A scalar as the text that Setting::set takes.
Result<std::string> ScalarText(const toml::node& node, std::string_view name,
                               const std::string& path) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return fmt::to_string(number->get());
  if (const auto* truth = node.as_boolean()) return std::string(truth->get() ? "true" : "false");
  return Fail(ErrorCode::kInvalidConfig,
              fmt::format("{}: '{}' must be a text, a whole number, true or false.",
                          Where(path, node), name));
}

Result<std::string> MemberTableText(const toml::table& table, const std::string& path) {
  static constexpr std::array<std::string_view, 4> kNames = {"id", "name", "peer", "etcd"};
  for (const auto& [key, value] : table) {
    if (std::ranges::find(kNames, key.str()) != kNames.end()) continue;
    const std::string_view nearest = NearestName(key.str(), kNames);
    return Fail(ErrorCode::kUnknownConfigKey,
                fmt::format("{}: a member has no '{}'{}; it has id, name, peer and etcd.",
                            Where(path, value), key.str(),
                            nearest.empty() ? "" : fmt::format(" (did you mean '{}'?)", nearest)));
  }
  std::string text;
  for (const std::string_view name : kNames) {
    const toml::node* value = table.get(name);
    if (value == nullptr) {
      return Fail(ErrorCode::kInvalidConfig,
                  fmt::format("{}: a member needs '{}'.", Where(path, table), name));
    }
    COT_ASSIGN(const std::string part, ScalarText(*value, name, path));
    text += (text.empty() ? "" : "/") + part;
  }
  return text;
}

Result<std::string> MembersText(const toml::array& array, const std::string& path) {
  std::string text;
  for (const toml::node& item : array) {
    const toml::table* table = item.as_table();
    if (table == nullptr) {
      return Fail(ErrorCode::kInvalidConfig,
                  fmt::format("{}: each of 'members' is a table.", Where(path, item)));
    }
    COT_ASSIGN(const std::string member, MemberTableText(*table, path));
    text += (text.empty() ? "" : ",") + member;
  }
  return text;
}

}  // namespace

Result<std::vector<FileSetting>> ReadTomlSettings(const std::string& text,
                                                  const std::string& path) {
  const toml::parse_result parsed = toml::parse(std::string_view(text), std::string_view(path));
  if (!parsed) {
    return Fail(ErrorCode::kInvalidConfig,
                fmt::format("{}:{}: not TOML: {}.", path, parsed.error().source().begin.line,
                            parsed.error().description()));
  }
  std::vector<FileSetting> settings;
  for (const auto& [key, value] : parsed.table()) {
    const std::string name(key.str());
    Result<std::string> in_text = name == "members" && value.is_array()
                                      ? MembersText(*value.as_array(), path)
                                      : ScalarText(value, name, path);
    // An unknown key is the more useful complaint than the type of its value.
    if (!in_text && FindSetting(name) != nullptr) return std::unexpected(in_text.error());
    settings.push_back({name, in_text.value_or(""), Where(path, value)});
  }
  return settings;
}

}  // namespace coterie::cli
