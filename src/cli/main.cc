#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"
#include "cli/exit_code.h"
#include "cli/process.h"
#include "cli/settings.h"
#include "cli/version.h"

namespace coterie::cli {
namespace {

constexpr const char* kFooter = R"(
Exit codes: 0 ok, 1 usage, 2 cannot connect, 3 not allowed, 4 refused, 5 node or machine failed,
6 promise cannot be kept now, 7 outcome unknown, 8 check failed.
)";

/// The mistake people make most: a subcommand that is nearly one.
void SuggestCommand(const CLI::App& app, std::span<char*> arguments) {
  if (arguments.size() < 2 || arguments[1][0] == '-') return;
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  const std::vector<std::string_view> views(names.begin(), names.end());
  const std::string_view word = arguments[1];
  if (std::find(views.begin(), views.end(), word) != views.end()) return;
  const std::string_view nearest = NearestName(word, views);
  if (!nearest.empty()) fmt::print(stderr, "Did you mean `coterie {}`?\n", nearest);
}

/// The same for a flag of the subcommand that was named.
void SuggestFlag(const CLI::App& app, std::span<char*> arguments) {
  const CLI::App* command = &app;
  for (const std::string_view word : arguments.subspan(1)) {
    if (!word.starts_with("--")) {
      for (const CLI::App* next : command->get_subcommands({})) {
        if (next->get_name() != word) continue;
        command = next;
        break;
      }
      continue;
    }
    std::vector<std::string> names;
    for (const CLI::Option* option : command->get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back(name);
    }
    const std::vector<std::string_view> views(names.begin(), names.end());
    const std::string_view flag = word.substr(2, word.find('=') - 2);
    if (std::find(views.begin(), views.end(), flag) != views.end()) continue;
    const std::string_view nearest = NearestName(flag, views);
    if (!nearest.empty()) fmt::print(stderr, "Did you mean --{}?\n", nearest);
  }
}

/// `coterie help`, `coterie help keyspace create`.
void AddHelp(CLI::App& app, Run& run) {
  CLI::App* command = app.add_subcommand("help", "Show the help of a command.");
  const auto words = std::make_shared<std::vector<std::string>>();
  command->add_option("command", *words, "such as keyspace create");
  command->callback([&app, &run, words] {
    run = [&app, words] {
      CLI::App* about = &app;
      for (const std::string& word : *words) {
        CLI::App* next = nullptr;
        for (CLI::App* each : about->get_subcommands({})) {
          if (each->get_name() == word) next = each;
        }
        if (next == nullptr) {
          return static_cast<int>(Complain(Error{ErrorCode::kInvalidArgument, Outcome::kNotApplied,
                                                 fmt::format("There is no command '{}'.", word)}));
        }
        about = next;
      }
      fmt::print("{}", about->help());
      return static_cast<int>(kExitOk);
    };
  });
}

int Main(std::span<char*> arguments) {
  KeepFilesPrivate();
  CLI::App app("Coterie: one clustered binary in which every keyspace is a declared promise.",
               "coterie");
  app.require_subcommand(1);
  app.footer(kFooter);
  app.set_version_flag("--version", fmt::format("coterie {}", kVersion), "Print the version");
  Run run;
  AddDemo(app, run);
  AddStatus(app, run);
  AddKeyspace(app, run);
  AddNode(app, run);
  AddFault(app, run);
#ifdef COTERIE_RUNS_NODES
  AddStart(app, run);
  AddSim(app, run);
#endif
  AddBench(app, run);
  AddErrors(app, run);
  AddVersion(app, run);
  AddHelp(app, run);
  try {
    app.parse(static_cast<int>(arguments.size()), arguments.data());
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    if (code == 0) return kExitOk;  // --help, --version
    SuggestCommand(app, arguments);
    SuggestFlag(app, arguments);
    return kExitUsage;
  }
  return run();
}

}  // namespace
}  // namespace coterie::cli

int main(int argc, char** argv) {
  return coterie::cli::Main({argv, static_cast<std::size_t>(argc)});
}
