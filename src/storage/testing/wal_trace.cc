#include "storage/testing/wal_trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace coterie::storage::testing {

using runtime::Task;

namespace {
LogIndex LastOf(const WalShard& shard) {
  return shard.entries.empty() ? shard.compacted : shard.entries.back().index;
}
}  // namespace

std::string WalModel::Print(const std::map<ShardId, WalShard>& shards) {
  std::string out;
  for (const auto& [id, shard] : shards) {
    const bool untouched = shard.hard_state.empty() && LastOf(shard) == LogIndex(0);
    if (untouched) continue;
    out += fmt::format("shard {} hard '{}' compacted {}@{}:", id.value, shard.hard_state,
                       shard.compacted.value, shard.compacted_term.value);
    for (const WalEntry& e : shard.entries) {
      out += fmt::format(" {}@{}/{}:", e.index.value, e.term.value, e.kind);
      out += e.payload;
    }
    out += '\n';
  }
  return out;
}

void WalModel::Append(ShardId id, LogIndex at, Random& random, WalBatch& batch) {
  WalShard& shard = shards_[id];
  while (!shard.entries.empty() && shard.entries.back().index >= at) shard.entries.pop_back();
  const std::uint64_t count = 1 + random.Below(3);
  for (std::uint64_t i = 0; i < count; ++i) {
    const LogIndex index = LastOf(shard) + 1;
    const Term term(1 + serial_ / 8);
    const auto kind = static_cast<std::uint8_t>(random.Below(3));
    std::string payload = fmt::format("p{}", ++serial_);
    payload.append(random.Below(220), static_cast<char>('a' + serial_ % 26));
    batch.PutEntry(id, index, term, kind, payload);
    shard.entries.push_back({index, term, kind, std::move(payload)});
  }
}

void WalModel::Compact(ShardId id, LogIndex index, Term term, WalBatch& batch) {
  WalShard& shard = shards_[id];
  batch.PutCompaction(id, index, term);
  if (index <= shard.compacted) return;
  bool discards = index > LastOf(shard);
  for (const WalEntry& e : shard.entries) discards |= e.index == index && e.term != term;
  if (discards) shard.entries.clear();
  std::erase_if(shard.entries, [index](const WalEntry& e) { return e.index <= index; });
  shard.compacted = index;
  shard.compacted_term = term;
}

WalBatch WalModel::Draw(Random& random) {
  WalBatch batch;
  const std::uint64_t changes = 1 + random.Below(3);
  for (std::uint64_t i = 0; i < changes; ++i) {
    const ShardId id(random.Below(3));
    WalShard& shard = shards_[id];
    const std::uint64_t live = shard.entries.size();
    const std::uint64_t choice = random.Below(20);
    if (choice < 11) {
      Append(id, LastOf(shard) + 1, random, batch);
    } else if (choice < 13 && live > 0) {
      Append(id, shard.entries[random.Below(live)].index, random, batch);
    } else if (choice < 16 && live > 0) {
      const WalEntry& to = shard.entries[random.Below(live)];
      Compact(id, to.index, to.term, batch);
    } else if (choice == 16 && live > 0) {
      const WalEntry& to = shard.entries[random.Below(live)];
      Compact(id, to.index, Term(to.term.value + 1), batch);
    } else if (choice == 17) {
      Compact(id, LastOf(shard) + (1 + random.Below(5)), Term(1 + serial_ / 8), batch);
    } else {
      shard.hard_state = fmt::format("h{}", ++serial_);
      batch.PutHardState(id, shard.hard_state);
    }
  }
  return batch;
}

namespace {

class Recording {
 public:
  Recording(DiskImage image, WalWorkload workload)
      : workload_(workload),
        world_(std::move(image), workload.seed),
        random_(workload.seed * 7919) {
    trace_.start = world_.disk().start();
    world_.disk().sync_fails_in = workload.sync_fails_in;
  }

  WalTrace Run() {
    auto opened = world_.Run(Wal::Open(world_, kWalDir, workload_.options));
    COT_ASSERT(opened.has_value() || workload_.sync_fails_in >= 0);
    if (opened) {
      wal_ = std::move(*opened);
      WalModel model(wal_->TakeRecovered());
      trace_.states.push_back(model.Print());
      runtime::Scope scope;
      for (int i = 0; i < workload_.batches && !world_.crashed();) {
        for (std::uint64_t at_once = 1 + random_.Below(4); at_once > 0 && i < workload_.batches;
             --at_once, ++i) {
          WalBatch batch = model.Draw(random_);
          trace_.states.push_back(model.Print());
          trace_.given_at.push_back(world_.disk().ops().size());
          trace_.answered_at.push_back(SIZE_MAX);
          // What nobody waits for is promised by the next answer: the log is one order.
          if (random_.Chance(workload_.later)) {
            wal_->AppendLater(std::move(batch));
            continue;
          }
          scope.Spawn(Append(std::move(batch), trace_.answered_at.size() - 1));
        }
        world_.executor().RunUntilIdle();
      }
    }
    wal_.reset();
    trace_.ops = world_.disk().ops();
    trace_.crashed = world_.crashed();
    for (const DiskOp& op : trace_.ops) {
      const bool first_frame = op.kind == DiskOp::Kind::kWrite && op.offset == 0;
      trace_.segments_started += first_frame ? 1 : 0;
    }
    return std::move(trace_);
  }

 private:
  Task<void> Append(WalBatch batch, std::size_t i) {
    const Status durable = co_await wal_->Append(std::move(batch));
    COT_ASSERT(durable.has_value());
    trace_.answered_at[i] = world_.disk().ops().size();
  }

  WalWorkload workload_;
  TestWorld world_;
  Random random_;
  WalTrace trace_;
  std::unique_ptr<Wal> wal_;
};

}  // namespace

WalTrace RecordWalTrace(DiskImage image, WalWorkload workload) {
  Recording recording(std::move(image), workload);
  return recording.Run();
}

std::optional<std::string> CheckRecovery(const WalTrace& trace, std::size_t ops, DiskImage image) {
  TestWorld world(std::move(image), ops + 17);
  auto opened = world.Run(Wal::Open(world, kWalDir, {.segment_bytes = 4096}));
  if (!opened)
    return fmt::format("after {} operations: does not open: {}", ops, Describe(opened.error()));
  if (!(*opened)->cut().empty())
    return fmt::format("after {} operations: a crash is taken for a cut: {}", ops,
                       (*opened)->cut());
  const std::string found = WalModel::Print((*opened)->TakeRecovered());
  std::size_t answered = 0;
  std::size_t given = 0;
  for (std::size_t i = 0; i < trace.given_at.size(); ++i) {
    if (trace.answered_at[i] <= ops) answered = i + 1;
    if (trace.given_at[i] <= ops) given = i + 1;
  }
  for (std::size_t i = given + 1; i-- > answered;) {
    if (trace.states[i] == found) return std::nullopt;
  }
  return fmt::format("after {} operations: {} answered, {} given, but the log holds\n{}", ops,
                     answered, given, found);
}

CrashReport EnumerateCrashes(const WalTrace& trace, int draws, std::uint64_t seed) {
  CrashReport report;
  Random random(seed);
  for (std::size_t ops = 0; ops <= trace.ops.size(); ++ops) {
    for (const Loss loss : {Loss::kDropAll, Loss::kKeepAll, Loss::kTear, Loss::kReorder}) {
      const int times = loss == Loss::kTear || loss == Loss::kReorder ? draws : 1;
      for (int i = 0; i < times; ++i) {
        const auto broken =
            CheckRecovery(trace, ops, Materialise(trace.start, trace.ops, ops, loss, random));
        ++report.states;
        if (!broken) continue;
        ++report.violations;
        if (report.first_violation.empty()) report.first_violation = *broken;
      }
    }
  }
  return report;
}

}  // namespace coterie::storage::testing
