#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <map>
#include <memory>
#include <string>

#include "cli/command.h"
#include "cli/config.h"
#include "cli/exit_code.h"
#include "cli/json.h"
#include "cli/output_format.h"
#include "cli/process.h"
#include "cli/run_node.h"
#include "cli/settings.h"

namespace coterie::cli {
namespace {

struct StartOptions {
  std::string config_path;
  std::map<std::string, std::string> flags;  // by setting name; "" where not given
  bool show = false;
  OutputFormat format = OutputFormat::kText;
};

Result<Configuration> Gather(const StartOptions& options) {
  ConfigSources sources;
  if (!options.config_path.empty()) {
    Result<std::string> text = ReadTextFile(options.config_path);
    if (!text) return Fail(ErrorCode::kInvalidConfig, text.error().message + ".");
    sources.file_path = options.config_path;
    sources.file_text = std::move(*text);
  }
  sources.environment = EnvironmentWith("COTERIE_");
  for (const auto& [name, value] : options.flags) {
    if (!value.empty()) sources.flags.emplace_back(name, value);
  }
  return Configure(sources);
}

void Show(const Configuration& configuration, OutputFormat format) {
  Json rows = Json::Array();
  for (const SettingInForce& setting : configuration.settings) {
    if (format == OutputFormat::kText) {
      fmt::print("{:<24} {:<28} {}\n", setting.name, setting.value, setting.origin);
      continue;
    }
    Json row = Json::Object();
    row.Set("name", setting.name).Set("value", setting.value).Set("origin", setting.origin);
    rows.Push(std::move(row));
  }
  if (format == OutputFormat::kJson) fmt::print("{}\n", rows.ToText(/*indented=*/true));
}

int Start(const StartOptions& options) {
  Result<Configuration> configuration = Gather(options);
  if (!configuration) return Complain(configuration.error());
  if (options.show) {
    Show(*configuration, options.format);
    return kExitOk;
  }
  return RunNode(std::move(configuration->node));
}

}  // namespace

void AddStart(CLI::App& app, Run& run) {
  CLI::App* command = app.add_subcommand("start", "Run one node in the foreground.");
  command->footer(
      "Each setting may also stand in the file (heartbeat_interval = \"100ms\") or in the\n"
      "environment (COTERIE_HEARTBEAT_INTERVAL). The command line wins over the environment,\n"
      "the environment over the file. --show-config prints what is in force and who said so.");
  const auto options = std::make_shared<StartOptions>();
  command->add_option("--config", options->config_path, "a TOML file with settings");
  for (const Setting& setting : Settings()) {
    std::string flag(setting.name);
    std::ranges::replace(flag, '_', '-');
    command
        ->add_option("--" + flag, options->flags[std::string(setting.name)],
                     std::string(setting.help))
        ->type_name(std::string(setting.form));
  }
  command->add_flag("--show-config", options->show, "print every setting with its origin and stop");
  AddOutput(*command, options->format, ", with --show-config");
  command->callback([&run, options] { run = [options] { return Start(*options); }; });
}

}  // namespace coterie::cli
