#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "net/grpc_test_service.h"
#include "net/http2_server.h"
#include "net/http2_test_frames.h"

namespace {

using namespace coterie::net;
using namespace coterie::net::test;

/// Takes the fuzzer's bytes apart.
struct Source {
  std::string_view rest;
  std::uint8_t Byte() {
    if (rest.empty()) return 0;
    const auto byte = static_cast<std::uint8_t>(rest.front());
    rest.remove_prefix(1);
    return byte;
  }
  std::string_view Some(std::size_t count) {
    const std::string_view taken = rest.substr(0, count);
    rest.remove_prefix(taken.size());
    return taken;
  }
};

/// Frames that are mostly right: known types, few streams, real header blocks.
std::string NextFrame(Source& source) {
  static const char* const kPaths[] = {"/t.T/Echo",  "/t.T/Slow", "/t.T/Chat",
                                       "/t.T/Count", "/t.T/Lazy", "/none"};
  const std::uint8_t kind = source.Byte();
  const std::uint32_t stream = source.Byte() % 16;
  switch (kind % 8) {
    case 0:
      return UnaryFrames(stream, kPaths[source.Byte() % 6], source.Some(source.Byte()));
    case 1:
      return RawFrame(kHeaders, kEndHeaders, stream,
                      HeaderBlock(GrpcFields(kPaths[source.Byte() % 6], {{"grpc-timeout", "1S"}})));
    case 2:
      return RawFrame(kData, source.Byte() & 1, stream,
                      GrpcBody(source.Some(source.Byte()), kind >> 7));
    case 3:
      return RawFrame(kRstStream, 0, stream, BigEndian32(source.Byte()));
    case 4:
      return RawFrame(kWindowUpdate, 0, stream, BigEndian32(source.Byte() * 1000u));
    case 5: {
      const char id = static_cast<char>(source.Byte() % 8);
      return RawFrame(kSettings, 0, 0,
                      std::string("\0", 1) + id + BigEndian32(source.Byte() * 100u));
    }
    case 6:
      return RawFrame(kPing, source.Byte() & 1, 0, "12345678");
    default:
      return RawFrame(source.Byte() % 12, source.Byte(), stream, source.Some(source.Byte()));
  }
}

}  // namespace

// The server's codec with real handlers under raw bytes (even first byte) or mutated frames after a
// valid preface (odd): no crash, bounded answers, and no handler frame left at the end.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  TestWorld world;
  TestService service(world);
  HttpLimits limits;
  limits.streams_max = 8;
  limits.message_bytes_max = 1000;
  ServerShared shared{world, limits, service.methods(), nullptr};
  {
    Http2ServerConnection connection(shared, [] {}, [] { return std::size_t{0}; });
    Source source{{reinterpret_cast<const char*>(bytes), size}};
    const bool structured = (source.Byte() & 1) != 0;
    bool open =
        !structured || connection.OnInput(std::string(kPreface) + RawFrame(kSettings, 0, 0, ""));
    std::string out;
    while (open && !source.rest.empty()) {
      open =
          structured ? connection.OnInput(NextFrame(source)) : connection.OnInput(source.Some(64));
      if (source.rest.size() % 3 == 0) world.executor().RunFor(std::chrono::milliseconds(300));
      out.clear();
      connection.Produce(out);
      connection.OnWritten();
      if (connection.running() > limits.streams_max) std::abort();
    }
  }
  if (service.alive != 0) std::abort();
  return 0;
}
