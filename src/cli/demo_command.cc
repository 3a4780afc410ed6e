#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
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
  bool list = false;
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

int ListDemosCommand(const DemoCommandOptions& options) {
  const Result<std::vector<DemoState>> demos = ListDemos();
  if (!demos) return Complain(demos.error());
  Json list = Json::Array();
  for (const DemoState& demo : *demos) {
    const auto up = std::ranges::count_if(demo.nodes, [](const DemoNode& node) {
      return StateOf(node.process) != ProcessState::kGone;
    });
    if (options.format == OutputFormat::kText) {
      fmt::print("{}: {} of {} nodes run, from {}\n", demo.dir, up, demo.nodes.size(),
                 demo.first_address);
    }
    Json item = Json::Object();
    item.Set("dir", demo.dir)
        .Set("running", up)
        .Set("nodes", demo.nodes.size())
        .Set("first_address", demo.first_address);
    list.Push(std::move(item));
  }
  if (options.format == OutputFormat::kJson) {
    fmt::print("{}\n", list.ToText(/*indented=*/true));
  } else if (demos->empty()) {
    fmt::print("No demo runs.\n");
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
  command->add_flag("--list", options->list, "show the demos that were not stopped")
      ->excludes("--detach", "--stop");
  AddOutput(*command, options->format);
  command->callback([&run, options] {
    run = [options] {
      return options->list   ? ListDemosCommand(*options)
             : options->stop ? StopCommand(*options)
                             : StartCommand(*options);
    };
  });
}

}  // namespace coterie::cli
