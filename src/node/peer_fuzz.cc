#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "base/coding.h"
#include "consensus/raft/raft.h"
#include "coterie/peer.pb.h"
#include "node/control_apply.h"
#include "node/proposals.h"
#include "node/raft_codec.h"
#include "node/snapshot_transfer.h"
#include "placement/plan.h"

// What other nodes and this node's own files hold, as any bytes: decoders answer, and what they
// take comes back the same when it is encoded again. A replica takes any Raft message that can be
// read, the control keyspace any command. The first byte says which.

namespace coterie::node {
namespace {

void StepReplica(std::string_view input) {
  Random random(1);
  raft::Restored restored;
  restored.configuration.voters = {NodeId(1), NodeId(2), NodeId(3)};
  restored.hard_state.term = Term(2);
  for (std::uint64_t i = 1; i <= 3; ++i) {
    restored.entries.push_back(std::make_shared<const raft::Entry>(
        raft::Entry{Term(i == 3 ? 2 : 1), LogIndex(i), raft::EntryKind::kNoop, {}}));
  }
  restored.hard_state.commit = LogIndex(2);
  raft::Config config;
  config.self = NodeId(1);
  raft::Raft core(config, restored, random, Instant());
  // One sender: that two do not lead one term is the protocol's promise, not the decoder's.
  while (!input.empty()) {
    const auto message = GetLengthPrefixed(input);
    if (!message) return;
    auto decoded = DecodeRaft(*message);
    if (!decoded) continue;
    core.Step(NodeId(2), std::move(decoded->message), Instant());
    while (core.HasOutput()) {
      const raft::Output output = core.TakeOutput();
      if (output.persist_id != 0) core.OnPersisted(output.persist_id, Instant());
    }
  }
}

template <class T>
void ParseAs(std::string_view bytes) {
  T message;
  (void)message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

// Whatever was proposed is in the log for good: no command may stop a node.
void ApplyCommands(std::string_view input) {
  ControlData data;
  control::Command first;
  for (std::uint64_t id = 1; id <= 3; ++id) {
    control::Node* const node = first.mutable_bootstrap()->add_nodes();
    node->set_id(id);
    node->set_name(std::to_string(id));
    node->set_peer(std::to_string(id));
  }
  (void)ApplyControl(data, first);
  while (!input.empty()) {
    const auto bytes = GetLengthPrefixed(input);
    control::Command command;
    if (!bytes || !command.ParseFromArray(bytes->data(), static_cast<int>(bytes->size()))) return;
    (void)ApplyControl(data, command);
    (void)placement::NextSteps(data.map);
    COT_ASSERT(DecodeControlData(EncodeControlData(data)).has_value());
  }
}

void DecodeOne(std::string_view input) {
  if (input.empty()) return;
  const char which = input.front();
  input.remove_prefix(1);
  switch (which & 7) {
    case 0:
      if (const auto raft = DecodeRaft(input)) {
        const std::string again = EncodeRaft(raft->shard, raft->message);
        const auto twice = DecodeRaft(again);
        COT_ASSERT(twice.has_value());
        COT_ASSERT(EncodeRaft(twice->shard, twice->message) == again);
      }
      return;
    case 1:
      if (const auto state = DecodeHardState(input)) {
        const auto twice = DecodeHardState(EncodeHardState(*state));
        COT_ASSERT(twice && twice->raft == state->raft);
        COT_ASSERT(twice->compacted_configuration == state->compacted_configuration);
      }
      return;
    case 2:
      if (const auto mark = DecodeMark(input)) {
        const auto twice = DecodeMark(EncodeMark(*mark));
        COT_ASSERT(twice && twice->index == mark->index && twice->term == mark->term);
        COT_ASSERT(twice->configuration == mark->configuration);
      }
      return;
    case 3:
      if (const auto split = Split(input)) {
        COT_ASSERT(WithHeader(split->id, split->command) == input);
      }
      return;
    case 4:
      ParseAs<peer::Call>(input);
      ParseAs<peer::Reply>(input);
      ParseAs<peer::SnapshotChunk>(input);
      ParseAs<peer::Hello>(input);
      return;
    case 5:
      if (const auto data = DecodeControlData(input)) {
        const auto twice = DecodeControlData(EncodeControlData(*data));
        COT_ASSERT(twice && twice->map == data->map && twice->founders == data->founders);
      }
      return;
    case 6:
      ApplyCommands(input);
      return;
    default:
      StepReplica(input);
  }
}

}  // namespace
}  // namespace coterie::node

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  coterie::node::DecodeOne({reinterpret_cast<const char*>(data), size});
  return 0;
}
