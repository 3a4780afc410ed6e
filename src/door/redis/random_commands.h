#pragma once

// For this room's tests: random commands with every option that ordered keyspaces serve.

#include <string>

#include "base/random.h"
#include "door/redis/ordered_fixture.h"

namespace coterie::door::redis {

// What is drawn: K keys, M members, V values, N indices, S scores, F floats, B bounds of scores, L
// bounds of bytes, O offsets, E seconds.
inline constexpr const char* kTemplates[] = {
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

/// Commands as clients send them, on few keys so that all types meet on them.
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

}  // namespace coterie::door::redis
