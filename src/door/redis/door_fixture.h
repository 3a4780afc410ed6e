#pragma once

// For this room's tests: machines with doors in one world without a network, and clients of them.

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "door/redis/peer_client.h"
#include "door/redis/redis_door.h"
#include "door/redis/stand_in.h"
#include "net/test_world.h"
#include "node/transport.h"
#include "runtime/scope.h"

namespace coterie::door::redis {

using net::test::TestWorld;

/// One node: its control keyspace, replicas, connections to the others, and door.
struct Machine {
  Machine(TestWorld& world, NodeId self, const std::vector<node::MemberConfig>& members,
          placement::ClusterMapPtr map, RedisDoorLimits limits, Executor* ordered = nullptr)
      : control(world, std::move(map)),
        leaderless(world, control, self),
        transport(world, self, 7, members, {}),
        door(world, {.self = self,
                     .control = &control,
                     .leaderless = &leaderless,
                     .transport = &transport,
                     .ordered = ordered,
                     .limits = limits}) {
    transport.Start(*world.network().Listen({"10.0.0." + std::to_string(self.value), 7071}));
    door.Serve(*world.network().Listen({"10.0.0." + std::to_string(self.value), 6379}));
  }
  ~Machine() { transport.Stop(); }

  StandInControl control;  // nodes learn of a new map each in its own time
  StandInLeaderless leaderless;
  node::Transport transport;
  RedisDoor door;
};

/// A client on a pipe. Nothing happens but in Ask, Tell and Expect.
class Client {
 public:
  Client(TestWorld& world, NodeId node) : world_(world) {
    auto stream = world.network().Dial({"10.0.0." + std::to_string(node.value), 6379});
    COT_ASSERT(stream.has_value());
    stream_ = std::move(*stream);
    scope_.Spawn(Read());
  }

  /// Words of `line`, split at spaces.
  static std::vector<std::string> Split(std::string_view line) {
    std::vector<std::string> words;
    while (!line.empty()) {
      const std::size_t end = std::min(line.find(' '), line.size());
      words.emplace_back(line.substr(0, end));
      line.remove_prefix(std::min(end + 1, line.size()));
    }
    return words;
  }
  void Tell(std::string bytes) {
    scope_.Spawn(Write(std::move(bytes)));
    Run();
  }
  void Run(Duration duration = 5ms) { world_.executor().RunFor(duration); }
  /// The command's reply as text; "(none)" if none came.
  std::string Ask(const std::vector<std::string>& words) {
    Tell(PeerClient::Encode(words));
    return Take();
  }
  std::string Ask(std::string_view line) { return Ask(Split(line)); }
  /// The next reply that has come; "(none)".
  std::string Take() {
    if (input_.empty()) return closed_ ? "(closed)" : "(none)";
    std::string_view in = input_;
    std::string text = PeerClient::Text(in);
    input_.erase(0, input_.size() - in.size());
    return text;
  }
  void StopReading() { reading_ = false; }
  void GoOnReading() {
    reading_ = true;
    scope_.Spawn(Read());
  }
  std::string& input() { return input_; }
  bool closed() const { return closed_; }

 private:
  runtime::Task<void> Write(std::string bytes) {
    Status written = co_await stream_->Write(std::move(bytes));
    if (!written) closed_ = true;
  }
  runtime::Task<void> Read() {
    std::vector<char> buffer(64u << 10);
    while (reading_) {
      Result<std::size_t> got = co_await stream_->Read(buffer);
      if (!got || *got == 0) {
        closed_ = true;
        co_return;
      }
      input_.append(buffer.data(), *got);
    }
  }

  TestWorld& world_;
  std::unique_ptr<runtime::Stream> stream_;
  std::string input_;
  bool closed_ = false;
  bool reading_ = true;
  runtime::Scope scope_;
};

class DoorTest : public testing::Test {
 protected:
  DoorTest() : control(world) {}

  /// Starts `n` machines on the keyspaces that were added to `control`.
  void Start(std::size_t n, RedisDoorLimits limits = {}) {
    std::vector<node::MemberConfig> members;
    for (std::size_t i = 1; i <= n; ++i)
      members.push_back({.id = NodeId(i),
                         .name = "n" + std::to_string(i),
                         .peer = {"10.0.0." + std::to_string(i), 7071}});
    for (const node::MemberConfig& member : members)
      machines.push_back(
          std::make_unique<Machine>(world, member.id, members, control.map(), limits, ordered));
    world.executor().RunFor(2s);  // connections between them stand
  }
  Machine& machine(std::size_t n) { return *machines[n - 1]; }

  TestWorld world;
  StandInControl control;
  Executor* ordered = nullptr;  ///< raft and paxos keyspaces of all machines
  std::vector<std::unique_ptr<Machine>> machines;
};

}  // namespace coterie::door::redis
