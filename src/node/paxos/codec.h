#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "consensus/paxos/acceptor.h"
#include "consensus/paxos/messages.h"

namespace coterie::node::registers {

// Bytes of the registers: on the wire, in the journal and in the engine. Every decoder is total: it
// answers nullopt or false for bytes that it does not understand.

void PutRegister(std::string& out, const paxos::Register& state);
bool GetRegister(std::string_view& in, paxos::Register& state);

/// The body of a Method::kPaxos call.
struct Asked {
  ShardId shard;
  std::string_view key;  ///< views the decoded bytes
  paxos::Request request;
};
std::string EncodeRequest(ShardId shard, std::string_view key, const paxos::Request& request);
std::optional<Asked> DecodeRequest(std::string_view bytes);
std::string EncodeReply(const paxos::Reply& reply);
std::optional<paxos::Reply> DecodeReply(std::string_view bytes);

/// The body of a Method::kPaxosKeys call: registers of one shard with keys greater than `after`.
struct KeysAsked {
  ShardId shard;
  Epoch epoch;
  std::string after;
  bool from_start = false;  ///< `after` is not meant: the key "" is a key, too
  std::uint32_t max = 0;
};
/// What an acceptor says of one register.
/// When a value of a paxos keyspace, as registers keep it, expires; 0: never, or it is none.
std::uint64_t ExpiryOf(std::string_view bytes);

struct KeyReport {
  std::string key;
  paxos::Ballot accepted;
  bool holds = false;               ///< its accepted value is something
  std::uint64_t expires_at_ms = 0;  ///< of a paxos keyspace's value; 0: never, or it holds nothing
  friend bool operator==(const KeyReport&, const KeyReport&) = default;
};
struct KeysReport {
  std::vector<KeyReport> keys;  ///< ascending
  bool more = false;
};
std::string Encode(const KeysAsked& asked);
std::optional<KeysAsked> DecodeKeysAsked(std::string_view bytes);
std::string Encode(const KeysReport& report);
std::optional<KeysReport> DecodeKeysReport(std::string_view bytes);

/// One record of Journal::kPaxos.
struct Record {
  enum class Kind : std::uint8_t {
    kRegister = 1,  ///< the register of `key` is now `state`
    kFence = 2,     ///< nothing of `shard` below `epoch` any more
    kStart = 3,     ///< the node's `number`-th start
    kDrop = 4,      ///< as kFence, and the shard's registers are gone
  };
  Kind kind = Kind::kRegister;
  ShardId shard;
  Epoch epoch;
  std::uint64_t number = 0;
  std::string key;
  paxos::Register state;
};
std::string Encode(const Record& record);
/// kRegister without a copy of the key and the state.
std::string EncodeRegisterRecord(ShardId shard, std::string_view key, const paxos::Register& state);
std::optional<Record> DecodeRecord(std::string_view bytes);

}  // namespace coterie::node::registers
