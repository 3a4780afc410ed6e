#include "door/redis/input_buffer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "base/random.h"
#include "door/redis/request_parser.h"

namespace coterie::door::redis {
namespace {

struct Cost {
  std::uint64_t moved = 0;
  std::size_t requests = 0;
  std::size_t words = 0;
  std::size_t capacity_max = 0;
};

/// Feeds `input` as a connection does, `read()` bytes at a time.
template <class Read>
Cost Feed(std::string_view input, Read&& read) {
  InputBuffer buffer;
  RequestParser parser({});
  Cost cost;
  while (!input.empty()) {
    const std::span<char> room = buffer.Room(parser.wanted());
    const std::size_t n = std::min({room.size(), input.size(), std::size_t{read()}});
    std::copy_n(input.begin(), n, room.begin());
    input.remove_prefix(n);
    buffer.Commit(n);
    cost.capacity_max = std::max(cost.capacity_max, buffer.capacity());
    while (parser.Next(buffer.unread()) == RequestParser::State::kRequest) {
      ++cost.requests;
      cost.words += parser.words().size();
      buffer.Consume(parser.consumed());
    }
  }
  cost.moved = buffer.moved();
  return cost;
}

std::string Request(std::size_t words, std::size_t bytes) {
  std::string request = "*" + std::to_string(words) + "\r\n";
  for (std::size_t i = 0; i < words; ++i)
    request += "$" + std::to_string(bytes) + "\r\n" + std::string(bytes, 'w') + "\r\n";
  return request;
}

// A request of many words costs what its bytes cost: none is moved more than a few times, and the
// buffer is never larger than twice what has come.
TEST(InputBuffer, ManyWordsMoveEachByteAFewTimes) {
  for (const std::size_t words : {1'000u, 10'000u, 100'000u}) {
    const std::string request = Request(words, 10);
    const Cost cost = Feed(request, [] { return 1u << 16; });
    EXPECT_EQ(cost.words, words);
    EXPECT_LE(cost.moved, 4 * request.size()) << words << " words";
    EXPECT_LE(cost.capacity_max, 2 * request.size() + InputBuffer::kChunk);
  }
}

// The same whatever requests follow each other and however reads cut them.
TEST(InputBuffer, AnyCutsMoveEachByteAFewTimes) {
  Random random(7);
  for (int round = 0; round < 60; ++round) {
    std::string input;
    std::size_t requests = 0;
    while (input.size() < (200u << 10)) {
      const bool large = random.Below(8) == 0;
      input += large ? Request(1 + random.Below(4000), random.Below(40))
                     : Request(1 + random.Below(5), random.Below(round % 3 == 0 ? 60'000 : 200));
      ++requests;
    }
    const std::size_t most = std::size_t{1} << random.Below(18);
    const Cost cost = Feed(input, [&] { return 1 + random.Below(most); });
    EXPECT_EQ(cost.requests, requests);
    EXPECT_LE(cost.moved, 4 * input.size()) << "reads of up to " << most;
  }
}

// A word that is large is believed as it comes: memory follows the bytes that came, not the claim.
TEST(InputBuffer, ClaimsCostNothing) {
  const std::string claim = "*2\r\n$60000000\r\n";
  const Cost cost = Feed(claim + std::string(100'000, 'w'), [] { return 1u << 16; });
  EXPECT_LE(cost.capacity_max, 2 * 100'100 + InputBuffer::kChunk);
}

}  // namespace
}  // namespace coterie::door::redis
