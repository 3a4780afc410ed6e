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
    if (socket_ >= 0) ::close(socket_);
    process_.reset();
    std::filesystem::remove_all(directory_);
  }
  bool connected() const { return socket_ >= 0; }

  std::string Run(const OwnedWords& words) {
    std::string request = "*" + std::to_string(words.size()) + "\r\n";
    for (const auto& word : words) {
      request += "$" + std::to_string(word.size()) + "\r\n" + word + "\r\n";
    }
    if (::write(socket_, request.data(), request.size()) < 0) return "";
    std::size_t at = 0;
    while (!Whole(input_, at = 0)) {
      char buffer[65536];
      const auto n = ::read(socket_, buffer, sizeof buffer);
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
    socket_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof address.sun_path - 1);
    if (::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return true;
    ::close(socket_);
    socket_ = -1;
    return false;
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
  int socket_ = -1;
};

// What is drawn: K keys, M members, V values, N indices, S scores, F floats, B bounds of scores, L
// bounds of bytes, O offsets, E seconds.
const char* const kTemplates[] = {
    "SET K V",
    "SET K V",
    "SET K V NX",
    "SET K V XX",
    "SET K V GET",
    "SET K V EX E",
    "SET K V KEEPTTL",
    "SET K V XX GET",
    "SET K V NX GET",
    "SETNX K V",
    "SETEX K E V",
    "GET K",
    "GETSET K V",
    "GETDEL K",
    "GETEX K EX E",
    "GETEX K PERSIST",
    "GETEX K",
    "APPEND K V",
    "STRLEN K",
    "GETRANGE K N N",
    "SETRANGE K O V",
    "INCR K",
    "DECR K",
    "INCRBY K N",
    "DECRBY K N",
    "INCRBYFLOAT K F",
    "MGET K K K",
    "MSET K V K V",
    "MSETNX K V K V",
    "SETBIT K O 1",
    "SETBIT K O 0",
    "GETBIT K O",
    "BITCOUNT K",
    "BITCOUNT K N N",
    "BITCOUNT K N N BIT",
    "DEL K",
    "DEL K K K",
    "UNLINK K",
    "EXISTS K K",
    "TYPE K",
    "EXPIRE K E",
    "EXPIRE K E NX",
    "EXPIRE K E XX",
    "EXPIRE K E GT",
    "EXPIRE K E LT",
    "EXPIRE K -1",
    "PERSIST K",
    "TTL K",
    "RENAME K K",
    "RENAMENX K K",
    "COPY K K",
    "COPY K K REPLACE",
    "DBSIZE",
    "KEYS *",
    "TOUCH K K",
    "HSET K M V",
    "HSET K M V M V",
    "HSETNX K M V",
    "HGET K M",
    "HMGET K M M",
    "HDEL K M M",
    "HGETALL K",
    "HKEYS K",
    "HVALS K",
    "HLEN K",
    "HEXISTS K M",
    "HSTRLEN K M",
    "HINCRBY K M N",
    "HINCRBYFLOAT K M F",
    "HMSET K M V",
    "SADD K M M M",
    "SREM K M",
    "SMEMBERS K",
    "SISMEMBER K M",
    "SMISMEMBER K M M",
    "SCARD K",
    "SMOVE K K M",
    "SINTER K K",
    "SUNION K K",
    "SDIFF K K",
    "SINTERSTORE K K K",
    "SUNIONSTORE K K K",
    "SDIFFSTORE K K K",
    "SINTERCARD 2 K K",
    "SINTERCARD 2 K K LIMIT 1",
    "ZADD K S M S M",
    "ZADD K NX S M",
    "ZADD K XX CH S M",
    "ZADD K GT CH S M",
    "ZADD K LT S M",
    "ZADD K INCR S M",
    "ZADD K GT INCR S M",
    "ZINCRBY K S M",
    "ZREM K M M",
    "ZSCORE K M",
    "ZMSCORE K M M",
    "ZCARD K",
    "ZCOUNT K B B",
    "ZRANK K M",
    "ZREVRANK K M",
    "ZRANGE K N N",
    "ZRANGE K N N WITHSCORES",
    "ZRANGE K N N REV",
    "ZREVRANGE K N N",
    "ZRANGE K B B BYSCORE",
    "ZRANGE K B B BYSCORE REV LIMIT 1 2",
    "ZRANGEBYSCORE K B B WITHSCORES",
    "ZRANGEBYSCORE K B B LIMIT N N",
    "ZREVRANGEBYSCORE K B B",
    "ZPOPMIN K",
    "ZPOPMAX K",
    "ZPOPMIN K 2",
    "ZREMRANGEBYRANK K N N",
    "ZREMRANGEBYSCORE K B B",
    "ZRANGESTORE K K N N",
    "ZADD lex 0 M 0 M",
    "ZRANGEBYLEX lex L L",
    "ZRANGEBYLEX lex L L LIMIT 0 2",
    "ZREVRANGEBYLEX lex L L",
    "ZLEXCOUNT lex L L",
    "ZREMRANGEBYLEX lex L L",
    "ZRANGE lex L L BYLEX",
    "MULTI",
    "EXEC",
    "EXEC",
    "DISCARD",
    "WATCH K",
    "UNWATCH",
    "GET",
    "HSET K M",
    "ZADD K X M",
    "SET K V EX 0",
    "ZRANGE K X 1",
    "EXPIRE K X",
    "INCRBY K X",
    "SINTERCARD 0 K",
    "ZADD K NX XX S M",
    "FLUSHDB",
};

class Generator {
 public:
  explicit Generator(std::uint64_t seed) : random_(seed) {}
  OwnedWords Next() {
    OwnedWords words = Split(kTemplates[random_.Below(std::size(kTemplates))]);
    // Seldom, or nothing would ever grow.
    if (words[0] == "FLUSHDB" && !random_.Chance(0.1)) words = {"PERSIST", "K"};
    for (std::size_t i = 1; i < words.size(); ++i) words[i] = Draw(words[i]);
    return words;
  }

 private:
  std::string Draw(const std::string& word) {
    if (word == "K") return "k" + std::to_string(random_.Below(6));
    if (word == "M") return std::string(1, static_cast<char>('a' + random_.Below(6)));
    if (word == "V") return random_.Chance(0.5) ? Integer(-20, 20) : Text();
    if (word == "N") return Integer(-6, 6);
    if (word == "O") return Integer(0, 40);
    // No two alike and all far apart: their clock moves while ours stands still.
    if (word == "E") return std::to_string(100 * (1 + drawn_++ * 7919 % 10'007));
    if (word == "S") return Integer(-8, 8) + (random_.Chance(0.3) ? ".5" : "");
    if (word == "F") return Integer(-30, 30) + "." + Integer(0, 99);
    if (word == "B") {
      const char* const edges[] = {"-inf", "+inf", "inf"};
      if (random_.Chance(0.2)) return edges[random_.Below(3)];
      return (random_.Chance(0.4) ? "(" : "") + Integer(-6, 6);
    }
    if (word != "L") return word;
    if (random_.Chance(0.3)) return random_.Chance(0.5) ? "-" : "+";
    return (random_.Chance(0.5) ? "(" : "[") + Draw("M");
  }
  std::string Integer(std::int64_t low, std::int64_t high) {
    return std::to_string(random_.Between(low, high));
  }
  std::string Text() {
    const char* const texts[] = {"", "hello", "3.25", "1e3", " 1", "x\r\ny", "0x10", "-0"};
    return texts[random_.Below(std::size(texts))];
  }
  Random random_;
  std::uint64_t drawn_ = 0;
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

}  // namespace
}  // namespace coterie::door::redis
