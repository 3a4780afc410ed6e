#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>
#include <memory>
#include <string>

#include "cli/command.h"
#include "cli/demo.h"
#include "cli/exit_code.h"
#include "cli/json.h"
#include "cli/output_format.h"
#include "cli/process.h"

namespace coterie::cli {
namespace {

struct DemoCommandOptions {
  DemoOptions demo;
  std::string dir;
  bool detach = false;
  bool stop = false;
  OutputFormat format = OutputFormat::kText;
};

void Announce(const DemoState& state, const DemoCommandOptions& options) {
  if (options.format == OutputFormat::kJson) {
    fmt::print("{}\n", ToJson(state).ToText(/*indented=*/true));
  } else {
    fmt::print("{}\n{}", DemoBanner(state),
               options.detach ? fmt::format("  stop    {} demo --stop\n", state.executable)
                              : "\nCtrl-C stops it.\n");
  }
  std::fflush(stdout);
}

int StopCommand(const DemoCommandOptions& options) {
  const Result<DemoState> state =
      FindDemo(options.dir.empty() ? std::nullopt : std::optional(options.dir));
  if (!state) return Complain(state.error());
  const Status stopped = StopDemo(state->dir);
  if (!stopped) return Complain(stopped.error());
  if (options.format == OutputFormat::kJson) {
    Json document = Json::Object();
    document.Set("dir", state->dir).Set("stopped", state->nodes.size());
    fmt::print("{}\n", document.ToText());
  } else {
    fmt::print("Stopped {} nodes of {}.\n", state->nodes.size(), state->dir);
  }
  return kExitOk;
}

/// Tells about nodes that end, come back, come and go. True: a signal asks to stop; false: another
/// command has stopped the demo.
bool Watch(const DemoState& started, SignalWatch& signals) {
  std::map<std::string, bool> up;
  for (const DemoNode& node : started.nodes) up[node.name] = true;
  const auto tell = [](const std::string& name, const std::string& what) {
    fmt::print("{} {}\n", name, what);
    std::fflush(stdout);
  };
  while (!signals.Wait(200ms)) {
    ReapChildren();
    const Result<DemoState> state = LoadDemo(started.dir);
    if (!state || state->stopped) return false;
    for (const DemoNode& node : state->nodes) {
      const bool alive = StateOf(node.process) != ProcessState::kGone;
      const auto [known, added] = up.try_emplace(node.name, alive);
      if (added) tell(node.name, fmt::format("was added, pid {}", node.process.pid));
      if (known->second == alive) continue;
      known->second = alive;
      tell(node.name, alive ? fmt::format("runs again, pid {}", node.process.pid)
                            : fmt::format("has ended; its log is {}", node.log_path));
    }
    std::erase_if(up, [&](const auto& entry) {
      if (state->Find(entry.first) != nullptr) return false;
      tell(entry.first, "has left");
      return true;
    });
  }
  return true;
}

int StartCommand(const DemoCommandOptions& options) {
  SignalWatch signals;  // from the first node on, an interruption must not leave any behind
  DemoOptions demo = options.demo;
  if (!options.dir.empty()) demo.dir = options.dir;
  demo.end_with_parent = !options.detach;
  const Result<DemoState> state =
      StartDemo(demo, [&signals] { return signals.Wait(Duration::zero()).has_value(); });
  if (!state) return Complain(state.error());
  Announce(*state, options);
  if (options.detach) return kExitOk;
  if (!Watch(*state, signals)) {
    fmt::print("Stopped by another command.\n");
    return kExitOk;
  }
  fmt::print(stderr, "Stopping the nodes.\n");
  const Status stopped = StopDemo(state->dir);
  return stopped ? kExitOk : Complain(stopped.error());
}

}  // namespace

void AddDemo(CLI::App& app, Run& run) {
  CLI::App* command =
      app.add_subcommand("demo", "Run a cluster on this machine: real processes, own data.");
  const auto options = std::make_shared<DemoCommandOptions>();
  command->add_option("--nodes", options->demo.nodes, "how many nodes")
      ->capture_default_str()
      ->check(CLI::Range(1, 9));
  command->add_option("--dir", options->dir,
                      "keep configuration, data and logs there (default: a temporary directory)");
  command
      ->add_option("--first-address", options->demo.first_address,
                   "node i listens on the i-th address from this one")
      ->capture_default_str();
  command->add_flag("--detach", options->detach, "return when all nodes are ready");
  command->add_flag("--stop", options->stop, "stop the running demo")->excludes("--detach");
  command->add_option("--output", options->format, "text or json")
      ->transform(CLI::CheckedTransformer(kOutputFormats));
  command->callback([&run, options] {
    run = [options] { return options->stop ? StopCommand(*options) : StartCommand(*options); };
  });
}

}  // namespace coterie::cli
