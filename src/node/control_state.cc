#include "node/control_state.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/assert.h"
#include "base/coding.h"
#include "node/control_apply.h"

namespace coterie::node {

namespace {
constexpr std::string_view kDataKey = "data";
constexpr std::string_view kAppliedKey = "applied";
}  // namespace

ControlState::ControlState(runtime::Executor& executor, std::uint32_t version)
    : data_(std::make_unique<ControlData>()),
      published_(std::make_shared<const ControlData>()),
      map_(published_, &published_->map),
      version_(version),
      changed_(executor),
      applied_more_(executor) {}

ControlState::~ControlState() = default;

std::shared_ptr<const ControlData> ControlState::unpublished() const {
  if (data_->map.version <= map_->version) return nullptr;
  return std::make_shared<const ControlData>(*data_);
}

void ControlState::Publish(std::shared_ptr<const ControlData> durable) {
  if (durable->map.version < map_->version) return;  // a snapshot was faster
  published_ = std::move(durable);
  map_ = placement::ClusterMapPtr(published_, &published_->map);
  changed_.NotifyAll();
}

Status ControlState::Load(storage::Engine& engine) {
  COT_ASSIGN(const auto applied, engine.Get(kAppliedKey));
  COT_ASSIGN(const auto bytes, engine.Get(kDataKey));
  ControlData data;
  LogIndex index;
  if (applied) {
    std::string_view rest = *applied;
    const auto number = GetFixed64(rest);
    if (!number || !rest.empty()) return Fail(ErrorCode::kCorruptState, "control: applied index");
    index = LogIndex(*number);
  }
  if (bytes) {
    auto decoded = DecodeControlData(*bytes);
    if (!decoded || !applied) return Fail(ErrorCode::kCorruptState, "control: cluster map");
    data = std::move(*decoded);
    if (data.map.active_version > version_) {
      return Fail(ErrorCode::kNewerCommand, fmt::format("the cluster's version is {}, this one {}",
                                                        data.map.active_version, version_));
    }
  }
  engine_ = &engine;
  applied_ = index;
  *data_ = std::move(data);
  Publish(std::make_shared<const ControlData>(*data_));  // what can be loaded is durable
  return Ok();
}

Result<std::vector<std::unique_ptr<model::StateMachine::Answer>>> ControlState::Apply(
    std::span<const Command> commands, LogIndex upto, Term) {
  COT_ASSERT(engine_ != nullptr);
  std::vector<std::unique_ptr<model::StateMachine::Answer>> answers;
  bool changed = false;
  for (const Command& entry : commands) {
    control::Command command;
    ControlOutcome outcome{.status = Fail(ErrorCode::kMalformed, "control command")};
    const auto& bytes = entry.payload;
    if (command.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
      COT_TRY(Understands(command, version_));
      outcome = ApplyControl(*data_, command);
    }
    changed = changed || outcome.changed;
    auto answer = entry.answer_wanted ? std::make_unique<Answer>() : nullptr;
    if (answer) {
      answer->status = std::move(outcome.status);
      answer->node = outcome.node;
      answer->version = data_->map.version;
    }
    answers.push_back(std::move(answer));
  }
  storage::Batch batch;
  std::string index;
  PutFixed64(index, upto.value);
  batch.Put(std::string(kAppliedKey), std::move(index));
  if (changed) batch.Put(std::string(kDataKey), EncodeControlData(*data_));
  COT_TRY(engine_->Write(std::move(batch)));
  applied_ = upto;
  if (changed) applied_more_.NotifyAll();
  return answers;
}

std::vector<NodeId> ControlState::Founders(ShardId shard) const {
  const auto found = published_->founders.find(shard);
  return found == published_->founders.end() ? std::vector<NodeId>() : found->second;
}

bool ControlState::IsFounder(ShardId shard, NodeId node) const {
  const std::vector<NodeId> founders = Founders(shard);
  return std::find(founders.begin(), founders.end(), node) != founders.end();
}

}  // namespace coterie::node
