#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "membership/swim.h"

// Arbitrary bytes as messages to one member: no crash, and what decodes is the decoding of its own
// encoding.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace coterie;
  using namespace coterie::membership;
  Random random(1);
  Swim swim(Config{.self = NodeId(1)}, random, Instant{});
  swim.SetMembers({NodeId(1), NodeId(2), NodeId(3)}, Instant{});
  std::string_view rest(reinterpret_cast<const char*>(bytes), size);
  Instant now{};
  while (!rest.empty()) {
    const std::size_t length = static_cast<unsigned char>(rest.front()) & 0x3f;
    rest.remove_prefix(1);
    const auto message = Decode(rest.substr(0, length));
    rest.remove_prefix(std::min(rest.size(), length));
    now += 100ms;
    swim.Tick(now);
    if (!message) continue;
    if (Decode(Encode(*message)) != message) std::abort();
    swim.Step(NodeId(2), *message, now);
    if (swim.NextDeadline() < Instant{}) std::abort();
  }
  (void)swim.TakeOutput();
  return 0;
}
