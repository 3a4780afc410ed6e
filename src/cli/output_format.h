#pragma once

#include <string>

namespace CLI {
class App;
}

namespace coterie::cli {

enum class OutputFormat { kText, kJson };

/// Adds `--output {json,text}`; `what` follows the purpose in its help.
void AddOutput(CLI::App& command, OutputFormat& format, const std::string& what = "");

}  // namespace coterie::cli
