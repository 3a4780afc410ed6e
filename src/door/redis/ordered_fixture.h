#pragma once

// For this room's tests: ordered commands on a node of one member (the etcd door's stand-in) whose
// date the test sets, and clients that speak without a network.

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "door/etcd/fake_node.h"
#include "door/etcd/fake_world.h"
#include "door/redis/ordered_commands.h"
#include "door/redis/ordered_transaction.h"
#include "runtime/scope.h"

namespace coterie::door::redis {

/// A world of time and random numbers only; `wall_ms` moves with Advance.
class DatedWorld final : public runtime::World {
 public:
  etcd::FakeExecutor& executor() override { return executor_; }
  WallInterval WallNow() override {
    const auto now = (executor_.Now() - Instant{}).count() + wall_ms * 1'000'000;
    return {now - 1'000'000'000, now + 1'000'000'000, true};
  }
  Random& random() override { return random_; }
  runtime::Network& network() override { Absent(); }
  runtime::Disk& disk() override { Absent(); }
  Logger& log() override { return log_; }
  runtime::Task<void> Offload(std::function<void()> work) override {
    work();
    co_return;
  }
  void Crash(std::string_view) override { COT_ASSERT(false); }

  std::int64_t wall_ms = 1'700'000'000'000;  ///< the date at the world's beginning

 private:
  [[noreturn]] void Absent() {
    AssertFailed("ordered commands use neither network nor disk", __FILE__, __LINE__);
  }
  etcd::FakeExecutor executor_;
  Random random_{11};
  Logger log_;
};

/// Registers that agree with nobody: what a paxos keyspace is to its commands.
class LocalRegisters final : public node::Registers {
 public:
  runtime::Task<Result<std::optional<Value>>> Read(std::string key, Instant) override {
    const auto found = values.find(key);
    if (found == values.end()) co_return std::nullopt;
    co_return found->second;
  }
  runtime::Task<Result<std::optional<Value>>> Update(std::string key, Decide decide,
                                                     Instant) override {
    const auto found = values.find(key);
    std::optional<Value> current;
    if (found != values.end()) current = found->second;
    if (twice) decide(current);  // as when another writer was faster
    Change change = decide(current);
    if (!change.write) co_return current;
    ++writes;
    values.erase(key);
    if (change.value) values.emplace(key, *change.value);
    co_return change.value;
  }
  runtime::Task<Result<std::vector<std::string>>> Keys(std::string after, std::size_t max,
                                                       Instant) override {
    std::vector<std::string> out;
    for (const auto& [key, value] : values) {
      if (key > after && out.size() < max) out.push_back(key);
    }
    co_return out;
  }
  std::map<std::string, Value> values;
  bool twice = false;
  int writes = 0;
};

/// Words as a shell would split them: 'a b' is one.
inline OwnedWords Split(std::string_view line) {
  OwnedWords words;
  std::string word;
  bool quoted = false, any = false;
  for (const char c : line) {
    if (c == '\'') {
      quoted = !quoted;
      any = true;
    } else if (c == ' ' && !quoted) {
      if (any) words.push_back(std::exchange(word, {}));
      any = false;
    } else {
      word += c;
      any = true;
    }
  }
  if (any) words.push_back(word);
  return words;
}

/// A reply as one line: "OK", "(nil)", "3", "\"bulk\"", "[a, b]", "-ERR text".
class ReplyText {
 public:
  static std::string Of(std::string_view reply) {
    std::string out = One(reply);
    EXPECT_TRUE(reply.empty()) << "behind a reply: " << reply;
    return out;
  }
  static std::string One(std::string_view& in) {
    const std::size_t end = in.find("\r\n");
    if (end == in.npos) {
      in = {};
      return "<no reply>";
    }
    const char kind = in.front();
    const std::string head(in.substr(1, end - 1));
    in.remove_prefix(end + 2);
    switch (kind) {
      case '+':
      case ':':
        return head;
      case ',':
        return "," + head;
      case '-':
        return "-" + head;
      case '_':
        return "(nil)";
      case '$': {
        if (head == "-1") return "(nil)";
        const auto size = static_cast<std::size_t>(std::stoul(head));
        std::string out = '"' + std::string(in.substr(0, size)) + '"';
        in.remove_prefix(size + 2);
        return out;
      }
      default:
        return Aggregate(kind, head, in);
    }
  }

 private:
  static std::string Aggregate(char kind, const std::string& head, std::string_view& in) {
    if (head == "-1") return "(nil array)";
    const std::size_t each = kind == '%' ? 2 : 1;
    const auto size = static_cast<std::size_t>(std::stoul(head)) * each;
    std::string out = kind == '*' ? "[" : std::string(1, kind) + "[";
    for (std::size_t i = 0; i < size; ++i) out += (i == 0 ? "" : " ") + One(in);
    return out + "]";
  }
};

/// Ordered commands on a raft keyspace `main` and a paxos keyspace `slots`.
class OrderedTest : public testing::Test {
 protected:
  static placement::ClusterMapPtr TwoKeyspaces() {
    auto made = std::make_shared<placement::ClusterMap>();
    made->keyspaces["main"].promise.name = "main";
    auto& slots = made->keyspaces["slots"].promise;
    slots.name = "slots";
    slots.replication = keyspace::Replication::kPaxos;
    return made;
  }

  /// One connection.
  struct Client {
    Context context;
    Transaction transaction;
    std::optional<std::string> reply;
    runtime::Scope scope;
  };

  std::unique_ptr<Client> Connect(const std::string& keyspace = "main", int protocol = 2) {
    auto client = std::make_unique<Client>();
    client->context.map = map;
    client->context.keyspace = map->Find(keyspace);
    client->context.protocol = protocol;
    client->context.transaction = &client->transaction;
    return client;
  }

  /// Begins a command; its reply is in `client.reply` once it is there.
  void Begin(Client& client, const OwnedWords& words) { BeginOn(commands, client, words); }
  void BeginOn(OrderedCommands& on, Client& client, const OwnedWords& words) {
    client.context.command = FindCommand(words[0]);
    ASSERT_NE(client.context.command, nullptr) << words[0];
    client.context.deadline = world.Now() + Duration(5s);
    client.reply.reset();
    const std::vector<std::string_view> views(words.begin(), words.end());
    std::string out;
    node::WriteTicket ticket;
    if (on.Begin(client.context, views, out, ticket) == Step::kDone) {
      client.reply = out;
      return;
    }
    EXPECT_EQ(out, "");
    client.scope.Spawn(Collect(on.Run(client.context, words), &client.reply));
  }
  /// Sends all at once; their replies, as text.
  std::vector<std::string> Pipeline(Client& client, const std::vector<OwnedWords>& lines) {
    std::vector<Request> requests;
    for (const OwnedWords& words : lines) {
      client.context.command = FindCommand(words[0]);
      client.context.deadline = world.Now() + Duration(5s);
      if (!requests.empty()) {
        EXPECT_TRUE(commands.MayJoin(requests.front().context, *client.context.command));
      }
      requests.push_back({client.context, words});
    }
    std::optional<std::vector<std::string>> replies;
    node.hold_proposals = true;
    client.scope.Spawn(CollectAll(commands.RunTogether(std::move(requests)), &replies));
    world.executor().Settle();
    node.Release();
    world.executor().Settle();
    EXPECT_TRUE(replies.has_value());
    return replies.value_or(std::vector<std::string>());
  }
  static runtime::Task<void> CollectAll(runtime::Task<std::vector<std::string>> run,
                                        std::optional<std::vector<std::string>>* into) {
    *into = co_await std::move(run);
  }
  static runtime::Task<void> Collect(runtime::Task<std::string> run,
                                     std::optional<std::string>* into) {
    *into = co_await std::move(run);
  }
  std::string Raw(Client& client, const OwnedWords& words) {
    Begin(client, words);
    world.executor().Settle();
    EXPECT_TRUE(client.reply.has_value()) << words[0] << " has not answered";
    return client.reply.value_or("");
  }
  std::string Do(Client& client, std::string_view line) {
    return ReplyText::Of(Raw(client, Split(line)));
  }
  std::string Do(std::string_view line) { return Do(*self, line); }

  /// "command -> reply" lines, each as it must be; "..." ends what only begins so.
  void Expect(Client& with, std::string_view script) {
    std::istringstream lines{std::string(script)};
    std::string line;
    while (std::getline(lines, line)) {
      const std::size_t begin = line.find_first_not_of(' ');
      const std::size_t arrow = line.find(" -> ");
      if (begin == line.npos) continue;
      ASSERT_NE(arrow, line.npos) << line;
      std::string reply = Do(with, line.substr(begin, arrow - begin));
      std::string expected = line.substr(arrow + 4);
      if (expected.ends_with("...")) {
        expected.resize(expected.size() - 3);
        reply.resize(std::min(reply.size(), expected.size()));
      }
      EXPECT_EQ(reply, expected) << line;
    }
  }
  void Expect(std::string_view script) { Expect(*self, script); }

  /// What an etcd client puts.
  void PutAsEtcd(const std::string& key, const std::string& value) {
    etcdserverpb::PutRequest put;
    put.set_key(key);
    put.set_value(value);
    node.Apply(kv::EncodePut(put.SerializeAsString()));
  }

  DatedWorld world;
  etcd::FakeNode node{world};
  LocalRegisters registers;
  bool replica_here = true;
  std::function<runtime::Task<std::string>(Context, OwnedWords)> pass_on;
  const placement::ClusterMapPtr map = TwoKeyspaces();
  OrderedCommands commands{
      world,
      {[this](std::string_view) -> node::KvKeyspace* { return replica_here ? &node : nullptr; },
       [this](std::string_view) -> node::Registers* { return &registers; },
       [this](Context context, OwnedWords words) {
         return pass_on(std::move(context), std::move(words));
       }}};
  std::unique_ptr<Client> self = Connect();
};

}  // namespace coterie::door::redis
