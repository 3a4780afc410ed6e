// The same random commands to a crdt keyspace and to Debian's redis-server: every reply must be the
// same; where Redis promises no order, the same elements. What needs agreement is left out: the
// other tests show that it is refused.
#include <gtest/gtest.h>

#include <filesystem>
#include <regex>

#include "base/random.h"
#include "door/etcd/test_server.h"
#include "door/redis/peer_client.h"
#include "door/redis/peer_requests.h"

namespace coterie::door::redis {
namespace {

// What is drawn: K keys, M members, V values, N indices, S scores, B bounds of scores, L bounds of
// bytes, T dates far ahead, U dates.
const char* const kTemplates[] = {
    "SET K V",
    "SET K V",
    "SET K V",
    "SET K V EXAT T",
    "SET K V PXAT T000",
    "SET K V KEEPTTL",
    "GET K",
    "GET K",
    "MGET K K K",
    "MSET K V K V",
    "STRLEN K",
    "GETRANGE K N N",
    "SUBSTR K N N",
    "GETEX K",
    "GETEX K PERSIST",
    "GETEX K EXAT T",
    "INCR K",
    "DECR K",
    "INCRBY K N",
    "DECRBY K N",
    "DEL K",
    "DEL K K",
    "UNLINK K",
    "EXISTS K K",
    "TOUCH K K",
    "TYPE K",
    "TYPE K",
    "EXPIREAT K T",
    "PEXPIREAT K T000",
    "EXPIREAT K T NX",
    "EXPIREAT K T XX",
    "EXPIREAT K T GT",
    "EXPIREAT K T LT",
    "EXPIRE K -1",
    "EXPIRE K 0",
    "EXPIREAT K 1",
    "EXPIRETIME K",
    "PEXPIRETIME K",
    "PERSIST K",
    "DBSIZE",
    "KEYS *",
    "KEYS k[0-2]",
    "SCAN 0 COUNT 1000",
    "SCAN 0 COUNT 1000 TYPE hash",
    "HSET K M V",
    "HSET K M V M V",
    "HMSET K M V M V",
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
    "HSCAN K 0 COUNT 100",
    "HRANDFIELD K 100",
    "HRANDFIELD K 100 WITHVALUES",
    "SADD K M M M",
    "SADD K V",
    "SREM K M M",
    "SMEMBERS K",
    "SISMEMBER K M",
    "SMISMEMBER K M M",
    "SCARD K",
    "SSCAN K 0 COUNT 100",
    "SRANDMEMBER K 100",
    "SUNION K K",
    "SINTER K K",
    "SINTER K K K",
    "SDIFF K K",
    "SINTERCARD 2 K K",
    "SINTERCARD 2 K K LIMIT 1",
    "ZADD K S M S M",
    "ZADD K CH S M S M",
    "ZADD K INCR S M",
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
    "ZRANGE K B B BYSCORE",
    "ZRANGE K B B BYSCORE REV LIMIT 1 2 WITHSCORES",
    "ZRANGE lex L L BYLEX LIMIT 0 1",
    "ZREVRANGE K N N WITHSCORES",
    "ZRANGEBYSCORE K B B WITHSCORES",
    "ZRANGEBYSCORE K B B LIMIT N N",
    "ZREVRANGEBYSCORE K B B",
    "ZREMRANGEBYRANK K N N",
    "ZREMRANGEBYSCORE K B B",
    "ZADD lex 0 M 0 M",
    "ZRANGEBYLEX lex L L",
    "ZRANGEBYLEX lex L L LIMIT 0 2",
    "ZREVRANGEBYLEX lex L L",
    "ZLEXCOUNT lex L L",
    "ZREMRANGEBYLEX lex L L",
    "ZRANGE lex L L BYLEX REV",
    "ZUNION 2 K K WITHSCORES",
    "ZUNION 2 K K WEIGHTS 2 N AGGREGATE MAX WITHSCORES",
    "ZINTER 2 K K WITHSCORES",
    "ZINTER 2 K K AGGREGATE MIN",
    "ZDIFF 2 K K WITHSCORES",
    "ZINTERCARD 2 K K LIMIT 1",
    "ZRANDMEMBER K 100",
    "ZRANDMEMBER K 100 WITHSCORES",
    "ZSCAN K 0",
    "PFADD hll V M",
    "PFCOUNT hll",
    "PFCOUNT K hll",
    "PFMERGE hll2 hll K",
    "PFMERGE hll",
    "XADD stream MAXLEN 3 * M V",
    "XADD stream NOMKSTREAM * M V M V",
    "DEL stream",
    "XLEN stream",
    "XLEN K",
    "XRANGE stream - +",
    "XREVRANGE stream + - COUNT 2",
    "XRANGE K - +",
    "XREAD STREAMS stream 0",
    "XREAD COUNT 2 STREAMS stream K 0 0",
    "XDEL stream 1-1",
    "OBJECT ENCODING none",
    "ECHO V",
    "PING",
    "PING V",
    // What Redis refuses, it refuses here in the same words.
    "GET",
    "SET K",
    "SET K V EX",
    "SET K V EX 0",
    "SET K V EX x",
    "SET K V PX 1 EX 1",
    "SET K V FOO",
    "SETEX K 0 V",
    "SETEX K x V",
    "MSET K",
    "GETRANGE K x 1",
    "INCRBY K x",
    "DECRBY K -9223372036854775808",
    "GETEX K FOO",
    "EXPIRE K x",
    "EXPIRE K 9223372036854775807",
    "EXPIRE K 10 NX XX",
    "EXPIRE K 10 GT LT",
    "EXPIRE K 10 FOO",
    "HSET K M",
    "HSET K M V M",
    "HINCRBY K M x",
    "HRANDFIELD K x",
    "HRANDFIELD K 1 FOO",
    "SINTERCARD 0 K",
    "SINTERCARD 9 K",
    "SINTERCARD 1 K LIMIT -1",
    "SRANDMEMBER K 1 1",
    "ZADD K 1",
    "ZADD K x M",
    "ZADD K INCR 1 a 2 b",
    "ZADD K +inf M",
    "ZADD K INCR -inf M",
    "ZINCRBY K x M",
    "ZRANGE K x 1",
    "ZRANGE K 0 1 LIMIT 0 1",
    "ZRANGE K - + BYLEX WITHSCORES",
    "ZRANGEBYSCORE K x 1",
    "ZRANGEBYLEX K a b",
    "ZCOUNT K x 1",
    "ZUNION 0 K",
    "ZUNION 5 K",
    "ZUNION 1 K WEIGHTS x",
    "ZUNION 1 K AGGREGATE x",
    "XADD stream",
    "XADD stream * M",
    "XADD stream x M V",
    "XRANGE stream x +",
    "XRANGE stream - + COUNT x",
    "XREAD STREAMS stream",
    "XREAD COUNT 1",
    "XREAD STREAMS stream x",
    "XDEL stream x",
    "SCAN x",
    "SCAN 0 COUNT 0",
    "SCAN 0 FOO",
    "HSCAN K x",
    "OBJECT FOO K",
    "NOSUCH K V",
    "SELECT x",
    "SELECT 100000",
    "CLIENT SETNAME M",
    "CLIENT GETNAME",
    "CLIENT NOSUCH",
    "CONFIG GET save",
    "CONFIG SET nosuch 1",
    "PUBLISH M V",
    "PUBSUB NUMPAT",
    "COMMAND GETKEYS MSET K V K V",
    "COMMAND GETKEYS GET",
    "HELLO 9",
    "CLIENT REPLY FOO",
    "CLUSTER INFO",
};

class Generator {
 public:
  explicit Generator(std::uint64_t seed) : random_(seed) {}
  std::vector<std::string> Next() {
    const std::string line = kTemplates[random_.Below(std::size(kTemplates))];
    std::vector<std::string> words;
    for (std::size_t at = 0; at < line.size();) {
      const std::size_t end = std::min(line.find(' ', at), line.size());
      words.push_back(line.substr(at, end - at));
      at = end + 1;
    }
    for (std::size_t i = 1; i < words.size(); ++i) words[i] = Draw(words[i]);
    return words;
  }

 private:
  std::string Draw(const std::string& word) {
    if (word == "K") return "k" + std::to_string(random_.Below(8));
    if (word == "M") return std::string(1, static_cast<char>('a' + random_.Below(6)));
    if (word == "V") return random_.Chance(0.5) ? Integer(-20, 20) : Text();
    if (word == "N") return Integer(-6, 6);
    if (word == "S") return Integer(-8, 8) + (random_.Chance(0.3) ? ".3" : "");
    if (word == "T") return "41024448" + Integer(10, 99);
    if (word == "T000") return Draw("T") + "000";
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
};

/// How many elements of an array belong together, whose order Redis does not promise; 0: it does.
std::size_t GroupOf(const std::vector<std::string>& words, int protocol) {
  const std::string& name = words[0];
  if (name == "HGETALL") return 2;
  if (name == "HRANDFIELD" || name == "ZRANDMEMBER")
    return words.size() == 4 && protocol == 2 ? 2 : 1;
  for (const char* one :
       {"KEYS", "HKEYS", "HVALS", "SMEMBERS", "SINTER", "SUNION", "SDIFF", "SRANDMEMBER"})
    if (name == one) return 1;
  return 0;
}

/// SCAN and its like nest their unordered elements: both sides are read raw and sorted by bytes.
bool IsScan(const std::string& name) { return name.ends_with("SCAN"); }

/// Ids of stream entries are of each server's own making.
std::string WithoutIds(const std::string& text) {
  static const std::regex id("\"[0-9]+-[0-9]+\"");
  return std::regex_replace(text, id, "(id)");
}

std::string Sorted(std::string text) {
  std::ranges::sort(text);
  return text;
}

class PeerTest : public testing::Test {
 protected:
  PeerTest()
      : directory_(std::filesystem::temp_directory_path() /
                   ("cells-peer-" + std::to_string(::getpid()))),
        door_({DoorPath(), "127.0.0.1:0"}) {
    std::filesystem::create_directories(directory_);
    // A port that was free a moment ago: redis-server does not tell which one it chose itself.
    const int probe = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(probe, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::getsockname(probe, reinterpret_cast<sockaddr*>(&address), &size), 0);
    ::close(probe);
    const std::string port = std::to_string(ntohs(address.sin_port));
    redis_ = std::make_unique<etcd::ServerProcess>(
        std::vector<std::string>{"redis-server", "--bind", "127.0.0.1", "--port", port, "--save",
                                 "", "--logfile", "/dev/null", "--dir", directory_});
    redis_at_ = "127.0.0.1:" + port;
    door_at_ = door_.FirstLine();
  }
  ~PeerTest() override {
    redis_.reset();
    std::filesystem::remove_all(directory_);
  }

  static std::string DoorPath() {
    return std::filesystem::read_symlink("/proc/self/exe").parent_path() / "door_redis_single_node";
  }

  void Compare(int protocol, std::uint64_t seed, int commands) {
    PeerClient ours(door_at_);
    PeerClient theirs(redis_at_);
    ASSERT_TRUE(ours.connected());
    ASSERT_TRUE(theirs.connected());
    ours.Ask({"FLUSHDB"});
    theirs.Ask({"FLUSHDB"});
    if (protocol == 3) {
      ours.Ask({"HELLO", "3"});
      theirs.Ask({"HELLO", "3"});
    }
    Generator generator(seed);
    for (int i = 0; i < commands; ++i) {
      const auto words = generator.Next();
      const bool scan = IsScan(words[0]);
      const std::size_t group = GroupOf(words, protocol);
      std::string mine = ours.Ask(words, group);
      std::string other = theirs.Ask(words, group);
      if (words[0].starts_with('X')) {
        mine = WithoutIds(mine);
        other = WithoutIds(other);
      }
      if (scan && other.starts_with('*')) {
        mine = Sorted(mine);
        other = Sorted(other);
      }
      std::string line;
      for (const std::string& word : words) line += word + " ";
      ASSERT_EQ(mine, other) << "command " << i << " of seed " << seed << ": " << line;
    }
  }

  std::filesystem::path directory_;
  etcd::ServerProcess door_;
  std::unique_ptr<etcd::ServerProcess> redis_;
  std::string redis_at_, door_at_;
};

TEST_F(PeerTest, RepliesAreRedissInBothProtocols) {
  if (etcd::Shell("command -v redis-server").empty()) GTEST_SKIP() << "no redis-server here";
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    Compare(2, seed, 3000);
    Compare(3, 100 + seed, 3000);
  }
}

// What is malformed, unknown or meaningless is answered in Redis's words.
TEST_F(PeerTest, WordsOfErrorsAreRediss) {
  if (etcd::Shell("command -v redis-server").empty()) GTEST_SKIP() << "no redis-server here";
  for (const std::string& at : {door_at_, redis_at_}) PeerClient(at).Ask({"FLUSHALL"});
  for (const char* request : kPeerRequests) {
    const auto ask = [&](const std::string& at) {
      PeerClient client(at);
      client.Send(request);
      return client.ReceiveToEnd();
    };
    EXPECT_EQ(ask(door_at_), ask(redis_at_)) << request;
  }
}

}  // namespace
}  // namespace coterie::door::redis
