#include "model/kv/store.h"

#include <algorithm>

#include "base/assert.h"
#include "model/kv/apply.h"
#include "model/kv/range.h"
#include "model/kv/state.h"
#include "model/kv/txn.h"

namespace coterie::kv {

Store::Store(runtime::Executor&, StoreOptions options) : state_(std::make_unique<State>(options)) {}
Store::~Store() = default;

Status Store::Load(storage::Engine& engine) {
  const Revision before = state_->engine != nullptr ? state_->meta.revision : 0;
  state_->engine = &engine;
  state_->meta = layout::Meta();
  state_->purge = layout::PurgeCursor();
  state_->cache.Clear();
  state_->pages.Clear();
  COT_ASSIGN(const auto meta, engine.Get(layout::MetaRecord()));
  if (meta) {
    COT_ASSIGN(state_->meta, layout::ParseMeta(*meta));
  }
  COT_ASSIGN(const auto purge, engine.Get(layout::PurgeRecord()));
  if (purge) {
    const auto cursor = layout::ParsePurge(*purge);
    if (!cursor) return Fail(ErrorCode::kCorruptState, "kv: purge record");
    state_->purge = *cursor;
  }
  COT_TRY(state_->leases.Load(engine));
  state_->hub.OnLoad(before, state_->meta.revision);
  return Ok();
}

LogIndex Store::applied() const { return state_->meta.index; }
bool Store::watched() const { return state_->hub.watched(); }
Revision Store::revision() const { return state_->meta.revision; }
Revision Store::compact_revision() const { return state_->meta.compacted; }
std::uint64_t Store::approximate_bytes() const {
  COT_ASSERT(state_->engine != nullptr);
  return state_->engine->ApproximateBytes();
}

Result<std::vector<std::unique_ptr<model::StateMachine::Answer>>> Store::Apply(
    std::span<const Command> commands, LogIndex upto, Term upto_term) {
  COT_ASSERT(state_->engine != nullptr);
  std::vector<std::unique_ptr<model::StateMachine::Answer>> answers;
  answers.reserve(commands.size());
  Writer writer(*state_);
  Applier applier(writer);
  LogIndex last = state_->meta.index;
  for (const Command& command : commands) {
    COT_ASSERT(command.index > last);
    last = command.index;
    COT_ASSIGN(auto answer, applier.Run(command));
    answers.push_back(std::move(answer));
    const std::size_t records_max = state_->options.apply_records_max;
    const std::uint64_t records = writer.history().scanned() + writer.changed();
    if (records_max == 0 || records < records_max || answers.size() == commands.size()) continue;
    upto = command.index;
    upto_term = command.term;
    break;
  }
  COT_ASSERT(last <= upto);
  COT_TRY(writer.Commit(upto, upto_term));
  return answers;
}

Result<etcdserverpb::RangeResponse> Store::Range(const etcdserverpb::RangeRequest& request) const {
  COT_ASSERT(state_->engine != nullptr);
  const layout::Meta& meta = state_->meta;
  COT_TRY(CheckRevision(request.revision(), meta.revision, meta.compacted));
  History history(*state_->engine, state_->cache, nullptr);
  auto response = EvaluateRange(history, request, meta.revision, &state_->pages);
  state_->cache.Trim();
  return response;
}

Status Store::VisitRange(std::string_view key, std::string_view range_end,
                         const Visit& visit) const {
  COT_ASSERT(state_->engine != nullptr);
  History history(*state_->engine, state_->cache, nullptr);
  const Status visited =
      history.Scan(key, range_end, state_->meta.revision, [&](const VersionView& version) {
        return visit(version.key, version.value, version.head.mod);
      });
  state_->cache.Trim();
  return visited;
}

Result<Revision> Store::LastChange(std::string_view key) const {
  COT_ASSERT(state_->engine != nullptr);
  History history(*state_->engine, state_->cache, nullptr);
  COT_ASSIGN(const Head head, history.Newest(key));
  state_->cache.Trim();
  return head.mod;
}

Status Store::VisitSome(std::string_view key, std::string_view range_end, VisitProgress& progress,
                        std::size_t records_max, const Visit& visit) const {
  COT_ASSERT(state_->engine != nullptr);
  COT_TRY(CheckRevision(progress.revision, state_->meta.revision, state_->meta.compacted));
  History history(*state_->engine, state_->cache, nullptr);
  const std::string begin = progress.next.empty() ? layout::KeyPrefix(key) : progress.next;
  // Of one key some records are stepped over before a seek: a step gets further than that.
  History::Stop stop{.records_max = std::max<std::size_t>(records_max, 64), .next = {}};
  COT_TRY(history.ScanSome(
      begin, layout::KeyRangeEnd(range_end), progress.revision,
      [&](const VersionView& version) {
        return visit(version.key, version.value, version.head.mod);
      },
      stop));
  progress.next = std::move(stop.next);
  progress.done = progress.next.empty();
  return Ok();
}

Result<etcdserverpb::TxnResponse> Store::ReadTxn(const etcdserverpb::TxnRequest& request) const {
  COT_ASSERT(state_->engine != nullptr);
  COT_ASSERT(IsReadOnly(request));
  const layout::Meta& meta = state_->meta;
  History history(*state_->engine, state_->cache, nullptr);
  auto response = EvaluateReadTxn(history, request, meta.revision, meta.compacted);
  state_->cache.Trim();
  return response;
}

std::unique_ptr<Watcher> Store::Watch(WatchSpec spec, runtime::Notification& wake) {
  return std::make_unique<WatchCursor>(*state_, std::move(spec), wake);
}

std::vector<std::int64_t> Store::LeaseIds() const {
  std::vector<std::int64_t> ids;
  ids.reserve(state_->leases.all().size());
  for (const auto& [id, lease] : state_->leases.all()) ids.push_back(id);
  return ids;
}

std::optional<LeaseInfo> Store::FindLease(std::int64_t id, bool with_keys) const {
  const layout::Lease* lease = state_->leases.Find(id);
  if (lease == nullptr) return std::nullopt;
  LeaseInfo info{.id = id, .granted_ttl_seconds = lease->ttl_seconds, .keys = {}};
  if (!with_keys) return info;
  History history(*state_->engine, state_->cache, nullptr);
  // Damage shows as fewer keys here; whatever reads or revokes the lease's keys reports it.
  (void)history.ScanAttachments(id, [&](std::string_view key) { info.keys.emplace_back(key); });
  return info;
}

std::uint64_t Store::lease_generation() const { return state_->leases.generation(); }

}  // namespace coterie::kv
