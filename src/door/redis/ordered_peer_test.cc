// The same random commands to a raft keyspace and to Debian's redis-server: every reply must be the
// same, byte for byte; where Redis promises no order, the same elements.
#include <gtest/gtest.h>

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "door/etcd/test_server.h"
#include "door/redis/ordered_fixture.h"
#include "door/redis/random_commands.h"

namespace coterie::door::redis {
namespace {

/// A redis-server of the test's own, on a socket in a directory of its own.
class RedisServer {
 public:
  RedisServer() {
    char made[] = "/tmp/ordered-peer-XXXXXX";
    directory_ = ::mkdtemp(made);
    path_ = directory_ + "/socket";
    process_ = std::make_unique<etcd::ServerProcess>(std::vector<std::string>{
        "redis-server", "--port", "0", "--unixsocket", path_, "--save", "", "--appendonly", "no",
        "--logfile", "/dev/null", "--dir", directory_});
    for (int i = 0; i < 1000 && !Connect(); ++i) ::usleep(10'000);
  }
  ~RedisServer() {
    for (const int socket : sockets_) ::close(socket);
    process_.reset();
    std::filesystem::remove_all(directory_);
  }
  bool connected() const { return sockets_.size() == 2; }

  /// `connection`: 0 or 1.
  std::string Run(const OwnedWords& words, std::size_t connection = 0) {
    const int socket = sockets_[connection];
    std::string request = "*" + std::to_string(words.size()) + "\r\n";
    for (const auto& word : words) {
      request += "$" + std::to_string(word.size()) + "\r\n" + word + "\r\n";
    }
    if (::write(socket, request.data(), request.size()) < 0) return "";
    std::size_t at = 0;
    while (!Whole(input_, at = 0)) {
      char buffer[65536];
      const auto n = ::read(socket, buffer, sizeof buffer);
      if (n <= 0) return "";
      input_.append(buffer, static_cast<std::size_t>(n));
    }
    Whole(input_, at = 0);
    std::string reply = input_.substr(0, at);
    input_.erase(0, at);
    return reply;
  }

 private:
  bool Connect() {
    while (sockets_.size() < 2 && ConnectOne()) continue;
    return connected();
  }
  bool ConnectOne() {
    const int made = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof address.sun_path - 1);
    if (::connect(made, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      ::close(made);
      return false;
    }
    sockets_.push_back(made);
    return true;
  }
  /// Whether `in` holds a whole reply at `at`; moves it behind it.
  static bool Whole(const std::string& in, std::size_t& at) {
    const std::size_t end = in.find("\r\n", at);
    if (end == in.npos) return false;
    const char kind = in[at];
    const long size = kind == '$' || kind == '*' ? std::stol(in.substr(at + 1, end - at - 1)) : 0;
    at = end + 2;
    if (kind == '$' && size >= 0) at += static_cast<std::size_t>(size) + 2;
    for (long i = 0; kind == '*' && i < size; ++i) {
      if (!Whole(in, at)) return false;
    }
    return at <= in.size();
  }

  std::string directory_, path_, input_;
  std::unique_ptr<etcd::ServerProcess> process_;
  std::vector<int> sockets_;
};

/// How many elements belong together in the reply of a command that promises no order; 0: it does.
std::size_t GroupOf(const std::string& name) {
  if (name == "HGETALL") return 2;
  for (const char* one : {"KEYS", "HKEYS", "HVALS", "SMEMBERS", "SINTER", "SUNION", "SDIFF"}) {
    if (name == one) return 1;
  }
  return 0;
}

/// Replies in a form that can be compared: unordered elements in order.
class Comparable {
 public:
  static std::string Of(const std::string& reply, const OwnedWords& words,
                        const std::vector<OwnedWords>& queued) {
    std::string_view in = reply;
    if (words[0] != "EXEC" || !reply.starts_with('*') || reply.starts_with("*-1")) {
      return One(in, words[0]);
    }
    in.remove_prefix(in.find("\r\n") + 2);
    std::string out;
    for (const auto& one : queued) out += One(in, one[0]) + "; ";
    return out + std::string(in);
  }

 private:
  static std::string One(std::string_view& in, const std::string& name) {
    if (name == "TTL") {
      const std::string text = ReplyText::One(in);
      return text < "0" || text > "9" ? text : std::to_string((std::stol(text) + 50) / 100);
    }
    const std::size_t group = GroupOf(name);
    if (group == 0 || !in.starts_with('*')) return ReplyText::One(in);
    std::size_t size = static_cast<std::size_t>(std::stoul(std::string(in.substr(1))));
    in.remove_prefix(in.find("\r\n") + 2);
    std::vector<std::string> elements;
    for (; size >= group; size -= group) {
      std::string element;
      for (std::size_t i = 0; i < group; ++i) element += ReplyText::One(in) + " ";
      elements.push_back(std::move(element));
    }
    std::ranges::sort(elements);
    std::string out;
    for (const auto& element : elements) out += element;
    return out;
  }
};

std::string Joined(const OwnedWords& words) {
  std::string out;
  for (const auto& word : words) out += "'" + word + "' ";
  return out;
}

const char* const kOddLines[] = {
    "HSET h f abc",
    "HINCRBYFLOAT h f 1",
    "HINCRBYFLOAT h g abc",
    "HINCRBYFLOAT h g inf",
    "HINCRBYFLOAT h g -inf",
    "HINCRBYFLOAT h g nan",
    "HINCRBYFLOAT h f inf",
    "HSET h x inf",
    "HINCRBYFLOAT h x 1",
    "HINCRBYFLOAT h y 3.0e3",
    "HINCRBYFLOAT h y 0x10",
    "HINCRBY h f 1",
    "HINCRBY h f x",
    "SET s abc",
    "HINCRBYFLOAT s f inf",
    "HINCRBYFLOAT s f 1",
    "INCRBYFLOAT s 1",
    "INCRBYFLOAT q abc",
    "INCRBYFLOAT q inf",
    "SET w 0x10",
    "INCRBYFLOAT w 1",
    "SET w ' 1'",
    "INCRBYFLOAT w 1",
    "ZADD z 0x10 m",
    "ZSCORE z m",
    "ZADD z 0x m",
    "ZADD z nan m",
    "ZINCRBY z 0x1p3 m",
    "ZADD z +1 b",
    "ZADD z '1 ' b",
    "ZADD z inf i",
    "ZINCRBY z -inf i",
    "ZRANGEBYSCORE z 0x1 0x20",
    "ZCOUNT z (0x1 +inf",
    "PEXPIREAT s 4000000000501",
    "EXPIRETIME s",
    "PEXPIREAT s 4000000000500",
    "EXPIRETIME s",
    "PEXPIREAT s 4000000000499",
    "EXPIRETIME s",
    "PEXPIRETIME s",
    "COPY s t DB 0",
    "COPY s t DB 0",
    "COPY s t DB 0 REPLACE",
    "COPY s t REPLACE DB 0",
    "COPY s s DB 0",
    "COPY s t DB x",
    "COPY s t DB -1",
    "COPY s t DB",
    "COPY s t FOO",
    "COPY none t DB 0",
    "PEXPIRETIME t",
    "SETBIT bits 3 1",
    "SETBIT bits 3 1",
    "SETBIT bits 70 0",
    "STRLEN bits",
};

class OrderedPeer : public OrderedTest {
 protected:
  // What the door does with a command before it reaches its executor.
  std::string Ours(const OwnedWords& words) {
    const Command& row = *FindCommand(words[0]);
    if (row.AcceptsWords(words.size())) return Raw(*self, words);
    self->transaction.OnRefused();
    return "-ERR wrong number of arguments for '" + std::string(row.name) + "' command\r\n";
  }
};

// Redis 7.0 and a raft keyspace cannot be told apart by what they answer.
TEST_F(OrderedPeer, AnswersAsRedisDoes) {
  if (::access("/usr/bin/redis-server", X_OK) != 0) GTEST_SKIP() << "redis-server is not installed";
  RedisServer redis;
  ASSERT_TRUE(redis.connected());
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Generator generator(seed);
    std::vector<OwnedWords> queued;
    bool multi = false;
    EXPECT_EQ(Ours({"DISCARD"}).substr(0, 1), redis.Run({"DISCARD"}).substr(0, 1));
    EXPECT_EQ(Ours({"FLUSHDB"}), redis.Run({"FLUSHDB"}));
    for (int i = 0; i < 1000; ++i) {
      OwnedWords words = generator.Next();
      // A transaction that reads all keys and changes some is refused here, and by name.
      if (multi && (words[0] == "KEYS" || words[0] == "DBSIZE")) words = {"EXEC"};
      const std::string theirs = redis.Run(words);
      const std::string ours = Ours(words);
      ASSERT_EQ(Comparable::Of(ours, words, queued), Comparable::Of(theirs, words, queued))
          << "seed " << seed << ", step " << i << ": " << Joined(words) << " of " << [&] {
               std::string all;
               for (const auto& one : queued) all += Joined(one) + "; ";
               return all;
             }();
      if (words[0] == "EXEC" || words[0] == "DISCARD" || words[0] == "MULTI") {
        if (words[0] != "MULTI" || !multi) queued.clear();
        multi = words[0] == "MULTI";
      } else if (multi && ours == "+QUEUED\r\n") {
        queued.push_back(words);
      }
    }
  }
}

// Words that a generator does not draw.
TEST_F(OrderedPeer, AnswersOddWordsAsRedisDoes) {
  if (::access("/usr/bin/redis-server", X_OK) != 0) GTEST_SKIP() << "redis-server is not installed";
  RedisServer redis;
  ASSERT_TRUE(redis.connected());
  for (const char* line : kOddLines) {
    const OwnedWords words = Split(line);
    EXPECT_EQ(Ours(words), redis.Run(words)) << line;
  }
}

// A watched key is broken by a command of another connection exactly when Redis says so.
TEST_F(OrderedPeer, WatchesBreakAsRedisDoes) {
  if (::access("/usr/bin/redis-server", X_OK) != 0) GTEST_SKIP() << "redis-server is not installed";
  RedisServer redis;
  ASSERT_TRUE(redis.connected());
  auto other = Connect();
  Generator generator(77);
  for (int i = 0; i < 6000; ++i) {
    OwnedWords words = generator.Next();
    const Command& row = *FindCommand(words[0]);
    if (row.group == "transactions" || !row.AcceptsWords(words.size())) continue;
    const OwnedWords watch = {"WATCH", "k" + std::to_string(i % 6)};
    for (const OwnedWords& one : {watch, OwnedWords{"MULTI"}, OwnedWords{"INCR", "done"}}) {
      ASSERT_EQ(Raw(*other, one), redis.Run(one, 1));
      if (one.front() != "WATCH") continue;
      Raw(*self, words);
      redis.Run(words);
    }
    const OwnedWords exec = {"EXEC"};
    ASSERT_EQ(Raw(*other, exec), redis.Run(exec, 1)) << watch[1] << " and " << Joined(words);
  }
}

}  // namespace
}  // namespace coterie::door::redis
