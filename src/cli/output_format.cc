#include "cli/output_format.h"

#include <CLI/CLI.hpp>
#include <map>

namespace coterie::cli {

void AddOutput(CLI::App& command, OutputFormat& format, const std::string& what) {
  static const std::map<std::string, OutputFormat> kFormats = {{"text", OutputFormat::kText},
                                                               {"json", OutputFormat::kJson}};
  command.add_option("--output", format, "for people or for programs" + what + " (default text)")
      ->transform(CLI::CheckedTransformer(kFormats).description(""))
      ->type_name("{json,text}");
}

}  // namespace coterie::cli
