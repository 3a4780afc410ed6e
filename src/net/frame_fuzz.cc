#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "net/frame.h"

// Arbitrary bytes in arbitrary cuts: no crash, and no frame that is not the encoding of itself.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace coterie::net;
  if (size == 0) return 0;
  const std::size_t cut = 1 + bytes[0];
  std::string_view rest(reinterpret_cast<const char*>(bytes) + 1, size - 1);
  const std::string_view all = rest;
  FrameDecoder decoder(1 << 16);
  std::size_t at = 0;
  while (!rest.empty()) {
    decoder.Feed(rest.substr(0, cut));
    rest.remove_prefix(std::min(cut, rest.size()));
    for (;;) {
      auto frame = decoder.Next();
      if (!frame) return 0;
      if (!*frame) break;
      std::string again;
      EncodeFrame(**frame, (*frame)->body, again);
      if (all.substr(at, again.size()) != again) std::abort();
      at += again.size();
    }
  }
  return 0;
}
