#include <cstddef>
#include <cstdint>
#include <string>

#include "base/assert.h"
#include "cli/config.h"
#include "cli/demo_state.h"
#include "cli/json.h"

// Any text as a configuration file, and as the JSON that the commands read. A configuration that is
// taken is taken again from the file that says the same.

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace coterie::cli;
  const std::string text(reinterpret_cast<const char*>(data), size);
  ConfigSources sources;
  sources.file_path = "fuzz.toml";
  sources.file_text = text;
  const auto configured = Configure(sources);
  if (configured) {
    sources.file_text = ConfigFileText(configured->node);
    const auto again = Configure(sources);
    COT_ASSERT(again.has_value());
    COT_ASSERT(ConfigFileText(again->node) == sources.file_text);
  }
  if (const auto document = Json::Parse(text)) (void)DemoStateFromJson(*document);
  return 0;
}
