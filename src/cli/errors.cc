#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "cli/command.h"
#include "cli/exit_code.h"
#include "cli/json.h"
#include "cli/output_format.h"
#include "cli/settings.h"

namespace coterie::cli {
namespace {

struct ErrorsOptions {
  std::string code;
  OutputFormat format = OutputFormat::kText;
};

constexpr ErrorCode kAllCodes[] = {
#define COT_ERROR(name, number, cause, hint) ErrorCode::name,
#include "base/error_table.inc"
#undef COT_ERROR
};

Json ToJson(const ErrorInfo& info) {
  Json row = Json::Object();
  row.Set("code", CodeText(info.code))
      .Set("name", info.name.substr(1))
      .Set("cause", info.cause)
      .Set("hint", info.hint)
      .Set("exit_code", static_cast<int>(ExitCodeFor(Error{info.code, Outcome::kNotApplied, {}})));
  return row;
}

int ShowAll(OutputFormat format) {
  Json rows = Json::Array();
  for (const ErrorCode code : kAllCodes) {
    const ErrorInfo& info = InfoOf(code);
    if (format == OutputFormat::kJson) {
      rows.Push(ToJson(info));
    } else {
      fmt::print("{}  {:<20} {}\n", CodeText(code), info.name.substr(1), info.cause);
    }
  }
  if (format == OutputFormat::kJson) fmt::print("{}\n", rows.ToText(/*indented=*/true));
  return kExitOk;
}

/// "cot-7" and "7" are what people type.
std::string Normalised(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::toupper(c); });
  if (text.starts_with("COT-")) text.erase(0, 4);
  if (text.size() < 4) text.insert(0, 4 - text.size(), '0');
  return "COT-" + text;
}

/// "kNoLeader", "NoLeader", "no-leader" and "no leader" are one name.
std::string PlainName(std::string_view text) {
  std::string plain;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
      plain += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
  }
  return plain;
}

const ErrorInfo* FindByName(const std::string& text) {
  const std::string plain = PlainName(text);
  for (const ErrorCode code : kAllCodes) {
    const ErrorInfo& info = InfoOf(code);
    if (plain == PlainName(info.name) || plain == PlainName(info.name.substr(1))) return &info;
  }
  return nullptr;
}

std::string NearestErrorName(const std::string& text) {
  std::vector<std::string> plain;
  for (const ErrorCode code : kAllCodes) plain.push_back(PlainName(InfoOf(code).name.substr(1)));
  const std::vector<std::string_view> views(plain.begin(), plain.end());
  const std::string_view nearest = NearestName(PlainName(text), views);
  for (const ErrorCode code : kAllCodes) {
    const std::string_view name = InfoOf(code).name.substr(1);
    if (!nearest.empty() && PlainName(name) == nearest) return std::string(name);
  }
  return "";
}

int ShowOne(const ErrorsOptions& options) {
  const ErrorInfo* info = FindError(Normalised(options.code));
  if (info == nullptr) info = FindByName(options.code);
  if (info == nullptr) {
    const std::string nearest = NearestErrorName(options.code);
    return Complain(Error{ErrorCode::kInvalidArgument, Outcome::kNotApplied,
                          fmt::format("There is no error '{}'{}.", options.code,
                                      nearest.empty() ? "; `coterie errors` lists all"
                                                      : "; did you mean " + nearest + "?")});
  }
  if (options.format == OutputFormat::kJson) {
    fmt::print("{}\n", ToJson(*info).ToText(/*indented=*/true));
    return kExitOk;
  }
  fmt::print(
      "{} {}\n\nCause: {}\nHint:  {}\nExit code of commands that meet it: {}; or {} when it "
      "is unknown whether the request\ntook effect: then read before you write again.\n",
      CodeText(info->code), info->name.substr(1), info->cause, info->hint,
      static_cast<int>(ExitCodeFor(Error{info->code, Outcome::kNotApplied, {}})),
      static_cast<int>(kExitOutcomeUnknown));
  return kExitOk;
}

}  // namespace

void AddErrors(CLI::App& app, Run& run) {
  CLI::App* command = app.add_subcommand("errors", "Explain an error code, or list all of them.");
  const auto options = std::make_shared<ErrorsOptions>();
  command->add_option("code", options->code,
                      "such as COT-1002 or NoLeader; without it, all are listed");
  AddOutput(*command, options->format);
  command->callback([&run, options] {
    run = [options] {
      return options->code.empty() ? ShowAll(options->format) : ShowOne(*options);
    };
  });
}

}  // namespace coterie::cli
