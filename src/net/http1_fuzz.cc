#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "net/http1.h"

namespace {

using namespace coterie::net;

/// Everything a parser says about `all` when it comes in pieces of `step` bytes.
std::string Read(Http1Parser::Role role, std::string_view all, std::size_t step) {
  Http1Parser parser(role, 1 << 10, 1 << 10);
  std::string seen;
  while (!all.empty()) {
    const std::string_view chunk = all.substr(0, step);
    all.remove_prefix(chunk.size());
    parser.Feed(chunk);
    if (all.empty()) parser.End();
    for (;;) {
      const auto next = parser.Next();
      if (!next) return seen + "refused " + std::to_string(next.error());
      if (!*next) break;
      if ((*next)->body.size() > 1 << 10) std::abort();
      seen += (*next)->method + "|" + (*next)->target + "|" + (*next)->body + "\n";
    }
  }
  return seen;
}

}  // namespace

// Requests and answers are understood the same whatever the cut: what depends on packet borders is
// how requests are smuggled.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t cut = 1 + bytes[0] % 64;
  const std::string_view all(reinterpret_cast<const char*>(bytes) + 1, size - 1);
  for (const auto role : {Http1Parser::Role::kServer, Http1Parser::Role::kClient}) {
    if (Read(role, all, cut) != Read(role, all, all.size() + 1)) std::abort();
  }
  return 0;
}
