#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/admin_client.h"
#include "cli/command.h"
#include "cli/demo.h"
#include "cli/exit_code.h"
#include "cli/fault_plan.h"
#include "cli/output_format.h"
#include "cli/settings.h"

namespace coterie::cli {
namespace {

struct FaultOptions {
  std::string dir;
  std::string groups;
  std::string from;
  std::string to;
  std::string delay;
  std::string node;
  OutputFormat format = OutputFormat::kText;
};

using Perform = int (*)(DemoState demo, const FaultOptions& options);

/// What was done to each node or link, for both output formats.
class Report {
 public:
  Report(std::string fault, OutputFormat format) : fault_(std::move(fault)), format_(format) {}

  void Done(std::string subject) { done_.push_back(std::move(subject)); }
  void Failed(const std::string& subject, const Error& error) {
    fmt::print(stderr, "coterie: {}: {}\n", subject, Describe(error));
    failed_.push_back(subject);
    if (!first_) first_ = error;
  }
  /// Prints it and answers the exit code: of the first failure, if there was one.
  int Finish() const {
    if (format_ == OutputFormat::kJson) {
      Json done = Json::Array();
      Json failed = Json::Array();
      for (const std::string& subject : done_) done.Push(subject);
      for (const std::string& subject : failed_) failed.Push(subject);
      Json document = Json::Object();
      document.Set("fault", fault_).Set("done", std::move(done)).Set("failed", std::move(failed));
      fmt::print("{}\n", document.ToText());
    } else {
      for (const std::string& subject : done_) fmt::print("{}: {}\n", fault_, subject);
    }
    return first_ ? ExitCodeFor(*first_) : kExitOk;
  }

 private:
  std::string fault_;
  OutputFormat format_;
  std::vector<std::string> done_;
  std::vector<std::string> failed_;
  std::optional<Error> first_;
};

/// One POST /fault, and what it is called in the report.
struct Order {
  std::string subject;
  const DemoNode* node;
  std::string query;
};

int Send(const std::vector<Order>& orders, Report report) {
  std::vector<AdminRequest> requests;
  for (const Order& order : orders) {
    requests.push_back({order.node->admin(), "POST", "/fault", order.query});
  }
  const std::vector<Result<Json>> answers = CallAdmin(std::move(requests), 2s);
  for (std::size_t i = 0; i < orders.size(); ++i) {
    if (answers[i]) {
      report.Done(orders[i].subject);
    } else {
      report.Failed(orders[i].subject, answers[i].error());
    }
  }
  return report.Finish();
}

/// The node called `name`. Prints the complaint and answers nullptr if there is none.
const DemoNode* NodeNamed(const DemoState& demo, const std::string& name) {
  const DemoNode* node = demo.Find(name);
  if (node != nullptr) return node;
  std::string names;
  for (const DemoNode& each : demo.nodes) names += (names.empty() ? "" : ", ") + each.name;
  Complain(Error{ErrorCode::kInvalidArgument, Outcome::kNotApplied,
                 fmt::format("There is no node '{}'; there are {}.", name, names)});
  return nullptr;
}

Order LinkOrder(const DemoState& demo, const Link& link, std::string_view fault) {
  return {fmt::format("{} -> {}", link.from, link.to), demo.Find(link.from),
          fmt::format("to={}&{}", demo.Find(link.to)->id, fault)};
}

int PartitionFault(DemoState demo, const FaultOptions& options) {
  std::vector<std::string> names;
  for (const DemoNode& node : demo.nodes) names.push_back(node.name);
  const Result<std::vector<Link>> links = PartitionLinks(options.groups, names);
  if (!links) return Complain(links.error());
  std::vector<Order> orders;
  for (const Link& link : *links) orders.push_back(LinkOrder(demo, link, "cut=1"));
  return Send(orders, Report("partition", options.format));
}

int OneLink(const DemoState& demo, const FaultOptions& options, const std::string& name,
            const std::string& fault) {
  const DemoNode* from = NodeNamed(demo, options.from);
  const DemoNode* to = from == nullptr ? nullptr : NodeNamed(demo, options.to);
  if (to == nullptr) return kExitUsage;
  if (from == to) {
    return Complain(
        Error{ErrorCode::kInvalidArgument, Outcome::kNotApplied, "A node has no link to itself."});
  }
  return Send({LinkOrder(demo, {from->name, to->name}, fault)}, Report(name, options.format));
}

int CutFault(DemoState demo, const FaultOptions& options) {
  return OneLink(demo, options, "cut", "cut=1");
}

int DelayFault(DemoState demo, const FaultOptions& options) {
  const Result<Duration> delay = ParseDuration(options.delay);
  constexpr Duration kDelayMax = 60s;
  if (!delay || *delay < 1ms || *delay > kDelayMax) {
    return Complain(Error{ErrorCode::kInvalidArgument, Outcome::kNotApplied,
                          fmt::format("'{}' is not a delay from 1ms to 60s.", options.delay)});
  }
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(*delay).count();
  return OneLink(demo, options, "delay " + options.delay, fmt::format("delay_ms={}", ms));
}

int SignalFault(const DemoState& demo, const FaultOptions& options, const std::string& name,
                int signal) {
  const DemoNode* node = NodeNamed(demo, options.node);
  if (node == nullptr) return kExitUsage;
  Report report(name, options.format);
  const Status sent = Signal(node->process, signal);
  if (!sent) {
    report.Failed(node->name, sent.error());
  } else {
    if (signal == SIGKILL) WaitGone(node->process, 5s);
    report.Done(node->name);
  }
  return report.Finish();
}

int PauseFault(DemoState demo, const FaultOptions& options) {
  return SignalFault(demo, options, "pause", SIGSTOP);
}
int ResumeFault(DemoState demo, const FaultOptions& options) {
  return SignalFault(demo, options, "resume", SIGCONT);
}
int KillFault(DemoState demo, const FaultOptions& options) {
  return SignalFault(demo, options, "kill", SIGKILL);
}

/// Waits until the node answers, so that a command after this one finds it.
int RestartFault(DemoState demo, const FaultOptions& options) {
  if (NodeNamed(demo, options.node) == nullptr) return kExitUsage;
  const Status started = RestartNode(demo, options.node);
  if (!started) return Complain(started.error());
  const DemoNode& node = *demo.Find(options.node);
  Report report("restart", options.format);
  constexpr Duration kPause = 25ms;
  const Instant deadline = MonotonicNow() + 30s;
  while (MonotonicNow() < deadline) {
    const auto answer = AskStatus({node.admin()}, 1s);
    if (answer[0] && answer[0]->name == node.name) {
      report.Done(node.name);
      return report.Finish();
    }
    if (StateOf(node.process) == ProcessState::kGone) break;
    SleepFor(kPause);
  }
  const bool ended = StateOf(node.process) == ProcessState::kGone;
  report.Failed(node.name, Error{ended ? ErrorCode::kStopped : ErrorCode::kTimedOut,
                                 ended ? Outcome::kNotApplied : Outcome::kUnknown,
                                 (ended ? "It ended: " : "It runs but does not answer yet: ") +
                                     LastWords(node.log_path)});
  return report.Finish();
}

/// Undoes links and pauses. A node that was killed stays so: restarting it is a decision of its
/// own.
int HealFault(DemoState demo, const FaultOptions& options) {
  Report report("heal", options.format);
  std::vector<Order> orders;
  for (const DemoNode& node : demo.nodes) {
    const ProcessState state = StateOf(node.process);
    if (state == ProcessState::kGone) continue;
    if (state == ProcessState::kPaused) (void)Signal(node.process, SIGCONT);
    orders.push_back({node.name, &node, "heal=1"});
  }
  return Send(orders, std::move(report));
}

class Adder {
 public:
  Adder(CLI::App& parent, Run& run) : parent_(parent), run_(run) {}

  /// Adds a kind of fault whose arguments `take` declares.
  template <class Take>
  void Add(const std::string& name, const std::string& help, Perform perform, Take take) {
    CLI::App* command = parent_.add_subcommand(name, help);
    const auto options = std::make_shared<FaultOptions>();
    take(*command, *options);
    command->add_option("--dir", options->dir, "the demo of that directory");
    AddOutput(*command, options->format);
    Run& run = run_;
    command->callback([&run, options, perform] {
      run = [options, perform]() -> int {
        Result<DemoState> demo =
            FindDemo(options->dir.empty() ? std::nullopt : std::optional(options->dir));
        if (!demo) return Complain(demo.error());
        return perform(std::move(*demo), *options);
      };
    });
  }

 private:
  CLI::App& parent_;
  Run& run_;
};

}  // namespace

void AddFault(CLI::App& app, Run& run) {
  CLI::App* command = app.add_subcommand("fault", "Break a demo cluster on purpose, and mend it.");
  command->require_subcommand(1);
  Adder adder(*command, run);
  const auto link = [](CLI::App& c, FaultOptions& o) {
    c.add_option("from", o.from, "the node that sends")->required();
    c.add_option("to", o.to, "the node that is to hear it")->required();
  };
  const auto node = [](CLI::App& c, FaultOptions& o) {
    c.add_option("node", o.node, "such as n2")->required();
  };
  adder.Add("partition", "Cut nodes off from each other, both ways.", PartitionFault,
            [](CLI::App& c, FaultOptions& o) {
              c.add_option("groups", o.groups, "\"n1,n2|n3\"; or n3: that one against the rest")
                  ->required();
            });
  adder.Add("cut", "Cut one direction of one link.", CutFault, link);
  adder.Add("delay", "Delay one direction of one link.", DelayFault,
            [link](CLI::App& c, FaultOptions& o) {
              link(c, o);
              c.add_option("delay", o.delay, "such as 50ms")->required();
            });
  adder.Add("pause", "Stop a node's process without ending it (SIGSTOP).", PauseFault, node);
  adder.Add("resume", "Let a paused node go on.", ResumeFault, node);
  adder.Add("kill", "End a node's process at once (SIGKILL).", KillFault, node);
  adder.Add("restart", "Start a node that has ended.", RestartFault, node);
  adder.Add("heal", "Heal every link and resume every paused node.", HealFault,
            [](CLI::App&, FaultOptions&) {});
}

}  // namespace coterie::cli
