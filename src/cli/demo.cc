#include "cli/demo.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>

#include "cli/admin_client.h"
#include "cli/config.h"
#include "cli/keyspace_text.h"

namespace coterie::cli {
namespace {

constexpr int kNodesMax = 9;
constexpr Duration kStopGrace = 5s;

/// What a demo comes with beside `main`.
constexpr std::string_view kDefaultKeyspaces[] = {
    "cart:replication=leaderless:replicas=3:read=1:write=1:conflict=crdt:redis-database=0",
    "lock:replication=paxos:replicas=3:redis-database=2"};

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

/// Node n`number` of the demo, not yet started. Error kInvalidArgument.
Result<DemoNode> PlanNode(const DemoState& state, int number) {
  DemoNode node;
  node.id = static_cast<std::uint64_t>(number);
  node.name = fmt::format("n{}", number);
  COT_ASSIGN(node.host, AddressAfter(state.first_address, number - 1));
  node.config_path = fmt::format("{}/{}.toml", state.dir, node.name);
  node.log_path = fmt::format("{}/{}.log", state.dir, node.name);
  return node;
}

Result<DemoState> PlanDemo(const DemoOptions& options) {
  if (options.nodes < 1 || options.nodes > kNodesMax) {
    return Fail(ErrorCode::kInvalidArgument, fmt::format("A demo has 1 to {} nodes.", kNodesMax));
  }
  DemoState state;
  state.temporary = !options.dir.has_value();
  state.executable = options.executable.empty() ? SelfExecutable() : options.executable;
  state.first_address = options.first_address;
  state.made = options.nodes;
  // Before anything is made on disk.
  COT_TRY(AddressAfter(options.first_address, 0));
  COT_TRY(AddressAfter(options.first_address, options.nodes - 1));
  if (options.dir) {
    state.dir = AbsolutePath(*options.dir);
    COT_TRY(MakeDirectories(state.dir));
  } else {
    COT_ASSIGN(state.dir, MakeTemporaryDirectory("demo-"));
  }
  for (int number = 1; number <= options.nodes; ++number) {
    COT_ASSIGN(DemoNode node, PlanNode(state, number));
    state.nodes.push_back(std::move(node));
  }
  return state;
}

/// A directory used before: its demo must have ended, and data of n nodes serves n nodes only.
/// Where nodes came or went, those that are left are started as they were. True: `state` is such.
Result<bool> TakeEarlierDemo(DemoState& state) {
  Result<DemoState> earlier = LoadDemo(state.dir);
  if (!earlier) {
    if (earlier.error().code == ErrorCode::kNoDemo) return false;
    return std::unexpected(earlier.error());
  }
  if (earlier->AnyAlive()) {
    return Fail(ErrorCode::kDataDirInUse,
                fmt::format("A demo runs in {}; stop it with `coterie demo --stop --dir {}`.",
                            state.dir, state.dir));
  }
  if (earlier->nodes.size() != state.nodes.size()) {
    return Fail(ErrorCode::kInvalidArgument,
                fmt::format("{} holds the data of {} nodes, not of {}; name another directory.",
                            state.dir, earlier->nodes.size(), state.nodes.size()));
  }
  if (!earlier->Changed()) return false;
  state.first_address = earlier->first_address;
  state.made = earlier->made;
  state.nodes = std::move(earlier->nodes);
  return true;
}

/// What every node of the demo is told.
node::NodeConfig ConfigOf(const DemoState& state, const DemoNode& node) {
  node::NodeConfig config;
  config.id = NodeId(node.id);
  config.name = node.name;
  config.cluster = "demo";
  config.data_dir = fmt::format("{}/{}", state.dir, node.name);
  config.peer_listen = node.peer();
  config.etcd_listen = node.etcd();
  config.redis_listen = node.redis();
  config.admin_listen = node.admin();
  config.demo = true;
  return config;
}

Status WriteConfig(const DemoNode& node, const node::NodeConfig& config) {
  return WriteTextFile(
      node.config_path,
      "# Written by `coterie demo`, for a demo: with demo = true whoever reaches the admin port "
      "may\n"
      "# inject faults (POST /fault). Take that line out of a file made from this one.\n" +
          ConfigFileText(config));
}

Status WriteConfigs(const DemoState& state, const DemoOptions& options) {
  std::vector<node::MemberConfig> members;
  for (const DemoNode& node : state.nodes) {
    members.push_back(
        {NodeId(node.id), node.name, node.peer(), node.etcd(), node.redis(), node.admin()});
  }
  std::vector<keyspace::Promise> keyspaces;
  for (const std::string_view text : kDefaultKeyspaces) {
    COT_ASSIGN(keyspace::Promise promise, ParseKeyspace(text));
    // A demo of one or two nodes has as many copies as it can.
    promise.replicas = std::min(promise.replicas, static_cast<std::uint32_t>(state.nodes.size()));
    keyspaces.push_back(std::move(promise));
  }
  for (const DemoNode& node : state.nodes) {
    node::NodeConfig config = ConfigOf(state, node);
    config.members = members;
    config.default_keyspaces = keyspaces;
    config.log_level = options.log_level;
    COT_TRY(WriteConfig(node, config));
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

/// Errors: kStopped or what its log says (a node ended), kCancelled, kTimedOut.
Status WaitReady(const std::vector<DemoNode>& nodes, Duration limit,
                 const std::function<bool()>& interrupted) {
  constexpr Duration kPause = 25ms;
  const Instant deadline = MonotonicNow() + limit;
  std::vector<runtime::Address> admins;
  for (const DemoNode& node : nodes) admins.push_back(node.admin());
  const DemoNode* late = nullptr;
  std::string names;
  for (Duration left = limit; left > Duration::zero(); left = deadline - MonotonicNow()) {
    for (const DemoNode& node : nodes) {
      if (StateOf(node.process) == ProcessState::kGone) return std::unexpected(EndedError(node));
    }
    if (interrupted()) return Fail(ErrorCode::kCancelled, "The start was interrupted.");
    late = nullptr;
    names.clear();
    const auto reports = AskStatus(admins, std::min<Duration>(left, 1s));
    for (std::size_t i = 0; i < reports.size(); ++i) {
      if (reports[i] && reports[i]->ready && reports[i]->name == nodes[i].name) continue;
      if (late == nullptr) late = &nodes[i];
      names += (names.empty() ? "" : ", ") + nodes[i].name;
    }
    if (late == nullptr) return Ok();
    SleepFor(std::min(kPause, left));
  }
  return Fail(ErrorCode::kTimedOut, fmt::format("Not ready in time: {}. Last words of {}: {}",
                                                names, late == nullptr ? "nobody" : late->name,
                                                late == nullptr ? "" : LastWords(late->log_path)));
}

void StopProcesses(const DemoState& state) {
  // All of them get the signal before any is waited for.
  for (const DemoNode& node : state.nodes) (void)RequestStop(node.process);
  for (const DemoNode& node : state.nodes) Stop(node.process, kStopGrace);
}

/// Asked before anything starts: a foreign node that answers on one of our ports would pass for
/// ours.
Status CheckPorts(const std::vector<DemoNode>& nodes) {
  for (const DemoNode& node : nodes) {
    for (const runtime::Address& address : {node.etcd(), node.redis(), node.admin(), node.peer()}) {
      const Status free = CheckFree(address);
      if (free) continue;
      return Fail(free.error().code, fmt::format("Node {}: {}.", node.name, free.error().message));
    }
  }
  return Ok();
}

Status LaunchAndWait(DemoState& state, const DemoOptions& options,
                     const std::function<bool()>& interrupted) {
  COT_TRY(CheckPorts(state.nodes));
  for (DemoNode& node : state.nodes) {
    RemoveTree(node.log_path);  // so that its last words are of this start
    COT_TRY(LaunchNode(state, node, options.end_with_parent));
  }
  COT_TRY(SaveDemo(state));
  COT_TRY(WaitReady(state.nodes, options.ready_within, interrupted));
  return RememberDemo(state.dir);
}

}  // namespace

Result<DemoState> StartDemo(const DemoOptions& options, const std::function<bool()>& interrupted) {
  COT_ASSIGN(DemoState state, PlanDemo(options));
  COT_ASSIGN(const FileLock lock, LockDemo(state.dir));
  COT_ASSIGN(const bool as_it_was, TakeEarlierDemo(state));
  if (!as_it_was) COT_TRY(WriteConfigs(state, options));
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

namespace {

/// Starts the node and records it, so that stopping the demo stops it, too.
Result<DemoNode> LaunchAdded(DemoState& state) {
  COT_ASSIGN(const FileLock lock, LockDemo(state.dir));
  COT_ASSIGN(state, LoadDemo(state.dir));  // another command may have added one
  COT_ASSIGN(DemoNode node, PlanNode(state, state.made + 1));
  node.joined = true;
  COT_TRY(CheckPorts({node}));
  node::NodeConfig config = ConfigOf(state, node);
  config.id = NodeId();  // the cluster gives it one
  for (const DemoNode& other : state.nodes) config.join.push_back(other.peer());
  COT_TRY(WriteConfig(node, config));
  COT_TRY(LaunchNode(state, node, /*end_with_parent=*/false));
  ++state.made;
  state.nodes.push_back(node);
  COT_TRY(SaveDemo(state));
  return node;
}

/// Changes what the demo remembers of a node; `change` answers whether to keep it.
Status ChangeRecord(DemoState& state, std::string_view name,
                    const std::function<bool(DemoNode&)>& change) {
  COT_ASSIGN(const FileLock lock, LockDemo(state.dir));
  COT_ASSIGN(state, LoadDemo(state.dir));
  const auto node = std::ranges::find(state.nodes, name, &DemoNode::name);
  if (node == state.nodes.end()) return Fail(ErrorCode::kNoNode, fmt::format("'{}'.", name));
  if (!change(*node)) state.nodes.erase(node);
  return SaveDemo(state);
}

}  // namespace

Result<DemoNode> AddDemoNode(DemoState& state, Duration ready_within,
                             const std::function<bool()>& interrupted) {
  COT_ASSIGN(DemoNode node, LaunchAdded(state));
  // Without the lock: what a joiner waits for may need another command.
  const Status ready = WaitReady({node}, ready_within, interrupted);
  if (ready) {
    const std::vector<Result<NodeReport>> report = AskStatus({node.admin()}, 2s);
    if (report.front()) node.id = report.front()->id;
    COT_TRY(ChangeRecord(state, node.name, [&](DemoNode& recorded) {
      recorded.id = node.id;
      return true;
    }));
    return node;
  }
  if (ready.error().code == ErrorCode::kTimedOut) {
    return FailUnknown(ErrorCode::kTimedOut,
                       fmt::format("{} It runs and goes on joining: `coterie node list` tells when "
                                   "it is a member; `coterie node remove {}` ends it.",
                                   ready.error().message, node.name));
  }
  if (ready.error().code == ErrorCode::kCancelled) {
    Stop(node.process, kStopGrace);
    return FailUnknown(ErrorCode::kCancelled,
                       fmt::format("{0} was stopped and may be a member by now: `coterie node "
                                   "remove {0}` forgets it, `coterie fault restart {0}` lets it go "
                                   "on.",
                                   node.name));
  }
  // It ended by itself, for the reason that its log gives.
  COT_TRY(ChangeRecord(state, node.name, [](DemoNode&) { return false; }));
  return std::unexpected(ready.error());
}

Status RetireDemoNode(const std::string& dir, std::string_view name) {
  COT_ASSIGN(DemoState state, LoadDemo(dir));
  return ChangeRecord(state, name, [](DemoNode& node) {
    Stop(node.process, kStopGrace);
    return false;
  });
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
  std::string words = with_code.empty() ? last : with_code;
  // Who quotes it has an outcome and a hint of its own.
  for (const std::string_view end : {" (not applied). Hint:", " (outcome unknown). Hint:"}) {
    words.resize(std::min(words.find(end), words.size()));
  }
  return words;
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
    text +=
        fmt::format("  {}  {:<11} etcd :{}  redis :{}  admin :{}  pid {}\n", node.name, node.host,
                    node.etcd().port, node.redis().port, node.admin().port, node.process.pid);
  }
  text += fmt::format(
      "\nIn another terminal:\n\n"
      "  etcd    ETCDCTL_API=3 etcdctl --endpoints={0} put greeting hello\n"
      "          ETCDCTL_API=3 etcdctl --endpoints={0} get greeting\n"
      "  redis   redis-cli -h {3} SADD basket milk eggs      (cart: leaderless, merged)\n"
      "          redis-cli -h {3} -n 1 GET greeting          (main: raft, as etcd sees it)\n"
      "          redis-cli -h {3} -n 2 SET job/7 me NX       (lock: paxos)\n"
      "  http    curl http://{1}/status\n"
      "          curl http://{1}/metrics\n"
      "  look    {2} status\n"
      "          {2} keyspace list                 (and: keyspace explain cart)\n"
      "  grow    {2} node add                      (then: node drain n{4} --wait)\n",
      endpoints, ToText(first.admin()), state.executable, first.host, state.made + 1);
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
