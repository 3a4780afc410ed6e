#include "replication/leaderless/messages.h"

#include "replication/leaderless/wire.h"

namespace coterie::leaderless {

namespace {
constexpr char kBatchFormat = 1;
constexpr char kAcks = 1;
constexpr char kAccount = 2;

Acks ReadAcks(wire::Reader& in) {
  Acks acks;
  acks.to = in.FromActor();
  acks.batches = in.Many([&] { return in.Varint(); });
  acks.refused = in.Many([&] {
    Refused refused{};
    refused.why = static_cast<Refusal>(in.Varint());
    refused.shard = in.Shard();
    refused.epoch = in.InEpoch();
    refused.batch = in.Varint();
    refused.applied = in.Varint();
    return refused;
  });
  return acks;
}

Account ReadAccount(wire::Reader& in) {
  Account account;
  account.from = in.FromActor();
  account.time = HybridTime(in.Fixed64());
  account.shards = in.Many([&] {
    Account::OfShard of;
    of.shard = in.Shard();
    of.epoch = in.InEpoch();
    of.applied = in.Vector();
    of.durable = in.Vector();
    return of;
  });
  return account;
}
}  // namespace

void BeginBatch(Actor from, std::uint64_t number, std::string& out) {
  out.push_back(kBatchFormat);
  PutVarint(out, from.value);
  PutVarint(out, number);
}

void AddToBatch(Epoch epoch, std::string_view mutation, std::string& out) {
  PutVarint(out, epoch.value);
  PutLengthPrefixed(out, mutation);
}

std::optional<BatchReader> ReadBatch(std::string_view bytes) {
  if (bytes.empty() || bytes.front() != kBatchFormat) return std::nullopt;
  bytes.remove_prefix(1);
  const auto from = GetVarint(bytes);
  if (!from || *from > UINT32_MAX) return std::nullopt;
  const auto number = GetVarint(bytes);
  if (!number) return std::nullopt;
  return BatchReader{Actor(static_cast<std::uint32_t>(*from)), *number, bytes};
}

std::optional<std::pair<Epoch, std::string_view>> BatchReader::Next() {
  if (rest.empty()) return std::nullopt;
  std::string_view in = rest;
  const auto epoch = GetVarint(in);
  if (!epoch) return std::nullopt;
  const auto mutation = GetLengthPrefixed(in);
  if (!mutation) return std::nullopt;
  rest = in;
  return std::pair(Epoch(*epoch), *mutation);
}

std::string Encode(const Acks& acks) {
  std::string out(1, kAcks);
  PutVarint(out, acks.to.value);
  wire::PutMany(out, acks.batches, [&](std::uint64_t batch) { PutVarint(out, batch); });
  wire::PutMany(out, acks.refused, [&](const Refused& refused) {
    PutVarint(out, static_cast<std::uint64_t>(refused.why));
    PutVarint(out, refused.shard.value);
    PutVarint(out, refused.epoch.value);
    PutVarint(out, refused.batch);
    PutVarint(out, refused.applied);
  });
  return out;
}

std::string Encode(const Account& account) {
  std::string out(1, kAccount);
  PutVarint(out, account.from.value);
  PutFixed64(out, account.time.value);
  wire::PutMany(out, account.shards, [&](const Account::OfShard& of) {
    PutVarint(out, of.shard.value);
    PutVarint(out, of.epoch.value);
    clock::Put(out, of.applied);
    clock::Put(out, of.durable);
  });
  return out;
}

std::optional<std::variant<Acks, Account>> DecodeAnswer(std::string_view bytes) {
  if (bytes.empty()) return std::nullopt;
  wire::Reader in(bytes.substr(1));
  std::variant<Acks, Account> answer;
  if (bytes.front() == kAcks) {
    answer = ReadAcks(in);
  } else if (bytes.front() == kAccount) {
    answer = ReadAccount(in);
  } else {
    return std::nullopt;
  }
  if (!in.done()) return std::nullopt;
  return answer;
}

}  // namespace coterie::leaderless
