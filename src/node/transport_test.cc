// Connections between nodes in the simulated world: two transports, and a stranger with bytes of
// its own.

#include "node/transport.h"

#include <gtest/gtest.h>

#include "coterie/peer.pb.h"
#include "net/frame.h"
#include "runtime/sim/simulation.h"

namespace coterie::node {
namespace {

using runtime::Task;
using runtime::World;

constexpr std::uint64_t kCluster = 4711;
constexpr Method kEcho = Method::kReadIndex;
constexpr Method kNever = Method::kLeaseRenew;
constexpr Method kRefuse = Method::kLeaseRemaining;

class TransportTest : public ::testing::Test {
 protected:
  /// A machine with a transport of `cluster`, as node `id`.
  struct Machine {
    runtime::NodeHandle handle;
    std::uint64_t cluster = kCluster;
    Transport::Limits limits;
    Transport* transport = nullptr;
    World* world = nullptr;
    std::vector<std::string> got;
    int lost = 0;
    int answers_given = 0;
    runtime::Scope* scope = nullptr;
  };

  TransportTest() {
    for (std::uint64_t id = 1; id <= 2; ++id) {
      const std::string host = "10.0.0." + std::to_string(id);
      members_.push_back({NodeId(id), "n" + std::to_string(id), {host, 7071}, {}});
      machines_[id].handle = sim_.AddNode(members_.back().name, host);
    }
    stranger_ = sim_.AddNode("stranger", "10.0.0.9");
  }

  void Start(std::uint64_t id) {
    Machine* machine = &machines_[id];
    machine->got.clear();
    sim_.Start(machine->handle,
               [this, machine, id](World& world) { return Main(this, machine, id, &world); });
  }
  void StartBoth() {
    Start(1);
    Start(2);
    ASSERT_TRUE(sim_.RunUntil([&] { return Connected(1, 2) && Connected(2, 1); }, 10s));
  }
  bool Connected(std::uint64_t from, std::uint64_t to) {
    Transport* transport = machines_[from].transport;
    return transport != nullptr && transport->connected(NodeId(to));
  }
  void Send(std::uint64_t from, std::string text) {
    machines_[from].transport->Send(NodeId(from == 1 ? 2 : 1), FrameType::kRaft, text);
  }

  static Task<void> Main(TransportTest* test, Machine* machine, std::uint64_t id, World* world) {
    auto listener = world->network().Listen(test->members_[id - 1].peer);
    COT_ASSERT(listener.has_value());
    Transport transport(*world, NodeId(id), machine->cluster, test->members_, machine->limits);
    struct Listed {
      Machine& machine;
      ~Listed() {
        machine.transport = nullptr;
        machine.scope = nullptr;
      }
    } listed{*machine};
    machine->transport = &transport;
    machine->world = world;
    transport.OnMessage(FrameType::kRaft, [machine](NodeId, std::string_view body) {
      machine->got.emplace_back(body);
    });
    transport.OnLost([machine](NodeId) { ++machine->lost; });
    transport.OnCall(kEcho, [machine](NodeId, std::string body, Instant) {
      return Echo(machine, std::move(body));
    });
    transport.OnCall(kNever, [world](NodeId, std::string, Instant) { return Never(world); });
    transport.OnCall(kRefuse, [](NodeId, std::string, Instant) { return Refuse(); });
    transport.Start(std::move(*listener));
    runtime::Scope scope;
    machine->scope = &scope;
    co_await Forever(world);
  }
  static Task<void> Forever(World* world) {
    runtime::Notification never(world->executor());
    co_await never.Wait();
  }
  static Task<Result<std::string>> Echo(Machine* machine, std::string body) {
    ++machine->answers_given;
    co_return "echo " + body;
  }
  static Task<Result<std::string>> Never(World* world) {
    co_await Forever(world);
    co_return std::string();
  }
  // What failed may quote a client's bytes, which need not be text.
  static Task<Result<std::string>> Refuse() {
    co_return FailUnknown(ErrorCode::kIo, "refused \xff\xfe");
  }

  using Answer = std::shared_ptr<std::optional<Result<std::string>>>;
  /// A call from node 1 to node 2.
  Answer Call(Method method, std::string body, Duration patience = 5s, ShardId shard = {}) {
    const auto out = std::make_shared<std::optional<Result<std::string>>>();
    machines_[1].scope->Spawn(
        RunCall(&machines_[1], method, std::move(body), patience, shard, out));
    return out;
  }
  static Task<void> RunCall(Machine* machine, Method method, std::string body, Duration patience,
                            ShardId shard, Answer out) {
    const Instant deadline = machine->world->Now() + patience;
    auto answer =
        co_await machine->transport->Call(NodeId(2), method, std::move(body), deadline, shard);
    *out = std::move(answer);
  }
  Result<std::string> Await(const Answer& out) {
    EXPECT_TRUE(sim_.RunUntil([&] { return out->has_value(); }, 60s));
    return *out ? **out : Fail(ErrorCode::kStopped);
  }

  /// The stranger connects to node 2 and writes `bytes`; true if node 2 ended the connection.
  bool EndsConnectionOf(std::string bytes, Duration limit = 3s) {
    bool ended = false;
    sim_.Start(stranger_, [&](World& world) { return Stranger(&world, bytes, &ended); });
    sim_.RunUntil([&] { return ended; }, limit);
    sim_.Kill(stranger_);
    return ended;
  }
  static Task<void> Stranger(World* world, std::string bytes, bool* ended) {
    auto stream = co_await world->network().Connect({"10.0.0.2", 7071}, 1s);
    if (!stream) co_return;
    if (!bytes.empty()) {
      const Status written = co_await (*stream)->Write(std::move(bytes));
      if (!written) *ended = true;
    }
    std::vector<char> buffer(64);
    for (;;) {
      auto read = co_await (*stream)->Read(buffer);
      if (!read || *read == 0) break;
    }
    *ended = true;
  }
  static std::string Frame(FrameType type, std::string body) {
    std::string out;
    net::EncodeFrame({.type = static_cast<std::uint16_t>(type)}, body, out);
    return out;
  }
  static std::string Hello(std::uint64_t cluster, std::uint64_t from, std::uint64_t to) {
    peer::Hello hello;
    hello.set_cluster_id(cluster);
    hello.set_from(from);
    hello.set_to(to);
    return Frame(FrameType::kHello, hello.SerializeAsString());
  }

  std::vector<MemberConfig> members_;
  std::map<std::uint64_t, Machine> machines_;
  runtime::NodeHandle stranger_;
  runtime::Simulation sim_{{.seed = 9}};
};

// Messages come whole and in order, and a call is answered: with a value, with what the other says
// went wrong, or that it knows no such question.
TEST_F(TransportTest, MessagesAndCalls) {
  StartBoth();
  std::vector<std::string> sent;
  for (int i = 0; i < 50; ++i) {
    sent.push_back(std::string(static_cast<std::size_t>(i * 997), 'x') + std::to_string(i));
    Send(1, sent.back());
  }
  ASSERT_TRUE(sim_.RunUntil([&] { return machines_[2].got.size() == sent.size(); }, 10s));
  EXPECT_EQ(machines_[2].got, sent);

  EXPECT_EQ(Await(Call(kEcho, "hello")).value_or(""), "echo hello");
  const auto refused = Await(Call(kRefuse, ""));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kIo);
  EXPECT_EQ(refused.error().outcome, Outcome::kUnknown);
  EXPECT_EQ(refused.error().message, "refused \xff\xfe");
  const auto no_replica = Await(Call(Method::kSnapshotChunk, ""));
  ASSERT_FALSE(no_replica.has_value());
  EXPECT_EQ(no_replica.error().code, ErrorCode::kNotReplica);
  EXPECT_EQ(no_replica.error().outcome, Outcome::kNotApplied);
  const auto unknown = Await(Call(Method::kPaxosKeys, ""));
  ASSERT_FALSE(unknown.has_value());
  EXPECT_EQ(unknown.error().code, ErrorCode::kUnimplemented);
  EXPECT_EQ(unknown.error().outcome, Outcome::kNotApplied);
}

// A call that names a shard is answered by that shard's replica, and by nobody once it is gone: not
// even the question that it was working on.
TEST_F(TransportTest, ShardsAnswerForThemselves) {
  StartBoth();
  Transport& there = *machines_[2].transport;
  World* const world = machines_[2].world;
  there.OnShardCall(ShardId(7), Method::kSnapshotChunk,
                    [](NodeId, std::string, Instant) { return Refuse(); });
  there.OnShardCall(ShardId(8), Method::kSnapshotChunk,
                    [world](NodeId, std::string, Instant) { return Never(world); });
  const auto code = [this](ShardId shard) {
    const auto answer = Await(Call(Method::kSnapshotChunk, "", 2s, shard));
    return answer ? ErrorCode::kInvalidArgument : answer.error().code;
  };
  EXPECT_EQ(code(ShardId(7)), ErrorCode::kIo);
  EXPECT_EQ(code(ShardId(9)), ErrorCode::kNotReplica);
  const Answer under_way = Call(Method::kSnapshotChunk, "", 2s, ShardId(8));
  sim_.RunFor(500ms);
  there.RemoveShard(ShardId(7));
  there.RemoveShard(ShardId(8));
  EXPECT_EQ(code(ShardId(7)), ErrorCode::kNotReplica);
  const auto late = Await(under_way);
  ASSERT_FALSE(late.has_value());
  EXPECT_EQ(late.error().outcome, Outcome::kUnknown);
}

// A question that left may have been acted on: no answer in time, or a lost connection, is unknown.
// One that could not leave was not asked.
TEST_F(TransportTest, OutcomesOfFailedCalls) {
  StartBoth();
  const auto late = Await(Call(kNever, "", 2s));
  ASSERT_FALSE(late.has_value());
  EXPECT_EQ(late.error().code, ErrorCode::kTimedOut);
  EXPECT_EQ(late.error().outcome, Outcome::kUnknown);

  const Answer under_way = Call(kNever, "", 30s);
  sim_.RunFor(1s);
  sim_.Kill(machines_[2].handle);
  const auto lost = Await(under_way);
  ASSERT_FALSE(lost.has_value());
  EXPECT_EQ(lost.error().code, ErrorCode::kConnectionClosed);
  EXPECT_EQ(lost.error().outcome, Outcome::kUnknown);
  EXPECT_EQ(machines_[1].lost, 1);

  const auto not_asked = Await(Call(kEcho, ""));
  ASSERT_FALSE(not_asked.has_value());
  EXPECT_EQ(not_asked.error().code, ErrorCode::kConnectFailed);
  EXPECT_EQ(not_asked.error().outcome, Outcome::kNotApplied);
}

// More questions at once than allowed are refused before they leave.
TEST_F(TransportTest, CallsAreBounded) {
  machines_[1].limits.calls_max = 2;
  StartBoth();
  Call(kNever, "", 30s);
  Call(kNever, "", 30s);
  const auto third = Await(Call(kEcho, ""));
  ASSERT_FALSE(third.has_value());
  EXPECT_EQ(third.error().code, ErrorCode::kOverloaded);
  EXPECT_EQ(third.error().outcome, Outcome::kNotApplied);
}

// What waits for a slow link is bounded: messages over it are dropped, later ones come through.
TEST_F(TransportTest, QueueIsBounded) {
  machines_[1].limits.queue_bytes_max = 100'000;
  StartBoth();
  sim_.Cut(machines_[1].handle, machines_[2].handle);
  for (int i = 0; i < 100; ++i) {
    Send(1, std::string(50'000, 'x'));
    sim_.RunFor(1ms);
  }
  sim_.HealAll();
  sim_.RunFor(3s);
  EXPECT_LT(machines_[2].got.size(), 20U);
  EXPECT_GT(machines_[2].got.size(), 0U);
  Send(1, "after");
  ASSERT_TRUE(sim_.RunUntil([&] { return machines_[2].got.back() == "after"; }, 5s));
}

// Injected faults: a cut loses what is sent and keeps the connection, a delay holds it back,
// healing ends both.
TEST_F(TransportTest, InjectedFaults) {
  StartBoth();
  machines_[1].transport->SetFault(NodeId(2), {.cut = true, .delay = {}});
  Send(1, "lost");
  sim_.RunFor(10s);
  EXPECT_TRUE(machines_[2].got.empty());
  EXPECT_TRUE(Connected(1, 2));
  EXPECT_EQ(machines_[1].lost, 0);
  machines_[1].transport->SetFault(NodeId(2), {.cut = false, .delay = 2s});
  Send(1, "delayed");
  sim_.RunFor(1900ms);
  EXPECT_TRUE(machines_[2].got.empty());
  sim_.RunFor(200ms);
  EXPECT_EQ(machines_[2].got, std::vector<std::string>{"delayed"});
  machines_[1].transport->Heal();
  Send(1, "healed");
  sim_.RunFor(100ms);
  EXPECT_EQ(machines_[2].got.back(), "healed");
}

// Nodes of another cluster, or that mean another node, are turned away, and hear nothing.
TEST_F(TransportTest, WrongClusterIsRefused) {
  machines_[1].cluster = kCluster + 1;
  Start(1);
  Start(2);
  sim_.RunFor(3s);
  for (int i = 0; i < 20; ++i) {
    if (machines_[1].transport->connected(NodeId(2))) Send(1, "spy");
    sim_.RunFor(50ms);
  }
  EXPECT_TRUE(machines_[2].got.empty());
  EXPECT_TRUE(EndsConnectionOf(Hello(kCluster + 2, 1, 2)));
  EXPECT_TRUE(EndsConnectionOf(Hello(kCluster, 1, 3)));  // meant for another
  EXPECT_TRUE(EndsConnectionOf(Hello(kCluster, 8, 2)));  // not a member
  EXPECT_TRUE(EndsConnectionOf(Frame(FrameType::kRaft, "no hello first")));
}

// Bytes that are no frames end their connection, and nothing else.
TEST_F(TransportTest, MalformedFramesEndTheirConnectionOnly) {
  StartBoth();
  EXPECT_TRUE(EndsConnectionOf(std::string(1000, 'x')));
  std::string damaged = Hello(kCluster, 1, 2);
  damaged.back() ^= 1;
  EXPECT_TRUE(EndsConnectionOf(damaged));
  std::string huge = Frame(FrameType::kHello, "x");
  huge[3] = '\x7f';  // the length's highest byte
  EXPECT_TRUE(EndsConnectionOf(huge));
  Send(2, "still here");
  ASSERT_TRUE(sim_.RunUntil([&] { return !machines_[1].got.empty(); }, 5s));
  EXPECT_EQ(Await(Call(kEcho, "x")).value_or(""), "echo x");
}

// A node that connects anew has given its connection before up: that one is ended.
TEST_F(TransportTest, NewConnectionReplacesTheOneBefore) {
  StartBoth();
  EndsConnectionOf(Hello(kCluster, 1, 2), 100ms);  // the true node 1 comes back at once
  ASSERT_TRUE(sim_.RunUntil([&] { return machines_[1].lost == 1 && Connected(1, 2); }, 5s));
  EXPECT_EQ(Await(Call(kEcho, "x")).value_or(""), "echo x");
}

// Whole frames of unknown types, and bodies that are not messages, are ignored.
TEST_F(TransportTest, UnknownFramesAreIgnored) {
  Start(2);
  EXPECT_FALSE(EndsConnectionOf(Hello(kCluster, 1, 2) + Frame(static_cast<FrameType>(99), "later") +
                                Frame(FrameType::kCall, "\xff\xff") +
                                Frame(FrameType::kReply, "\xff\xff")));
}

// Who connects and says nothing is let go, so that silence cannot use connections up.
TEST_F(TransportTest, SilentStrangerIsLetGo) {
  Start(2);
  EXPECT_TRUE(EndsConnectionOf("", 10s));
}

Task<void> ConnectOften(World* world, int count, int* open) {
  std::vector<std::unique_ptr<runtime::Stream>> streams;
  for (int i = 0; i < count; ++i) {
    auto stream = co_await world->network().Connect({"10.0.0.2", 7071}, 1s);
    if (stream) streams.push_back(std::move(*stream));
  }
  co_await runtime::Sleep(world->executor(), 1s);
  for (auto& stream : streams) {
    char byte = 0;
    const Instant deadline = world->Now() + 10ms;
    auto read = co_await runtime::WithDeadline(world->executor(),
                                               stream->Read(std::span<char>(&byte, 1)), deadline);
    if (!read) ++*open;  // still waiting: nobody ended it
  }
}

// Connections are bounded; those over it end at once, and the others stay.
TEST_F(TransportTest, ConnectionsAreBounded) {
  machines_[2].limits.accepted_max = 4;
  Start(2);
  int open = 0;
  sim_.Start(stranger_, [&](World& world) { return ConnectOften(&world, 10, &open); });
  ASSERT_TRUE(sim_.RunUntil([&] { return sim_.finished(stranger_); }, 20s));
  EXPECT_EQ(open, 4);
}

// A machine that lost power says nothing of its connections. They are noticed dead by both kinds of
// ends, questions under way fail, and after its return all is as before.
TEST_F(TransportTest, PowerLossIsNoticed) {
  StartBoth();
  const Answer under_way = Call(kNever, "", 60s);
  sim_.RunFor(500ms);
  sim_.Kill(machines_[2].handle, runtime::Death::kPowerOff);
  ASSERT_TRUE(sim_.RunUntil([&] { return !Connected(1, 2); }, 10s));
  const auto lost = Await(under_way);
  ASSERT_FALSE(lost.has_value());
  EXPECT_EQ(lost.error().code, ErrorCode::kConnectionClosed);
  EXPECT_EQ(lost.error().outcome, Outcome::kUnknown);
  Start(2);
  ASSERT_TRUE(sim_.RunUntil([&] { return Connected(1, 2) && Connected(2, 1); }, 10s));
  EXPECT_EQ(Await(Call(kEcho, "back")).value_or(""), "echo back");
}

// A link that takes no bytes does not hold a writer for ever, nor do they pile up: the same rule
// ends the connection while a write waits.
TEST_F(TransportTest, StuckWriteIsEnded) {
  StartBoth();
  sim_.CutBoth(machines_[1].handle, machines_[2].handle);
  for (int i = 0; i < 20; ++i) Send(1, std::string(100'000, 'x'));  // more than the stream holds
  ASSERT_TRUE(sim_.RunUntil([&] { return machines_[1].lost > 0; }, 10s));
  sim_.HealAll();
  ASSERT_TRUE(sim_.RunUntil([&] { return Connected(1, 2) && Connected(2, 1); }, 10s));
  EXPECT_EQ(Await(Call(kEcho, "back")).value_or(""), "echo back");
}

// An idle pair keeps its connections.
TEST_F(TransportTest, IdleConnectionsStay) {
  StartBoth();
  sim_.RunFor(std::chrono::minutes(5));
  EXPECT_EQ(machines_[1].lost + machines_[2].lost, 0);
  EXPECT_TRUE(Connected(1, 2) && Connected(2, 1));
}

// A process that is held up for long blames nobody when it goes on.
TEST_F(TransportTest, PausedProcessKeepsItsConnections) {
  StartBoth();
  sim_.Pause(machines_[1].handle);
  sim_.RunFor(4s);
  sim_.Resume(machines_[1].handle);
  sim_.RunFor(5s);
  EXPECT_EQ(machines_[1].lost + machines_[2].lost, 0);
}

}  // namespace
}  // namespace coterie::node
