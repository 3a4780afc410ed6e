#include "sim/toy_cluster.h"

#include <fmt/format.h>

#include <optional>

#include "runtime/scope.h"
#include "runtime/sync.h"

namespace coterie::sim {
namespace {

using check::Operation;
using runtime::Task;

constexpr std::uint16_t kPort = 4000;

std::string HostOf(std::uint32_t replica) { return fmt::format("10.9.0.{}", replica + 1); }

/// A stream read by lines.
class Lines {
 public:
  explicit Lines(std::unique_ptr<runtime::Stream> stream) : stream_(std::move(stream)) {}
  Task<Result<std::string>> Next() {
    for (;;) {
      if (const std::size_t end = buffer_.find('\n'); end != std::string::npos) {
        std::string line = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        co_return line;
      }
      char bytes[1024];
      Result<std::size_t> got = co_await stream_->Read(bytes);
      if (!got) co_return FailUnknown(ErrorCode::kConnectionClosed);
      if (*got == 0) co_return FailUnknown(ErrorCode::kConnectionClosed);
      buffer_.append(bytes, *got);
    }
  }
  Task<Status> Write(std::string line) {
    Status status = co_await stream_->Write(std::move(line));
    co_return status;
  }

 private:
  std::unique_ptr<runtime::Stream> stream_;
  std::string buffer_;
};

/// One incarnation of one replica.
struct Replica {
  ToyCluster& cluster;
  runtime::World& world;
  check::SimulatedStore cache;
  bool deaf = false;
  runtime::Scope scope;
};

Task<void> ApplyLater(Replica* self, Operation op) {
  co_await runtime::Sleep(self->world.executor(), 20ms);
  self->cluster.Apply(op);
}

Task<void> Serve(Replica* self, std::unique_ptr<runtime::Stream> stream) {
  Lines lines(std::move(stream));
  for (;;) {
    Result<std::string> line = co_await lines.Next();
    if (!line) co_return;
    Result<check::History> request = check::FromJsonLines(*line);
    if (!request || request->operations.size() != 1) co_return;
    Operation op = std::move(request->operations[0]);
    if (self->cluster.bug() == ToyBug::kRealEntropy) {
      const auto somewhere = std::make_unique<char>();
      const auto address = reinterpret_cast<std::uintptr_t>(somewhere.get());
      co_await runtime::Sleep(self->world.executor(), Duration(address % 1'000'003));
    }
    while (self->deaf) co_await runtime::Sleep(self->world.executor(), 1s);
    const bool only_puts = op.compares.empty() && op.success.size() == 1 &&
                           op.success[0].kind == check::Step::Kind::kPut;
    if (self->cluster.bug() == ToyBug::kCachedReads && !op.may_write()) {
      self->cache.Apply(op);
    } else if (self->cluster.bug() == ToyBug::kEarlyAck && only_puts) {
      self->scope.Spawn(ApplyLater(self, op));
      op.revision = self->cluster.store().revision() + 1;
    } else {
      self->cluster.Apply(op);
    }
    const Status written = co_await lines.Write(check::ToJson(op) + "\n");
    if (!written) co_return;
  }
}

Task<void> RenewCache(Replica* self) {
  for (;;) {
    self->cache = self->cluster.store();
    co_await runtime::Sleep(self->world.executor(), 300ms);
  }
}

Task<void> NoticePauses(Replica* self) {
  for (Instant last = self->world.Now(); !self->deaf; last = self->world.Now()) {
    co_await runtime::Sleep(self->world.executor(), 10ms);
    self->deaf = self->world.Now() - last > 100ms;
  }
}

Task<void> ReplicaMain(ToyCluster* cluster, runtime::World* world) {
  Replica self{*cluster, *world, cluster->store(), false, {}};
  if (cluster->bug() == ToyBug::kCachedReads) self.scope.Spawn(RenewCache(&self));
  if (cluster->bug() == ToyBug::kDeafAfterPause) self.scope.Spawn(NoticePauses(&self));
  auto listening = world->network().Listen({"0.0.0.0", kPort});
  COT_ASSERT(listening.has_value());
  const std::unique_ptr<runtime::Listener> listener = std::move(*listening);
  for (;;) {
    auto accepted = co_await listener->Accept();
    if (!accepted) continue;
    self.scope.Spawn(Serve(&self, std::move(*accepted)));
  }
}

class ToyClient final : public KvClient {
 public:
  ToyClient(ToyCluster& cluster, runtime::World& world, std::uint32_t replica)
      : cluster_(cluster), world_(world), replica_(replica) {}

  Task<Result<Operation>> Execute(Operation op, Duration timeout) override {
    if (lines_ == nullptr) {
      auto connected = co_await world_.network().Connect({HostOf(replica_), kPort}, timeout);
      if (!connected) co_return Fail(ErrorCode::kConnectFailed);
      lines_ = std::make_shared<Lines>(std::move(*connected));
    }
    auto answer = std::make_shared<runtime::Slot<Result<Operation>>>(world_.executor());
    runtime::Scope exchange;
    exchange.Spawn(Exchange(lines_, std::move(op), answer));
    std::optional<Result<Operation>> got = co_await answer->WaitUntil(world_.Now() + timeout);
    if (got && got->has_value()) co_return std::move(*got);
    lines_.reset();
    if (got) co_return std::move(*got);
    co_return FailUnknown(ErrorCode::kTimedOut);
  }

  Task<Result<std::int64_t>> GrantLease(std::int64_t, Duration) override {
    co_return 7;  // a lease that outlives the run
  }

  Task<Result<std::int64_t>> RenewLease(std::int64_t, Duration) override { co_return 2; }
  Task<Status> Compact(std::int64_t, Duration) override { co_return Ok(); }

  /// Reads the changes beside the wire: what is tested is the framework's bookkeeping.
  Task<Status> Watch(std::string key, std::string range_end, std::int64_t start,
                     WatchSink* sink) override {
    sink->OnCreated(cluster_.store().revision());
    const bool skip = cluster_.bug() == ToyBug::kSkipsEvents && start > 3;
    std::int64_t next = start + (skip ? 1 : 0);
    for (int sent = 0; sent < 20;) {
      co_await runtime::Sleep(world_.executor(), 30ms);
      const auto& changes = cluster_.changes();
      for (std::size_t i = 0; i < changes.size(); ++i) {
        if (changes[i].revision < next) continue;
        next = changes[i].revision + 1;
        check::WatchResponse watched = changes[i];
        std::erase_if(watched.events, [&](const check::WatchEvent& event) {
          return !check::InRange(event.kv.key, key, range_end);
        });
        if (watched.events.empty()) continue;
        sink->OnResponse(std::move(watched));
        ++sent;
      }
      sink->OnResponse({.revision = cluster_.store().revision(), .progress = true});
    }
    co_return Ok();
  }

 private:
  static Task<void> Exchange(std::shared_ptr<Lines> lines, Operation op,
                             std::shared_ptr<runtime::Slot<Result<Operation>>> answer) {
    const Status written = co_await lines->Write(check::ToJson(op) + "\n");
    if (!written) {
      answer->Set(FailUnknown(ErrorCode::kConnectionClosed));
      co_return;
    }
    Result<std::string> line = co_await lines->Next();
    if (!line) {
      answer->Set(std::unexpected(line.error()));
      co_return;
    }
    Result<check::History> parsed = check::FromJsonLines(*line);
    COT_ASSERT(parsed.has_value());
    answer->Set(std::move(parsed->operations[0]));
  }

  ToyCluster& cluster_;
  runtime::World& world_;
  const std::uint32_t replica_;
  std::shared_ptr<Lines> lines_;
};

}  // namespace

ToyCluster::ToyCluster(runtime::Simulation& simulation, const Plan& plan, ToyBug bug) : bug_(bug) {
  for (std::uint32_t i = 0; i < plan.replicas; ++i) {
    nodes_.push_back(simulation.AddNode(fmt::format("replica{}", i), HostOf(i)));
  }
}

ToyCluster::~ToyCluster() = default;

runtime::Simulation::Main ToyCluster::MainOf(std::uint32_t) {
  return [this](runtime::World& world) { return ReplicaMain(this, &world); };
}

std::unique_ptr<KvClient> ToyCluster::NewClient(runtime::World& world, std::uint32_t i) {
  return std::make_unique<ToyClient>(*this, world, i);
}

std::string ToyCluster::Divergence(std::span<const std::uint32_t> core) {
  return core.empty() ? "no core" : "";
}

void ToyCluster::Apply(Operation& op) {
  const auto before = store_.live();
  store_.Apply(op);
  check::WatchResponse response{.revision = store_.revision()};
  for (const auto& [key, kv] : before) {
    if (store_.live().contains(key)) continue;
    response.events.push_back(
        {.deleted = true, .kv = {key, "", 0, store_.revision(), 0}, .prev_kv = kv});
  }
  for (const auto& [key, kv] : store_.live()) {
    const auto old = before.find(key);
    if (old != before.end() && old->second.mod_revision == kv.mod_revision) continue;
    check::WatchEvent event{.kv = kv};
    if (old != before.end()) event.prev_kv = old->second;
    response.events.push_back(std::move(event));
  }
  if (!response.events.empty()) changes_.push_back(std::move(response));
}

ClusterFactory ToyFactory(ToyBug bug) {
  return [bug](runtime::Simulation& simulation, const Plan& plan) -> std::unique_ptr<Cluster> {
    return std::make_unique<ToyCluster>(simulation, plan, bug);
  };
}

}  // namespace coterie::sim
