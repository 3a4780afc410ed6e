#include "node/recovery.h"

#include <fmt/format.h>

#include "node/proposals.h"
#include "node/raft_codec.h"
#include "node/snapshot_transfer.h"

namespace coterie::node {
namespace {

/// The installed snapshot's mark, if the engine came from one.
Result<std::optional<SnapshotMark>> ReadMark(const storage::Engine& engine) {
  COT_ASSIGN(const auto bytes, engine.Get(SnapshotMarkKey()));
  if (!bytes) return std::nullopt;
  auto mark = DecodeMark(*bytes);
  if (!mark) return Fail(ErrorCode::kCorruptState, "snapshot mark");
  return mark;
}

/// Moves the log's entries into `restored`, if this version can apply every one of them.
Status TakeEntries(std::vector<storage::WalEntry> entries, raft::Restored& restored) {
  Term term = restored.compacted_term;
  for (storage::WalEntry& entry : entries) {
    if (entry.kind > static_cast<std::uint8_t>(raft::EntryKind::kConfiguration)) {
      return Fail(ErrorCode::kNewerData, fmt::format("log entry {}", entry.index.value));
    }
    const auto kind = static_cast<raft::EntryKind>(entry.kind);
    const bool sound =
        entry.term >= term && (kind != raft::EntryKind::kCommand || Split(entry.payload)) &&
        (kind != raft::EntryKind::kConfiguration || raft::DecodeConfiguration(entry.payload));
    if (!sound) return Fail(ErrorCode::kCorruptLog, fmt::format("entry {}", entry.index.value));
    term = entry.term;
    restored.entries.push_back(std::make_shared<const raft::Entry>(
        raft::Entry{entry.term, entry.index, kind, std::move(entry.payload)}));
  }
  return Ok();
}

}  // namespace

Result<Recovered> Recover(raft::Configuration first, storage::WalShard shard,
                          const model::StateMachine& machine, const storage::Engine& engine) {
  Recovered out;
  raft::Restored& restored = out.restored;
  restored.configuration = std::move(first);
  if (!shard.hard_state.empty()) {
    const auto stored = DecodeHardState(shard.hard_state);
    if (!stored) return Fail(ErrorCode::kCorruptLog, "hard state");
    restored.hard_state = stored->raft;
    restored.configuration = stored->compacted_configuration;
  }
  restored.compacted = shard.compacted;
  restored.compacted_term = shard.compacted_term;
  restored.applied = machine.applied();
  COT_TRY(TakeEntries(std::move(shard.entries), restored));

  COT_ASSIGN(const std::optional<SnapshotMark> mark, ReadMark(engine));
  if (mark && mark->index > restored.compacted) {
    // The engines were switched, the log was not reset yet. A log that agrees with the snapshot
    // keeps what it has beyond it.
    const std::size_t covered = mark->index - restored.compacted;
    const bool agrees =
        covered <= restored.entries.size() && restored.entries[covered - 1]->term == mark->term;
    if (agrees) {
      restored.entries.erase(restored.entries.begin(),
                             restored.entries.begin() + static_cast<std::ptrdiff_t>(covered));
    } else {
      restored.entries.clear();
    }
    restored.compacted = mark->index;
    restored.compacted_term = mark->term;
    restored.configuration = mark->configuration;
    // The leader's term may have come with the state alone. This node never voted in it: a vote
    // would have been durable, and its term with it.
    if (mark->term > restored.hard_state.term) {
      restored.hard_state.term = mark->term;
      restored.hard_state.vote = NodeId();
    }
    out.reset_log = true;
  }
  if (restored.applied < restored.compacted) {
    return Fail(ErrorCode::kCorruptState,
                fmt::format("the stored state ends at {}, the log begins after {}",
                            restored.applied.value, restored.compacted.value));
  }
  const LogIndex last = restored.compacted + restored.entries.size();
  if (restored.applied > last) {
    return Fail(ErrorCode::kCorruptLog, fmt::format("the stored state has {}, the log ends at {}",
                                                    restored.applied.value, last.value));
  }
  const Term last_term =
      restored.entries.empty() ? restored.compacted_term : restored.entries.back()->term;
  if (last_term > restored.hard_state.term) {
    return Fail(ErrorCode::kCorruptLog,
                fmt::format("the log ends in term {}, the stored term is {}", last_term.value,
                            restored.hard_state.term.value));
  }
  return out;
}

}  // namespace coterie::node
