#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "replication/leaderless/messages.h"
#include "replication/leaderless/mutation.h"

// Claim: no bytes from another node crash a decoder, and what is decoded is encoded as it was.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace coterie::leaderless;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (auto batch = ReadBatch(bytes)) {
    while (const auto next = batch->Next()) (void)DecodeMutation(next->second);
  }
  (void)DecodeMutation(bytes);
  if (const auto answer = DecodeAnswer(bytes)) {
    const std::string again = std::visit([](const auto& one) { return Encode(one); }, *answer);
    COT_ASSERT(DecodeAnswer(again) == answer);
  }
  if (const auto request = DecodeCellsRequest(bytes))
    COT_ASSERT(DecodeCellsRequest(Encode(*request)).has_value());
  (void)DecodeDotsReply(bytes);
  (void)DecodeSummariesReply(bytes);
  (void)DecodeFetchReply(bytes);
  (void)DecodeObjectReply(bytes);
  (void)DecodeDigestsReply(bytes);
  return 0;
}
