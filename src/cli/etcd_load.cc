#include "cli/etcd_load.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "etcd/rpc.pb.h"
#include "net/http.h"
#include "runtime/scope.h"
#include "runtime/sync.h"

namespace coterie::cli {
namespace {

using runtime::Task;

constexpr Duration kConnectTimeout = 3s;
constexpr Duration kReconnectPause = 100ms;

/// A connection that is made again when it ends. Calls hold the channel they were made on.
struct Connection {
  runtime::Address to;
  std::shared_ptr<net::GrpcChannel> channel;
  bool connecting = false;
};

/// What the workers share. Outlives their frames.
struct Load {
  Load(runtime::World* w, LoadSpec s) : world(w), spec(std::move(s)), idle(w->executor()) {}
  runtime::World* world;
  LoadSpec spec;
  std::vector<Connection> connections;
  Instant measure_from = Instant::max();
  Instant stop_at = Instant::max();
  std::uint64_t next_key = 0;  ///< while the keys are written first
  int running = 0;
  runtime::Notification idle;
  LoadResult result;
  std::optional<Error> preload_error;
};

std::string RandomValue(Random& random, std::size_t bytes) {
  std::string value;
  value.reserve(bytes + 8);
  while (value.size() < bytes) {
    const std::uint64_t draw = random.Next();
    value.append(reinterpret_cast<const char*>(&draw), sizeof draw);
  }
  value.resize(bytes);
  return value;
}

std::string PutRequestBytes(Load& load, std::uint64_t key) {
  etcdserverpb::PutRequest request;
  request.set_key(LoadKey(key, load.spec.key_bytes));
  request.set_value(RandomValue(load.world->random(), load.spec.value_bytes));
  return request.SerializeAsString();
}

std::string RangeRequestBytes(Load& load, std::uint64_t key) {
  etcdserverpb::RangeRequest request;
  request.set_key(LoadKey(key, load.spec.key_bytes));
  return request.SerializeAsString();
}

constexpr const char* kPutPath = "/etcdserverpb.KV/Put";
constexpr const char* kRangePath = "/etcdserverpb.KV/Range";
constexpr const char* kStatusPath = "/etcdserverpb.Maintenance/Status";

Task<Result<std::shared_ptr<net::GrpcChannel>>> Dial(runtime::World* world, runtime::Address to) {
  Result<std::unique_ptr<net::GrpcChannel>> channel =
      co_await net::GrpcChannel::Connect(*world, to, kConnectTimeout);
  if (!channel) {
    Error error = std::move(channel.error());
    error.message = fmt::format("{}: {}", ToText(to), error.message);
    co_return std::unexpected(std::move(error));
  }
  co_return std::shared_ptr<net::GrpcChannel>(std::move(*channel));
}

/// A live channel, or nullptr after a pause when there is none now.
Task<std::shared_ptr<net::GrpcChannel>> LiveChannel(Load* load, Connection* connection) {
  if (connection->channel && connection->channel->alive()) co_return connection->channel;
  if (!connection->connecting) {
    connection->connecting = true;
    ++load->result.reconnects;
    Result<std::shared_ptr<net::GrpcChannel>> fresh = co_await Dial(load->world, connection->to);
    connection->connecting = false;
    if (fresh) {
      connection->channel = std::move(*fresh);
      co_return connection->channel;
    }
  }
  co_await runtime::Sleep(load->world->executor(), kReconnectPause);
  co_return nullptr;
}

std::string ReasonOf(const net::GrpcStatus& status) {
  return fmt::format("grpc {}: {}", static_cast<int>(status.code), status.message);
}

void Count(Load& load, const net::GrpcReply& reply, Instant started) {
  const Instant now = load.world->Now();
  if (started < load.measure_from || now > load.stop_at) return;
  if (reply) {
    ++load.result.calls;
    load.result.latency.Add(now - started);
    return;
  }
  ++load.result.errors;
  constexpr std::size_t kReasonsMax = 20;
  auto& reasons = load.result.errors_by_reason;
  const std::string reason = ReasonOf(reply.error());
  if (reasons.size() < kReasonsMax || reasons.contains(reason)) ++reasons[reason];
}

void Finished(Load& load) {
  if (--load.running == 0) load.idle.NotifyAll();
}

/// One call at a time until the time is up.
Task<void> Worker(Load* load, std::size_t connection) {
  const bool put = load->spec.op == LoadSpec::Op::kPut;
  while (load->world->Now() < load->stop_at) {
    std::shared_ptr<net::GrpcChannel> channel =
        co_await LiveChannel(load, &load->connections[connection]);
    if (!channel) continue;
    const std::uint64_t key = load->world->random().Below(load->spec.keys);
    std::string request = put ? PutRequestBytes(*load, key) : RangeRequestBytes(*load, key);
    const Instant started = load->world->Now();
    const net::GrpcReply reply = co_await channel->Unary(
        put ? kPutPath : kRangePath, std::move(request), started + load->spec.call_timeout);
    Count(*load, reply, started);
  }
  Finished(*load);
}

/// Writes keys that no other preloader has taken.
Task<void> Preloader(Load* load, std::size_t connection) {
  while (load->next_key < load->spec.keys && !load->preload_error) {
    const std::uint64_t key = load->next_key++;
    std::shared_ptr<net::GrpcChannel> channel = load->connections[connection].channel;
    std::string request = PutRequestBytes(*load, key);
    const net::GrpcReply reply = co_await channel->Unary(
        kPutPath, std::move(request), load->world->Now() + load->spec.call_timeout);
    if (!reply && !load->preload_error) {
      load->preload_error = Error{ErrorCode::kConnectFailed, Outcome::kUnknown,
                                  "Writing the keys: " + ReasonOf(reply.error())};
    }
  }
  Finished(*load);
}

Task<void> MarkMeasuredTime(Load* load) {
  co_await runtime::SleepUntil(load->world->executor(), load->measure_from);
  if (load->spec.at_begin) load->spec.at_begin();
  co_await runtime::SleepUntil(load->world->executor(), load->stop_at);
  if (load->spec.at_end) load->spec.at_end();
  Finished(*load);
}

Task<void> WaitIdle(Load* load) {
  while (load->running > 0) co_await load->idle.Wait();
  // The last worker's frame is still finishing: let its turn end before its scope does.
  co_await runtime::Yield(load->world->executor());
}

/// The endpoint whose node leads, by the nodes' own word.
Task<Result<runtime::Address>> FindLeader(runtime::World* world,
                                          std::vector<runtime::Address> endpoints) {
  for (const runtime::Address& endpoint : endpoints) {
    Result<std::shared_ptr<net::GrpcChannel>> channel = co_await Dial(world, endpoint);
    if (!channel) continue;
    const net::GrpcReply reply =
        co_await (*channel)->Unary(kStatusPath, "", world->Now() + kConnectTimeout);
    etcdserverpb::StatusResponse status;
    if (!reply || !status.ParseFromString(*reply)) continue;
    if (status.leader() != 0 && status.leader() == status.header().member_id()) co_return endpoint;
  }
  co_return Fail(ErrorCode::kNoLeader, "None of the endpoints says that it leads.");
}

Task<Status> ConnectAll(Load* load) {
  std::vector<runtime::Address> targets = load->spec.endpoints;
  if (load->spec.leader_only) {
    Result<runtime::Address> leader = co_await FindLeader(load->world, targets);
    if (!leader) co_return std::unexpected(std::move(leader.error()));
    targets = {std::move(*leader)};
  }
  for (int i = 0; i < load->spec.connections; ++i) {
    const runtime::Address to = targets[static_cast<std::size_t>(i) % targets.size()];
    Result<std::shared_ptr<net::GrpcChannel>> channel = co_await Dial(load->world, to);
    if (!channel) co_return std::unexpected(std::move(channel.error()));
    load->connections.push_back({to, std::move(*channel)});
  }
  load->result.used = std::move(targets);
  co_return Ok();
}

Status CheckSpec(const LoadSpec& spec) {
  const auto bad = [](std::string why) { return Fail(ErrorCode::kInvalidArgument, why); };
  if (spec.endpoints.empty()) return bad("No endpoints.");
  if (spec.connections < 1 || spec.inflight < spec.connections) {
    return bad("--inflight must be at least --clients, and --clients at least 1.");
  }
  if (spec.keys == 0) return bad("--keys must be at least 1.");
  const std::size_t digits = fmt::to_string(spec.keys - 1).size();
  if (spec.key_bytes < digits) return bad(fmt::format("--key-bytes must be at least {}.", digits));
  return Ok();
}

}  // namespace

std::string LoadKey(std::uint64_t number, std::size_t bytes) {
  constexpr std::string_view kPrefix = "bench/";
  const std::string digits = fmt::to_string(number);
  const bool prefixed = bytes >= kPrefix.size() + 20;
  const std::size_t width = prefixed ? bytes - kPrefix.size() : bytes;
  std::string key(prefixed ? kPrefix : "");
  key.append(width - std::min(width, digits.size()), '0');
  return key + digits;
}

Task<Result<LoadResult>> RunEtcdLoad(runtime::World* world, LoadSpec spec) {
  COT_CO_TRY(CheckSpec(spec));
  Load load(world, std::move(spec));
  const Status connected = co_await ConnectAll(&load);
  if (!connected) co_return std::unexpected(connected.error());
  const auto inflight = static_cast<std::size_t>(load.spec.inflight);
  const std::size_t connections = load.connections.size();
  runtime::Scope scope;
  if (load.spec.op == LoadSpec::Op::kRange && !load.spec.loaded) {
    load.running = load.spec.inflight;
    for (std::size_t i = 0; i < inflight; ++i) scope.Spawn(Preloader(&load, i % connections));
    co_await WaitIdle(&load);
    if (load.preload_error) co_return std::unexpected(std::move(*load.preload_error));
  }
  load.measure_from = world->Now() + load.spec.warmup;
  load.stop_at = load.measure_from + load.spec.duration;
  load.running = load.spec.inflight + 1;
  scope.Spawn(MarkMeasuredTime(&load));
  for (std::size_t i = 0; i < inflight; ++i) scope.Spawn(Worker(&load, i % connections));
  co_await WaitIdle(&load);
  load.result.measured = load.spec.duration;
  co_return std::move(load.result);
}

}  // namespace coterie::cli
