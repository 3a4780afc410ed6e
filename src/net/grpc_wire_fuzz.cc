#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "net/grpc_wire.h"

// Message framing gives the same messages whatever the cut, and the header codecs take any text.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace coterie::net;
  if (size == 0) return 0;
  const std::size_t cut = 1 + bytes[0];
  const std::string_view all(reinterpret_cast<const char*>(bytes) + 1, size - 1);
  const auto read = [all](std::size_t step) {
    GrpcMessageReader reader(1 << 12);
    std::string seen;
    std::string message;
    for (std::string_view rest = all; !rest.empty();) {
      std::string_view chunk = rest.substr(0, step);
      rest.remove_prefix(chunk.size());
      while (!chunk.empty()) {
        const auto event = reader.Next(chunk, message);
        if (event == GrpcMessageReader::Event::kNeedMore) break;
        seen += static_cast<char>('0' + static_cast<int>(event));
        if (event != GrpcMessageReader::Event::kMessage) return seen;
        seen += message;
      }
      if (reader.partial_bytes() > all.size()) std::abort();
    }
    return seen;
  };
  if (read(cut) != read(all.size() + 1)) std::abort();
  if (PercentDecode(PercentEncode(all)) != all) std::abort();
  PercentDecode(all);
  if (const auto timeout = ParseGrpcTimeout(all); timeout && timeout->count() < 0) std::abort();
  return 0;
}
