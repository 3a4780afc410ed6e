// Any bytes as a body, a reply or a journal record: refused, or read as something that encodes.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "node/paxos/codec.h"

using namespace coterie::node::registers;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string_view in(reinterpret_cast<const char*>(bytes), size);
  if (const auto asked = DecodeRequest(in)) EncodeRequest(asked->shard, asked->key, asked->request);
  if (const auto reply = DecodeReply(in)) EncodeReply(*reply);
  if (const auto asked = DecodeKeysAsked(in)) Encode(*asked);
  if (const auto report = DecodeKeysReport(in)) Encode(*report);
  if (const auto record = DecodeRecord(in)) Encode(*record);
  return 0;
}
