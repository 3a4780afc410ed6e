#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "door/redis/input_buffer.h"
#include "door/redis/request_parser.h"

namespace {

using coterie::door::redis::RequestParser;

/// Every request and the final error of `input`, read `cut` bytes at a time as a connection does.
std::vector<std::string> Parse(std::string_view input, std::size_t cut) {
  RequestParser parser({.bulk_bytes_max = 1000, .words_max = 100, .line_bytes_max = 200});
  std::vector<std::string> found;
  const std::size_t all = input.size();
  InputBuffer buffer;
  while (!input.empty()) {
    const std::span<char> room = buffer.Room(parser.wanted());
    const std::size_t n = std::min({cut, input.size(), room.size()});
    std::copy_n(input.begin(), n, room.begin());
    buffer.Commit(n);
    input.remove_prefix(n);
    if (buffer.moved() > 4 * all || buffer.capacity() > 2 * all + InputBuffer::kChunk) std::abort();
    for (;;) {
      const auto state = parser.Next(buffer.unread());
      if (state == RequestParser::State::kMore) break;
      if (state == RequestParser::State::kError) {
        found.emplace_back(parser.error());
        return found;
      }
      if (parser.consumed() == 0 || parser.consumed() > buffer.unread().size()) std::abort();
      for (const std::string_view word : parser.words()) found.emplace_back(word);
      found.emplace_back("|");
      buffer.Consume(parser.consumed());
    }
  }
  return found;
}

}  // namespace

// Arbitrary bytes: no crash, and the same requests however the bytes are cut. Only the error about
// a line that is too long may come a little earlier or later, by the cut.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t cut = 1 + bytes[0] % 32;
  const std::string_view all(reinterpret_cast<const char*>(bytes) + 1, size - 1);
  auto whole = Parse(all, all.size());
  auto pieces = Parse(all, cut);
  const auto too_long = [](const std::vector<std::string>& found) {
    return !found.empty() && found.back().find("too big") != std::string::npos;
  };
  if (too_long(whole) || too_long(pieces)) return 0;
  if (whole != pieces) std::abort();
  return 0;
}
