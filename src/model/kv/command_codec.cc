#include "model/kv/command_codec.h"

#include "base/coding.h"

namespace coterie::kv {
namespace {

// Field numbers of Command, and of the two lease requests (proto/coterie/command.proto,
// etcd/rpc.proto).
enum CommandField { kPut = 1, kDeleteRange, kTxn, kCompaction, kLeaseGrant, kLeaseRevoke };
constexpr unsigned kWireVarint = 0;
constexpr unsigned kWireBytes = 2;

constexpr unsigned Tag(unsigned field, unsigned wire) { return field << 3 | wire; }

std::string Embed(CommandField field, std::string_view request) {
  std::string out;
  out.reserve(request.size() + 6);
  out.push_back(static_cast<char>(Tag(field, kWireBytes)));
  PutLengthPrefixed(out, request);
  return out;
}

void PutField(std::string& out, unsigned field, std::int64_t value) {
  if (value == 0) return;
  out.push_back(static_cast<char>(Tag(field, kWireVarint)));
  PutVarint(out, static_cast<std::uint64_t>(value));
}

bool ReadField(std::string_view& in, std::uint64_t tag, PutView& put) {
  if (tag == Tag(1, kWireBytes) || tag == Tag(2, kWireBytes)) {
    const auto bytes = GetLengthPrefixed(in);
    if (!bytes) return false;
    (tag == Tag(1, kWireBytes) ? put.key : put.value) = *bytes;
    return true;
  }
  const auto number = GetVarint(in);
  if (!number) return false;
  switch (tag) {
    case Tag(3, kWireVarint):
      put.lease = static_cast<std::int64_t>(*number);
      return true;
    case Tag(4, kWireVarint):
      put.prev_kv = *number != 0;
      return true;
    case Tag(5, kWireVarint):
      put.ignore_value = *number != 0;
      return true;
    case Tag(6, kWireVarint):
      put.ignore_lease = *number != 0;
      return true;
    default:
      return false;
  }
}

}  // namespace

std::string EncodePut(std::string_view request) { return Embed(kPut, request); }
std::string EncodeDeleteRange(std::string_view request) { return Embed(kDeleteRange, request); }
std::string EncodeTxn(std::string_view request) { return Embed(kTxn, request); }
std::string EncodeCompaction(std::string_view request) { return Embed(kCompaction, request); }
std::string EncodeLeaseGrant(std::string_view request) { return Embed(kLeaseGrant, request); }
std::string EncodeLeaseRevoke(std::string_view request) { return Embed(kLeaseRevoke, request); }

std::string EncodeLeaseGrant(std::int64_t id, std::int64_t ttl_seconds) {
  std::string request;
  PutField(request, 1, ttl_seconds);
  PutField(request, 2, id);
  return Embed(kLeaseGrant, request);
}

std::string EncodeLeaseRevoke(std::int64_t id) {
  std::string request;
  PutField(request, 1, id);
  return Embed(kLeaseRevoke, request);
}

std::string EncodeLeaseRenewal(std::int64_t id) {
  std::string request;
  PutField(request, 3, id);
  return Embed(kPut, request);
}

std::optional<PutView> DecodePut(std::string_view command) {
  if (command.empty() || command[0] != static_cast<char>(Tag(kPut, kWireBytes)))
    return std::nullopt;
  command.remove_prefix(1);
  auto in = GetLengthPrefixed(command);
  if (!in || !command.empty()) return std::nullopt;
  PutView put;
  while (!in->empty()) {
    const auto tag = GetVarint(*in);
    if (!tag || !ReadField(*in, *tag, put)) return std::nullopt;
  }
  return put;
}

}  // namespace coterie::kv
