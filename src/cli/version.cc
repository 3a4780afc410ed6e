#include "cli/version.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "cli/command.h"
#include "cli/exit_code.h"
#include "cli/json.h"
#include "cli/output_format.h"

namespace coterie::cli {

void AddVersion(CLI::App& app, Run& run) {
  CLI::App* command = app.add_subcommand("version", "Print the version.");
  const auto format = std::make_shared<OutputFormat>(OutputFormat::kText);
  AddOutput(*command, *format);
  command->callback([&run, format] {
    run = [format] {
      if (*format == OutputFormat::kJson) {
        Json document = Json::Object();
        document.Set("version", kVersion).Set("compiler", __VERSION__);
        fmt::print("{}\n", document.ToText());
      } else {
        fmt::print("coterie {}\n", kVersion);
      }
      return kExitOk;
    };
  });
}

}  // namespace coterie::cli
