#include "node/paxos/codec.h"

#include <utility>

#include "base/coding.h"

namespace coterie::node::registers {
namespace {

using paxos::Ballot;
using paxos::ChangeId;
using paxos::Value;

/// What follows the first byte of a message; numbers never change.
enum class Tag : char {
  kPrepare = 1,
  kAccept = 2,
  kQuery = 3,
  kPromise = 16,
  kAccepted = 17,
  kRefused = 18,
  kReport = 19,
  kStaleEpoch = 20,
};

bool Get(std::string_view& in, std::uint64_t& number) {
  const auto got = GetVarint(in);
  if (got) number = *got;
  return got.has_value();
}

template <class Id>
bool GetId(std::string_view& in, Id& id) {
  std::uint64_t number = 0;
  if (!Get(in, number)) return false;
  id = Id(static_cast<decltype(id.value)>(number));
  return id.value == number;
}

bool GetBytes(std::string_view& in, std::string& bytes) {
  const auto got = GetLengthPrefixed(in);
  if (got) bytes = *got;
  return got.has_value();
}

bool GetByte(std::string_view& in, char& byte) {
  if (in.empty()) return false;
  byte = in.front();
  in.remove_prefix(1);
  return true;
}

void Put(std::string& out, const Ballot& ballot) {
  PutVarint(out, ballot.epoch.value);
  PutVarint(out, ballot.counter);
  PutVarint(out, ballot.proposer.value);
}

bool Get(std::string_view& in, Ballot& ballot) {
  return GetId(in, ballot.epoch) && Get(in, ballot.counter) && GetId(in, ballot.proposer);
}

void Put(std::string& out, const Value& value) {
  out.push_back(value.bytes ? 1 : 0);
  if (value.bytes) PutLengthPrefixed(out, *value.bytes);
  PutVarint(out, value.applied.size());
  for (const ChangeId& id : value.applied) {
    PutVarint(out, id.proposer.value);
    PutVarint(out, id.number);
  }
}

bool Get(std::string_view& in, Value& value) {
  char holds = 0;
  if (!GetByte(in, holds) || holds < 0 || holds > 1) return false;
  value.bytes.reset();
  if (holds == 1 && !GetBytes(in, value.bytes.emplace())) return false;
  std::uint64_t count = 0;
  if (!Get(in, count) || count > paxos::kWritersMax) return false;
  value.applied.resize(count);
  for (ChangeId& id : value.applied) {
    if (!GetId(in, id.proposer) || !Get(in, id.number)) return false;
  }
  return true;
}

struct Putter {
  std::string& out;
  void operator()(const paxos::Prepare& m) { Start(Tag::kPrepare, m.ballot); }
  void operator()(const paxos::Accept& m) {
    Start(Tag::kAccept, m.ballot);
    Put(out, m.value);
    Put(out, m.next);
  }
  void operator()(const paxos::Query& m) {
    out.push_back(static_cast<char>(Tag::kQuery));
    PutVarint(out, m.epoch.value);
    PutVarint(out, m.number);
  }
  void operator()(const paxos::Promise& m) {
    Start(Tag::kPromise, m.ballot);
    Put(out, m.accepted);
    Put(out, m.value);
  }
  void operator()(const paxos::Accepted& m) { Start(Tag::kAccepted, m.ballot); }
  void operator()(const paxos::Refused& m) {
    Start(Tag::kRefused, m.ballot);
    Put(out, m.promised);
  }
  void operator()(const paxos::Report& m) {
    out.push_back(static_cast<char>(Tag::kReport));
    PutVarint(out, m.number);
    Put(out, m.accepted);
    Put(out, m.value);
  }
  void operator()(const paxos::StaleEpoch& m) {
    out.push_back(static_cast<char>(Tag::kStaleEpoch));
    PutVarint(out, m.asked.value);
    PutVarint(out, m.epoch.value);
  }
  void Start(Tag tag, const Ballot& ballot) {
    out.push_back(static_cast<char>(tag));
    Put(out, ballot);
  }
};

}  // namespace

void PutRegister(std::string& out, const paxos::Register& state) {
  Put(out, state.promised);
  Put(out, state.accepted);
  Put(out, state.value);
}

bool GetRegister(std::string_view& in, paxos::Register& state) {
  return Get(in, state.promised) && Get(in, state.accepted) && Get(in, state.value) &&
         state.accepted <= state.promised;
}

std::string EncodeRequest(ShardId shard, std::string_view key, const paxos::Request& request) {
  std::string out;
  PutVarint(out, shard.value);
  PutLengthPrefixed(out, key);
  std::visit(Putter{out}, request);
  return out;
}

std::optional<Asked> DecodeRequest(std::string_view in) {
  Asked asked;
  char tag = 0;
  if (!GetId(in, asked.shard)) return std::nullopt;
  const auto key = GetLengthPrefixed(in);
  if (!key || !GetByte(in, tag)) return std::nullopt;
  asked.key = *key;
  bool whole = false;
  switch (static_cast<Tag>(tag)) {
    case Tag::kPrepare: {
      auto& m = asked.request.emplace<paxos::Prepare>();
      whole = Get(in, m.ballot);
      break;
    }
    case Tag::kAccept: {
      auto& m = asked.request.emplace<paxos::Accept>();
      whole = Get(in, m.ballot) && Get(in, m.value) && Get(in, m.next) && m.next > m.ballot;
      break;
    }
    case Tag::kQuery: {
      auto& m = asked.request.emplace<paxos::Query>();
      whole = GetId(in, m.epoch) && Get(in, m.number);
      break;
    }
    default:
      break;
  }
  if (!whole || !in.empty()) return std::nullopt;
  return asked;
}

std::string EncodeReply(const paxos::Reply& reply) {
  std::string out;
  std::visit(Putter{out}, reply);
  return out;
}

std::optional<paxos::Reply> DecodeReply(std::string_view in) {
  paxos::Reply reply;
  char tag = 0;
  if (!GetByte(in, tag)) return std::nullopt;
  bool whole = false;
  switch (static_cast<Tag>(tag)) {
    case Tag::kPromise: {
      auto& m = reply.emplace<paxos::Promise>();
      whole = Get(in, m.ballot) && Get(in, m.accepted) && Get(in, m.value);
      break;
    }
    case Tag::kAccepted:
      whole = Get(in, reply.emplace<paxos::Accepted>().ballot);
      break;
    case Tag::kRefused: {
      auto& m = reply.emplace<paxos::Refused>();
      whole = Get(in, m.ballot) && Get(in, m.promised);
      break;
    }
    case Tag::kReport: {
      auto& m = reply.emplace<paxos::Report>();
      whole = Get(in, m.number) && Get(in, m.accepted) && Get(in, m.value);
      break;
    }
    case Tag::kStaleEpoch: {
      auto& m = reply.emplace<paxos::StaleEpoch>();
      whole = GetId(in, m.asked) && GetId(in, m.epoch);
      break;
    }
    default:
      break;
  }
  if (!whole || !in.empty()) return std::nullopt;
  return reply;
}

std::string Encode(const KeysAsked& asked) {
  std::string out;
  PutVarint(out, asked.shard.value);
  PutVarint(out, asked.epoch.value);
  out.push_back(asked.from_start ? 1 : 0);
  PutLengthPrefixed(out, asked.after);
  PutVarint(out, asked.max);
  return out;
}

std::optional<KeysAsked> DecodeKeysAsked(std::string_view in) {
  KeysAsked asked;
  char from_start = 0;
  std::uint64_t max = 0;
  const bool whole = GetId(in, asked.shard) && GetId(in, asked.epoch) && GetByte(in, from_start) &&
                     GetBytes(in, asked.after) && Get(in, max) && max <= UINT32_MAX && in.empty();
  if (!whole) return std::nullopt;
  asked.from_start = from_start != 0;
  asked.max = static_cast<std::uint32_t>(max);
  return asked;
}

std::uint64_t ExpiryOf(std::string_view bytes) { return GetVarint(bytes).value_or(0); }

std::string Encode(const KeysReport& report) {
  std::string out;
  out.push_back(report.more ? 1 : 0);
  for (const KeyReport& key : report.keys) {
    PutLengthPrefixed(out, key.key);
    Put(out, key.accepted);
    out.push_back(static_cast<char>((key.holds ? 1 : 0) | (key.expires_at_ms != 0 ? 2 : 0)));
    if (key.expires_at_ms != 0) PutVarint(out, key.expires_at_ms);
  }
  return out;
}

std::optional<KeysReport> DecodeKeysReport(std::string_view in) {
  KeysReport report;
  char flag = 0;
  if (!GetByte(in, flag)) return std::nullopt;
  report.more = flag != 0;
  while (!in.empty()) {
    KeyReport& key = report.keys.emplace_back();
    if (!GetBytes(in, key.key) || !Get(in, key.accepted) || !GetByte(in, flag)) return std::nullopt;
    key.holds = (flag & 1) != 0;
    if ((flag & 2) != 0) {
      const auto expires_at_ms = GetVarint(in);
      if (!expires_at_ms) return std::nullopt;
      key.expires_at_ms = *expires_at_ms;
    }
    const std::size_t count = report.keys.size();
    if (count > 1 && report.keys[count - 2].key >= key.key) return std::nullopt;
  }
  if (report.more && report.keys.empty()) return std::nullopt;
  return report;
}

std::string Encode(const Record& record) {
  std::string out(1, static_cast<char>(record.kind));
  switch (record.kind) {
    case Record::Kind::kRegister:
      return EncodeRegisterRecord(record.shard, record.key, record.state);
    case Record::Kind::kFence:
    case Record::Kind::kDrop:
      PutVarint(out, record.shard.value);
      PutVarint(out, record.epoch.value);
      return out;
    case Record::Kind::kStart:
      PutVarint(out, record.number);
      return out;
  }
  return out;
}

std::string EncodeRegisterRecord(ShardId shard, std::string_view key,
                                 const paxos::Register& state) {
  std::string out(1, static_cast<char>(Record::Kind::kRegister));
  PutVarint(out, shard.value);
  PutLengthPrefixed(out, key);
  PutRegister(out, state);
  return out;
}

std::optional<Record> DecodeRecord(std::string_view in) {
  Record record;
  char kind = 0;
  if (!GetByte(in, kind)) return std::nullopt;
  record.kind = static_cast<Record::Kind>(kind);
  bool whole = false;
  switch (record.kind) {
    case Record::Kind::kRegister:
      whole = GetId(in, record.shard) && GetBytes(in, record.key) && GetRegister(in, record.state);
      break;
    case Record::Kind::kFence:
    case Record::Kind::kDrop:
      whole = GetId(in, record.shard) && GetId(in, record.epoch);
      break;
    case Record::Kind::kStart:
      whole = Get(in, record.number);
      break;
  }
  if (!whole || !in.empty()) return std::nullopt;
  return record;
}

}  // namespace coterie::node::registers
