#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "runtime/network.h"
#include "runtime/world.h"

namespace coterie::sim {

/// One RESP2 reply.
struct RedisReply {
  enum class Kind : std::uint8_t { kSimple, kError, kInteger, kBulk, kNull, kArray };
  Kind kind = Kind::kNull;
  std::string text;  ///< of a simple string, an error or a bulk string
  std::int64_t integer = 0;
  std::vector<RedisReply> items;
};

/// A Redis client of one endpoint, for simulation: connects when first used, and again after a
/// connection was lost; one command at a time.
class RedisClient {
 public:
  RedisClient(runtime::World& world, runtime::Address endpoint, std::uint32_t database);
  ~RedisClient();

  /// Runs one command. A reply of kind kError is an answer. Errors: kConnectFailed (not applied);
  /// kTimedOut, kConnectionClosed, kMalformed (unknown). Ends within about `timeout`.
  runtime::Task<Result<RedisReply>> Command(std::vector<std::string> words, Duration timeout);

 private:
  runtime::Task<Result<RedisReply>> Talk(std::vector<std::string> words, Duration timeout);
  runtime::Task<Result<RedisReply>> Ask(std::vector<std::string> words);

  runtime::World& world_;
  const runtime::Address endpoint_;
  const std::uint32_t database_;
  std::unique_ptr<runtime::Stream> stream_;
  std::string buffer_;
};

}  // namespace coterie::sim
