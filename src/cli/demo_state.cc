#include "cli/demo_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "base/coding.h"
#include "cli/listed.h"

namespace coterie::cli {
namespace {

std::string StatePath(const std::string& dir) { return dir + "/demo.json"; }

/// One small file for each demo, which holds its directory; it is named by a checksum of it.
Result<std::string> DemosPath() {
  COT_ASSIGN(const std::string dir, RuntimeDirectory());
  std::string path = dir + "/demos";
  COT_TRY(MakeDirectories(path));
  return path;
}

std::string EntryPath(const std::string& demos, const std::string& dir) {
  return fmt::format("{}/{:08x}", demos, Crc32c(dir));
}

DemoNode NodeFromJson(const Json& document) {
  DemoNode node;
  node.id = static_cast<std::uint64_t>(document["id"].Int());
  node.name = document["name"].Text();
  node.host = document["address"].Text();
  node.process.pid = static_cast<int>(document["pid"].Int());
  node.process.start_ticks = static_cast<std::uint64_t>(document["start_ticks"].Int());
  node.config_path = document["config"].Text();
  node.log_path = document["log"].Text();
  node.joined = document["joined"].Bool();
  return node;
}

}  // namespace

const DemoNode* DemoState::Find(std::string_view name) const {
  const auto found = std::ranges::find(nodes, name, &DemoNode::name);
  return found == nodes.end() ? nullptr : &*found;
}

bool DemoState::AnyAlive() const {
  return std::ranges::any_of(
      nodes, [](const DemoNode& node) { return StateOf(node.process) != ProcessState::kGone; });
}

bool DemoState::Changed() const {
  return made != static_cast<int>(nodes.size()) || std::ranges::any_of(nodes, &DemoNode::joined);
}

Json ToJson(const DemoState& state) {
  Json nodes = Json::Array();
  for (const DemoNode& node : state.nodes) {
    Json ports = Json::Object();
    ports.Set("etcd", node.etcd().port)
        .Set("redis", node.redis().port)
        .Set("admin", node.admin().port)
        .Set("peer", node.peer().port);
    Json item = Json::Object();
    item.Set("name", node.name)
        .Set("id", node.id)
        .Set("pid", node.process.pid)
        .Set("start_ticks", node.process.start_ticks)
        .Set("address", node.host)
        .Set("ports", std::move(ports))
        .Set("config", node.config_path)
        .Set("log", node.log_path)
        .Set("joined", node.joined);
    nodes.Push(std::move(item));
  }
  Json document = Json::Object();
  document.Set("dir", state.dir)
      .Set("temporary", state.temporary)
      .Set("stopped", state.stopped)
      .Set("executable", state.executable)
      .Set("first_address", state.first_address)
      .Set("made", state.made)
      .Set("nodes", std::move(nodes));
  return document;
}

Result<DemoState> DemoStateFromJson(const Json& document) {
  DemoState state;
  state.dir = document["dir"].Text();
  state.temporary = document["temporary"].Bool();
  state.stopped = document["stopped"].Bool();
  state.executable = document["executable"].Text();
  for (const Json& node : document["nodes"].items()) state.nodes.push_back(NodeFromJson(node));
  // A demo of an earlier version says neither.
  state.first_address = document["first_address"].Text();
  if (state.first_address.empty() && !state.nodes.empty()) {
    state.first_address = state.nodes.front().host;
  }
  state.made =
      std::max(static_cast<int>(document["made"].Int()), static_cast<int>(state.nodes.size()));
  if (state.dir.empty() || state.nodes.empty()) {
    return Fail(ErrorCode::kCorruptState, "demo.json names no directory or no nodes.");
  }
  return state;
}

Status SaveDemo(const DemoState& state) {
  return WriteTextFile(StatePath(state.dir), ToJson(state).ToText(/*indented=*/true) + "\n");
}

Result<DemoState> LoadDemo(const std::string& dir) {
  const Result<std::string> text = ReadTextFile(StatePath(dir));
  if (!text) return Fail(ErrorCode::kNoDemo, fmt::format("{} holds no demo.", dir));
  COT_ASSIGN(const Json document, Json::Parse(*text));
  COT_ASSIGN(DemoState state, DemoStateFromJson(document));
  state.dir = dir;  // it may have been moved
  return state;
}

Result<std::vector<DemoState>> ListDemos() {
  COT_ASSIGN(const std::string demos, DemosPath());
  std::vector<DemoState> found;
  for (const std::string& entry : FilesIn(demos)) {
    Result<std::string> dir = ReadTextFile(entry);
    if (!dir) continue;
    while (dir->ends_with('\n')) dir->pop_back();
    Result<DemoState> state = LoadDemo(*dir);
    if (!state || state->stopped) {
      RemoveTree(entry);
    } else {
      found.push_back(std::move(*state));
    }
  }
  std::ranges::sort(found, {}, &DemoState::dir);
  return found;
}

Result<DemoState> FindDemo(const std::optional<std::string>& dir) {
  if (dir) return LoadDemo(AbsolutePath(*dir));
  if (Result<DemoState> here = LoadDemo(AbsolutePath(".")); here && !here->stopped) return here;
  COT_ASSIGN(std::vector<DemoState> demos, ListDemos());
  if (demos.size() > 1) {
    // After a crash of the machine there are some of which nothing runs.
    std::vector<DemoState> alive;
    std::ranges::copy_if(demos, std::back_inserter(alive), &DemoState::AnyAlive);
    if (!alive.empty()) demos = std::move(alive);
  }
  if (demos.empty()) return Fail(ErrorCode::kNoDemo);
  if (demos.size() == 1) return std::move(demos.front());
  std::vector<std::string> dirs;
  for (const DemoState& demo : demos) dirs.push_back(demo.dir);
  return Fail(
      ErrorCode::kInvalidArgument,
      fmt::format("There are {} demos: name one with --dir: {}.", dirs.size(), Listed(dirs)));
}

Status RememberDemo(const std::string& dir) {
  COT_ASSIGN(const std::string demos, DemosPath());
  return WriteTextFile(EntryPath(demos, dir), dir + "\n");
}

void ForgetDemo(const std::string& dir) {
  if (const Result<std::string> demos = DemosPath()) RemoveTree(EntryPath(*demos, dir));
}

Result<FileLock> LockDemo(const std::string& dir) { return FileLock::Take(dir + "/demo.lock"); }

}  // namespace coterie::cli
