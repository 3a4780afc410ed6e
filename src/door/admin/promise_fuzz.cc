#include <cstddef>
#include <cstdint>

#include "base/assert.h"
#include "door/admin/cluster_json.h"
#include "door/admin/json_text.h"

// Any bytes as the declaration of a keyspace, and as a text that is quoted.

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace coterie;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string quoted = door::admin::Quote(text);
  COT_ASSERT(quoted.size() >= 2);
  auto promise = door::admin::ParsePromise(text);
  if (!promise) return 0;
  const auto completed = keyspace::Complete(std::move(*promise));
  if (completed) COT_ASSERT(!door::admin::PromiseJson(*completed).empty());
  return 0;
}
