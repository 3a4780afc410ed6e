#include "node/snapshot_transfer.h"

#include <algorithm>

#include "base/assert.h"
#include "base/coding.h"
#include "consensus/raft/configuration.h"
#include "coterie/peer.pb.h"
#include "node/raft_replica.h"

namespace coterie::node {

namespace {
constexpr std::size_t kChunkBytes = 1u << 20;
constexpr Duration kChunkTimeout = 10s;
// A receiver may be away for so long, restart included, before its transfer is given up.
constexpr Duration kPatience = 30s;
constexpr char kMarkVersion = 1;
}  // namespace

std::string_view SnapshotMarkKey() {
  static constexpr char kKey[] = "\0snapshot-mark";
  return {kKey, sizeof kKey - 1};
}

std::string EncodeMark(const SnapshotMark& mark) {
  std::string out(1, kMarkVersion);
  PutVarint(out, mark.index.value);
  PutVarint(out, mark.term.value);
  PutLengthPrefixed(out, raft::Encode(mark.configuration));
  return out;
}

std::optional<SnapshotMark> DecodeMark(std::string_view bytes) {
  if (bytes.empty() || bytes.front() != kMarkVersion) return std::nullopt;
  bytes.remove_prefix(1);
  const auto index = GetVarint(bytes);
  const auto term = GetVarint(bytes);
  const auto encoded = GetLengthPrefixed(bytes);
  if (!index || !term || !encoded) return std::nullopt;
  auto configuration = raft::DecodeConfiguration(*encoded);
  if (!configuration) return std::nullopt;
  return SnapshotMark{LogIndex(*index), Term(*term), std::move(*configuration)};
}

/// A state on its way in.
struct SnapshotTransfer::Incoming {
  NodeId from;
  SnapshotMark mark;
  std::uint64_t next = 0;
  std::unique_ptr<storage::Engine> engine;
  std::unique_ptr<storage::SnapshotWriter> writer;  // goes before its engine
};

SnapshotTransfer::SnapshotTransfer(RaftReplica& replica) : replica_(replica) {}
SnapshotTransfer::~SnapshotTransfer() { scope_.Cancel(); }

void SnapshotTransfer::Start() {
  replica_.transport_.OnShardCall(replica_.options_.shard, Method::kSnapshotChunk,
                                  [this](NodeId from, std::string body, Instant deadline) {
                                    return OnChunk(from, std::move(body), deadline);
                                  });
}

void SnapshotTransfer::Stop() {
  scope_.Cancel();
  incoming_.reset();
}

void SnapshotTransfer::Send(NodeId to) {
  if (sending_.insert(to).second) scope_.Spawn(Stream(to));
}

runtime::Task<void> SnapshotTransfer::Stream(NodeId to) {
  auto index = co_await StreamOnce(to);
  sending_.erase(to);
  if (index) {
    ++sent_;
  } else {
    replica_.world_.log().Info("raft", "snapshot to {}: {}", to.value, Describe(index.error()));
    co_await runtime::Sleep(replica_.world_.executor(), 200ms);
  }
  replica_.core_.OnSnapshotSent(to, index.value_or(LogIndex()), index.has_value(),
                                replica_.world_.Now());
  replica_.Schedule();
}

runtime::Task<Result<LogIndex>> SnapshotTransfer::StreamOnce(NodeId to) {
  const LogIndex index = replica_.machine_.applied();
  const auto term = replica_.core_.TermAt(index);
  COT_ASSERT(term.has_value());
  peer::SnapshotChunk message;
  message.set_last_index(index.value);
  message.set_last_term(term->value);
  message.set_configuration(raft::Encode(replica_.core_.ConfigurationAt(index)));

  const std::shared_ptr<storage::Engine> engine = replica_.engine_;
  storage::SnapshotReader reader(*engine, {}, {}, kChunkBytes);
  std::vector<std::string> cursors{std::string()};  // where each chunk begins
  std::uint64_t sequence = 0;
  Instant give_up = replica_.world_.Now() + kPatience;
  for (;;) {
    if (!replica_.leading()) co_return Fail(ErrorCode::kNotLeader);
    reader.Seek(cursors[sequence]);
    COT_CO_ASSIGN(storage::SnapshotChunk chunk, reader.NextChunk());
    message.set_term(replica_.core_.term().value);
    message.set_sequence(sequence);
    message.set_chunk(std::move(chunk.bytes));
    message.set_last(chunk.last);
    const Instant deadline = replica_.world_.Now() + kChunkTimeout;
    auto answer = co_await replica_.transport_.Call(
        to, Method::kSnapshotChunk, message.SerializeAsString(), deadline, replica_.options_.shard);
    if (!answer) {
      if (replica_.world_.Now() >= give_up) co_return std::unexpected(std::move(answer.error()));
      co_await runtime::Sleep(replica_.world_.executor(), 100ms);
      continue;
    }
    give_up = replica_.world_.Now() + kPatience;
    peer::SnapshotProgress progress;
    if (!progress.ParseFromString(*answer))
      co_return Fail(ErrorCode::kMalformed, "snapshot progress");
    if (progress.installed()) co_return index;
    if (progress.next_sequence() > sequence + 1)
      co_return Fail(ErrorCode::kMalformed, "snapshot progress");
    if (progress.next_sequence() == sequence + 1 && cursors.size() == sequence + 1) {
      cursors.push_back(std::move(chunk.cursor));
    }
    sequence = progress.next_sequence();
  }
}

runtime::Task<Result<std::string>> SnapshotTransfer::OnChunk(NodeId from, std::string body,
                                                             Instant) {
  peer::SnapshotChunk message;
  if (!message.ParseFromString(body)) co_return Fail(ErrorCode::kMalformed);
  auto configuration = raft::DecodeConfiguration(message.configuration());
  if (!configuration || !raft::IsWellFormed(*configuration)) {
    co_return Fail(ErrorCode::kMalformed, "snapshot configuration");
  }
  if (message.last_term() > message.term()) co_return Fail(ErrorCode::kMalformed, "snapshot term");
  if (Term(message.term()) < replica_.core_.term()) co_return Fail(ErrorCode::kNotLeader);
  if (busy_) co_return Fail(ErrorCode::kOverloaded, "a chunk is being written");
  struct Busy {
    bool& flag;
    explicit Busy(bool& f) : flag(f) { flag = true; }
    ~Busy() { flag = false; }
  } busy(busy_);

  peer::SnapshotProgress progress;
  const SnapshotMark mark{LogIndex(message.last_index()), Term(message.last_term()),
                          std::move(*configuration)};
  if (replica_.core_.commit_index() >= mark.index) {
    incoming_.reset();
    progress.set_installed(true);
    co_return progress.SerializeAsString();
  }
  const bool same = incoming_ && incoming_->from == from && incoming_->mark.index == mark.index &&
                    incoming_->mark.term == mark.term;
  if (!same) {
    incoming_.reset();
    if (message.sequence() != 0) co_return progress.SerializeAsString();  // from the start, please
    COT_CO_ASSIGN(auto engine, co_await replica_.home_.BeginNew());
    incoming_ = std::make_unique<Incoming>();
    incoming_->from = from;
    incoming_->mark = mark;
    incoming_->engine = std::move(engine);
    incoming_->writer = std::make_unique<storage::SnapshotWriter>(*incoming_->engine);
  }
  if (message.sequence() == incoming_->next) {
    COT_CO_TRY(incoming_->writer->Apply(message.chunk()));
    ++incoming_->next;
    ++chunks_taken_;
    if (message.last()) {
      storage::Batch batch;
      batch.Put(std::string(SnapshotMarkKey()), EncodeMark(mark));
      COT_CO_TRY(incoming_->engine->Write(std::move(batch)));
      COT_CO_TRY(co_await Install(from, Term(message.term())));
      progress.set_installed(true);
      co_return progress.SerializeAsString();
    }
  }
  progress.set_next_sequence(incoming_->next);
  co_return progress.SerializeAsString();
}

runtime::Task<Status> SnapshotTransfer::Install(NodeId from, Term term) {
  const std::unique_ptr<Incoming> state = std::move(incoming_);
  COT_CO_TRY(co_await state->engine->Flush());
  // A later leader's term may have begun meanwhile; this replica may even lead it.
  if (term < replica_.core_.term() || replica_.leading()) co_return Fail(ErrorCode::kNotLeader);
  if (state->mark.term < replica_.core_.compacted_term()) co_return Fail(ErrorCode::kMalformed);
  // From here the core stands still, so that what was checked stays true.
  if (replica_.core_.commit_index() >= state->mark.index) co_return Ok();
  replica_.frozen_ = true;
  auto switched = co_await replica_.home_.Commit(state->engine.get());
  if (!switched) {
    replica_.world_.Crash(Describe(switched.error()));
    co_return switched;
  }
  const std::weak_ptr<storage::Engine> before = replica_.engine_;
  replica_.engine_ = std::move(state->engine);
  auto loaded = replica_.machine_.Load(*replica_.engine_);
  if (!loaded) {
    replica_.world_.Crash(Describe(loaded.error()));
    co_return loaded;
  }
  if (replica_.machine_.applied() != state->mark.index) {  // not the state it was said to be
    replica_.world_.Crash(Describe({ErrorCode::kCorruptState, Outcome::kNotApplied, "snapshot"}));
    co_return Fail(ErrorCode::kCorruptState, "snapshot");
  }
  replica_.to_apply_.clear();
  replica_.flushed_ = state->mark.index;
  replica_.core_.Step(
      from,
      raft::InstallSnapshot{term, state->mark.index, state->mark.term, state->mark.configuration},
      replica_.world_.Now());
  COT_ASSERT(replica_.core_.commit_index() >= state->mark.index);
  replica_.frozen_ = false;
  replica_.proposals_.OnSkipped(state->mark.index, state->mark.term);
  replica_.applied_changed_.NotifyAll();
  ++installed_;
  replica_.world_.log().Info("raft", "installed a snapshot up to {}", state->mark.index.value);
  replica_.Schedule();
  if (before.expired()) COT_CO_TRY(co_await replica_.home_.RemoveOthers());
  co_return Ok();
}

}  // namespace coterie::node
