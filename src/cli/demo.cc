#include "cli/demo.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>

#include "cli/admin_client.h"
#include "cli/config.h"

namespace coterie::cli {
namespace {

constexpr int kNodesMax = 9;
constexpr Duration kStopGrace = 5s;

/// "127.0.0.1" and 2 give "127.0.0.3". Error kInvalidArgument unless all of it is loopback.
Result<std::string> AddressAfter(const std::string& first, int distance) {
  in_addr address;
  if (inet_pton(AF_INET, first.c_str(), &address) != 1) {
    return Fail(ErrorCode::kInvalidArgument, fmt::format("'{}' is not an IPv4 address.", first));
  }
  address.s_addr = htonl(ntohl(address.s_addr) + static_cast<std::uint32_t>(distance));
  char text[INET_ADDRSTRLEN];
  inet_ntop(AF_INET, &address, text, sizeof text);
  if (ntohl(address.s_addr) >> 24 != 127) {
    return Fail(ErrorCode::kInvalidArgument,
                fmt::format("A demo listens on 127.x.x.x only, not on {}.", text));
  }
  return std::string(text);
}

Result<DemoState> PlanDemo(const DemoOptions& options) {
  if (options.nodes < 1 || options.nodes > kNodesMax) {
    return Fail(ErrorCode::kInvalidArgument, fmt::format("A demo has 1 to {} nodes.", kNodesMax));
  }
  DemoState state;
  state.temporary = !options.dir.has_value();
  state.executable = options.executable.empty() ? SelfExecutable() : options.executable;
  for (int i = 0; i < options.nodes; ++i) {
    DemoNode node;
    node.id = static_cast<std::uint64_t>(i) + 1;
    node.name = fmt::format("n{}", node.id);
    COT_ASSIGN(node.host, AddressAfter(options.first_address, i));
    state.nodes.push_back(std::move(node));
  }
  if (options.dir) {
    state.dir = AbsolutePath(*options.dir);
    COT_TRY(MakeDirectories(state.dir));
  } else {
    COT_ASSIGN(state.dir, MakeTemporaryDirectory("demo-"));
  }
  for (DemoNode& node : state.nodes) {
    node.config_path = fmt::format("{}/{}.toml", state.dir, node.name);
    node.log_path = fmt::format("{}/{}.log", state.dir, node.name);
  }
  return state;
}

/// A directory used before: its demo must have ended, and data of n nodes serves n nodes only.
Status CheckEarlierDemo(const DemoState& state) {
  const Result<DemoState> earlier = LoadDemo(state.dir);
  if (!earlier) {
    if (earlier.error().code == ErrorCode::kNoDemo) return Ok();
    return std::unexpected(earlier.error());
  }
  if (earlier->AnyAlive()) {
    return Fail(ErrorCode::kDataDirInUse,
                fmt::format("A demo runs in {}; stop it with `coterie demo --stop --dir {}`.",
                            state.dir, state.dir));
  }
  if (earlier->nodes.size() == state.nodes.size()) return Ok();
  return Fail(ErrorCode::kInvalidArgument,
              fmt::format("{} holds the data of {} nodes, not of {}; name another directory.",
                          state.dir, earlier->nodes.size(), state.nodes.size()));
}

Status WriteConfigs(const DemoState& state, const DemoOptions& options) {
  std::vector<node::MemberConfig> members;
  for (const DemoNode& node : state.nodes) {
    members.push_back({NodeId(node.id), node.name, node.peer(), node.etcd()});
  }
  for (const DemoNode& node : state.nodes) {
    node::NodeConfig config;
    config.id = NodeId(node.id);
    config.name = node.name;
    config.cluster = "demo";
    config.data_dir = fmt::format("{}/{}", state.dir, node.name);
    config.peer_listen = node.peer();
    config.etcd_listen = node.etcd();
    config.admin_listen = node.admin();
    config.members = members;
    config.demo = true;
    config.log_level = options.log_level;
    COT_TRY(
        WriteTextFile(node.config_path, "# Written by `coterie demo`.\n" + ConfigFileText(config)));
  }
  return Ok();
}

Status LaunchNode(DemoState& state, DemoNode& node, bool end_with_parent) {
  LaunchSpec spec;
  spec.executable = state.executable;
  spec.arguments = {"start", "--config", node.config_path};
  spec.log_path = node.log_path;
  spec.end_with_parent = end_with_parent;
  COT_ASSIGN(node.process, Launch(spec));
  return Ok();
}

/// The node's reason, under the error code that its log names if it names one.
Error EndedError(const DemoNode& node) {
  const std::string words = LastWords(node.log_path);
  Error error{ErrorCode::kStopped, Outcome::kNotApplied,
              fmt::format("Node {} ({}) ended while starting: {}", node.name, node.host,
                          words.empty() ? "its log is empty." : words)};
  const std::size_t code = words.find("COT-");
  if (code == std::string::npos) return error;
  if (const ErrorInfo* info = FindError(words.substr(code, 8))) error.code = info->code;
  return error;
}

Status WaitReady(const DemoState& state, Duration limit, const std::function<bool()>& interrupted) {
  constexpr Duration kPause = 25ms;
  std::vector<runtime::Address> admins;
  for (const DemoNode& node : state.nodes) admins.push_back(node.admin());
  std::string late;
  for (Duration waited{}; waited < limit; waited += kPause) {
    for (const DemoNode& node : state.nodes) {
      if (StateOf(node.process) == ProcessState::kGone) return std::unexpected(EndedError(node));
    }
    if (interrupted()) return Fail(ErrorCode::kCancelled, "The start was interrupted.");
    late.clear();
    const auto reports = AskStatus(admins, 1s);
    for (std::size_t i = 0; i < reports.size(); ++i) {
      const bool ready = reports[i] && reports[i]->ready && reports[i]->name == state.nodes[i].name;
      if (!ready) late += (late.empty() ? "" : ", ") + state.nodes[i].name;
    }
    if (late.empty()) return Ok();
    SleepFor(kPause);
  }
  const DemoNode* first = state.Find(late.substr(0, late.find(',')));
  return Fail(ErrorCode::kTimedOut, fmt::format("Not ready in time: {}. Last words of {}: {}", late,
                                                first->name, LastWords(first->log_path)));
}

void StopProcesses(const DemoState& state) {
  // All of them get the signal before any is waited for.
  for (const DemoNode& node : state.nodes) (void)RequestStop(node.process);
  for (const DemoNode& node : state.nodes) Stop(node.process, kStopGrace);
}

/// Asked before anything starts: a foreign node that answers on one of our ports would pass for
/// ours.
Status CheckPorts(const DemoState& state) {
  for (const DemoNode& node : state.nodes) {
    for (const runtime::Address& address : {node.etcd(), node.admin(), node.peer()}) {
      const Status free = CheckFree(address);
      if (free) continue;
      return Fail(free.error().code, fmt::format("Node {}: {}.", node.name, free.error().message));
    }
  }
  return Ok();
}

Status LaunchAndWait(DemoState& state, const DemoOptions& options,
                     const std::function<bool()>& interrupted) {
  COT_TRY(CheckPorts(state));
  for (DemoNode& node : state.nodes) {
    RemoveTree(node.log_path);  // so that its last words are of this start
    COT_TRY(LaunchNode(state, node, options.end_with_parent));
  }
  COT_TRY(SaveDemo(state));
  COT_TRY(WaitReady(state, options.ready_within, interrupted));
  return PointToDemo(state.dir);
}

}  // namespace

Result<DemoState> StartDemo(const DemoOptions& options, const std::function<bool()>& interrupted) {
  COT_ASSIGN(DemoState state, PlanDemo(options));
  COT_ASSIGN(const FileLock lock, LockDemo(state.dir));
  COT_TRY(CheckEarlierDemo(state));
  COT_TRY(WriteConfigs(state, options));
  const Status started = LaunchAndWait(state, options, interrupted);
  if (started) return state;
  StopProcesses(state);
  if (state.temporary) RemoveTree(state.dir);
  return std::unexpected(started.error());
}

Status StopDemo(const std::string& dir) {
  COT_ASSIGN(const FileLock lock, LockDemo(dir));
  COT_ASSIGN(DemoState state, LoadDemo(dir));
  StopProcesses(state);
  ForgetDemo(dir);
  state.stopped = true;
  COT_TRY(SaveDemo(state));
  if (state.temporary) RemoveTree(dir);
  return Ok();
}

Status RestartNode(DemoState& state, std::string_view name) {
  COT_ASSIGN(const FileLock lock, LockDemo(state.dir));
  COT_ASSIGN(state, LoadDemo(state.dir));  // another command may have started it
  const auto node = std::ranges::find(state.nodes, name, &DemoNode::name);
  if (node == state.nodes.end()) {
    return Fail(ErrorCode::kInvalidArgument, fmt::format("There is no node '{}'.", name));
  }
  if (StateOf(node->process) != ProcessState::kGone) {
    return Fail(ErrorCode::kDataDirInUse, fmt::format("{} still runs; kill it first.", name));
  }
  COT_TRY(LaunchNode(state, *node, /*end_with_parent=*/false));
  return SaveDemo(state);
}

std::string LastWords(const std::string& log_path) {
  const Result<std::string> text = ReadTextFile(log_path);
  if (!text) return "";
  std::string_view rest = *text;
  std::string last;
  std::string with_code;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.empty()) continue;
    last = line;
    if (line.find("COT-") != std::string_view::npos) with_code = line;
  }
  return with_code.empty() ? last : with_code;
}

std::string DemoBanner(const DemoState& state) {
  std::string endpoints;
  for (const DemoNode& node : state.nodes) {
    endpoints += (endpoints.empty() ? "" : ",") + ToText(node.etcd());
  }
  const DemoNode& first = state.nodes.front();
  std::string text =
      fmt::format("\nA cluster of {} nodes is ready. Data: {}{}\n\n", state.nodes.size(), state.dir,
                  state.temporary ? " (removed when it stops)" : "");
  for (const DemoNode& node : state.nodes) {
    text += fmt::format("  {}  {:<11} etcd :{}  admin :{}  pid {}\n", node.name, node.host,
                        node.etcd().port, node.admin().port, node.process.pid);
  }
  text += fmt::format(
      "\nIn another terminal:\n\n"
      "  etcd    ETCDCTL_API=3 etcdctl --endpoints={0} put greeting hello\n"
      "          ETCDCTL_API=3 etcdctl --endpoints={0} get greeting\n"
      "  http    curl http://{1}/status\n"
      "          curl http://{1}/metrics\n"
      "  look    {2} status\n",
      endpoints, ToText(first.admin()), state.executable);
  if (state.nodes.size() > 1) {
    const std::string& last = state.nodes.back().name;
    text += fmt::format(
        "  break   {0} fault partition {1}    (then: {0} fault heal)\n"
        "          {0} fault kill {1}         (then: {0} fault restart {1})\n",
        state.executable, last);
  }
  return text;
}

}  // namespace coterie::cli
