#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace coterie::cli {

/// What the chosen subcommand does once the command line is parsed; answers the exit code.
using Run = std::function<int()>;

// Each adds its subcommand to `app`, and sets `run` when it is the one chosen. `run` must outlive
// the parsing.
void AddStart(CLI::App& app, Run& run);
void AddDemo(CLI::App& app, Run& run);
void AddStatus(CLI::App& app, Run& run);
void AddKeyspace(CLI::App& app, Run& run);
void AddNode(CLI::App& app, Run& run);
void AddFault(CLI::App& app, Run& run);
void AddSim(CLI::App& app, Run& run);
void AddBench(CLI::App& app, Run& run);
void AddErrors(CLI::App& app, Run& run);
void AddVersion(CLI::App& app, Run& run);

}  // namespace coterie::cli
