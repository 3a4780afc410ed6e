#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "check/history.h"
#include "sim/plan.h"

// Any text as a plan and as a history: what is read is written and read again the same.

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace coterie;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto plan = sim::PlanFromJson(text)) {
    const std::string written = sim::ToJson(*plan);
    const auto again = sim::PlanFromJson(written);
    COT_ASSERT(again.has_value());
    COT_ASSERT(sim::ToJson(*again) == written);
  }
  if (const auto history = check::FromJsonLines(text)) {
    const std::string written = check::ToJsonLines(*history);
    const auto again = check::FromJsonLines(written);
    COT_ASSERT(again.has_value());
    COT_ASSERT(check::ToJsonLines(*again) == written);
  }
  return 0;
}
