#include "cli/demo_state.h"

#include <fmt/format.h>

#include <algorithm>

namespace coterie::cli {
namespace {

std::string StatePath(const std::string& dir) { return dir + "/demo.json"; }

Result<std::string> PointerPath() {
  COT_ASSIGN(const std::string dir, RuntimeDirectory());
  return dir + "/demo";
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

Result<DemoState> FindDemo(const std::optional<std::string>& dir) {
  if (dir) return LoadDemo(AbsolutePath(*dir));
  COT_ASSIGN(const std::string pointer, PointerPath());
  Result<std::string> target = ReadTextFile(pointer);
  if (!target) return Fail(ErrorCode::kNoDemo);
  while (target->ends_with('\n')) target->pop_back();
  COT_ASSIGN(DemoState state, LoadDemo(*target));
  if (state.stopped) {
    return Fail(ErrorCode::kNoDemo, fmt::format("The last one, in {}, was stopped.", *target));
  }
  return state;
}

Status PointToDemo(const std::string& dir) {
  COT_ASSIGN(const std::string pointer, PointerPath());
  return WriteTextFile(pointer, dir + "\n");
}

void ForgetDemo(const std::string& dir) {
  const Result<std::string> pointer = PointerPath();
  if (!pointer) return;
  const Result<std::string> target = ReadTextFile(*pointer);
  if (target && *target == dir + "\n") RemoveTree(*pointer);
}

Result<FileLock> LockDemo(const std::string& dir) { return FileLock::Take(dir + "/demo.lock"); }

}  // namespace coterie::cli
