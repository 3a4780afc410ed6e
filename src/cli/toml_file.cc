// The one place that knows the TOML library.
#include <stdexcept>

// The library asserts on some texts that are merely wrong ("[\\"): here that is a refusal, too.
#define TOML_ASSERT(holds) ((holds) ? static_cast<void>(0) : throw std::logic_error(#holds))
#define TOML_EXCEPTIONS 1
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

/// An array of texts as the one text with commas that a setting of several takes.
Result<std::string> ListText(const toml::array& list, std::string_view name,
                             const std::string& path) {
  std::string joined;
  for (const toml::node& item : list) {
    const auto* text = item.as_string();
    if (text == nullptr || text->get().empty() || text->get().find(',') != std::string::npos) {
      return Fail(
          ErrorCode::kInvalidConfig,
          fmt::format("{}: each of '{}' must be a text without commas.", Where(path, item), name));
    }
    joined += (joined.empty() ? "" : ",") + text->get();
  }
  return joined;
}

/// A scalar, or a list where the setting takes several, as the text that Setting::set takes.
Result<std::string> ScalarText(const toml::node& node, std::string_view name,
                               const std::string& path) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return fmt::to_string(number->get());
  if (const auto* truth = node.as_boolean()) return std::string(truth->get() ? "true" : "false");
  const Setting* setting = FindSetting(name);
  const bool takes_list = setting != nullptr && setting->form.ends_with(",...");
  if (const auto* list = node.as_array(); list != nullptr && takes_list) {
    return ListText(*list, name, path);
  }
  return Fail(ErrorCode::kInvalidConfig,
              fmt::format("{}: '{}' must be a text, a whole number, true or false{}.",
                          Where(path, node), name, takes_list ? ", or a list of texts" : ""));
}

Result<std::string> MemberTableText(const toml::table& table, const std::string& path) {
  static constexpr std::array<std::string_view, 7> kNames = {
      "id", "name", "peer", "etcd", "redis", "admin", "failure_domain"};
  constexpr std::size_t kNeeded = 4;
  for (const auto& [key, value] : table) {
    if (std::ranges::find(kNames, key.str()) != kNames.end()) continue;
    const std::string_view nearest = NearestName(key.str(), kNames);
    return Fail(
        ErrorCode::kUnknownConfigKey,
        fmt::format("{}: a member has no '{}'{}; it has id, name, peer and etcd, and may have "
                    "redis, admin and failure_domain.",
                    Where(path, value), key.str(),
                    nearest.empty() ? "" : fmt::format(" (did you mean '{}'?)", nearest)));
  }
  std::string text;
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    const toml::node* value = table.get(kNames[i]);
    if (value == nullptr && i < kNeeded) {
      return Fail(ErrorCode::kInvalidConfig,
                  fmt::format("{}: a member needs '{}'.", Where(path, table), kNames[i]));
    }
    std::string part;
    if (value != nullptr) {
      COT_ASSIGN(part, ScalarText(*value, kNames[i], path));
    }
    // The parts are joined into one word, where these would pass for its joints.
    if (part.find_first_of("/,") != std::string::npos) {
      return Fail(ErrorCode::kInvalidConfig,
                  fmt::format("{}: '{}' may not hold '/' or ','.", Where(path, *value), kNames[i]));
    }
    text += (i == 0 ? "" : "/") + part;
  }
  while (text.ends_with('/')) text.pop_back();
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

/// The line, from 1, of the first thing that no settings file needs and that the parser's tables of
/// letters are undefined behaviour for: a control character, a byte over 0x7e outside of strings
/// and comments, a string that is not closed on its line. 0: none.
std::size_t LineOfForbiddenText(std::string_view text) {
  constexpr char kBasic = 0x22;  // the two kinds of quotes
  constexpr char kLiteral = 0x27;
  std::size_t line = 1;
  char quote = 0;  // the open string's
  bool comment = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool ends_line = c == '\n' || text.substr(i, 2) == "\r\n";
    if (static_cast<unsigned char>(c) < 0x20 && c != '\t' && !ends_line) return line;
    if (ends_line && quote != 0) return line;
    if (c == '\n') {
      ++line;
      comment = false;
    } else if (comment) {
      continue;
    } else if (quote != 0) {
      if (c == '\\' && quote == kBasic && i + 1 < text.size() && text[i + 1] != '\n') ++i;
      if (c == quote) quote = 0;
    } else if (c == kBasic || c == kLiteral) {
      if (text.substr(i, 3) == std::string(3, c)) return line;
      quote = c;
    } else if (c == '#') {
      comment = true;
    } else if (static_cast<unsigned char>(c) > 0x7e) {
      return line;
    }
  }
  return quote != 0 ? line : 0;
}

}  // namespace

Result<std::vector<FileSetting>> ReadTomlSettings(const std::string& text,
                                                  const std::string& path) {
  if (const std::size_t line = LineOfForbiddenText(text); line != 0) {
    return Fail(
        ErrorCode::kInvalidConfig,
        fmt::format(
            "{}:{}: not TOML: a control character, a letter outside of ASCII without quotes, "
            "or a string that does not end on its line.",
            path, line));
  }
  toml::table parsed;
  try {
    parsed = toml::parse(std::string_view(text), std::string_view(path));
  } catch (const toml::parse_error& error) {
    return Fail(
        ErrorCode::kInvalidConfig,
        fmt::format("{}:{}: not TOML: {}.", path, error.source().begin.line, error.description()));
  } catch (const std::logic_error& broken) {
    return Fail(ErrorCode::kInvalidConfig, fmt::format("{}: not TOML: {}.", path, broken.what()));
  }
  std::vector<FileSetting> settings;
  for (const auto& [key, value] : parsed) {
    const std::string name(key.str());
    const bool tables = name == "members" && value.is_array() &&
                        (value.as_array()->empty() || !value.as_array()->front().is_string());
    Result<std::string> in_text =
        tables ? MembersText(*value.as_array(), path) : ScalarText(value, name, path);
    // An unknown key is the more useful complaint than the type of its value.
    if (!in_text && FindSetting(name) != nullptr) return std::unexpected(in_text.error());
    settings.push_back({name, in_text.value_or(""), Where(path, value)});
  }
  return settings;
}

}  // namespace coterie::cli
