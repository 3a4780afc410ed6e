#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/coding.h"
#include "coterie/command.pb.h"
#include "model/kv/test_support.h"

// Any bytes as commands of the log: applying them never fails (but for a later version's), since
// that would stop every replica for good; what they leave is read and loaded again. And the quick
// reader of puts agrees with the general one.

namespace coterie::kv::testing {
namespace {

void CheckPut(std::string_view bytes) {
  const auto quick = DecodePut(bytes);
  if (!quick) return;
  Command command;
  COT_ASSERT(command.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
  COT_ASSERT(command.has_put());
  COT_ASSERT(command.put().key() == quick->key);
  COT_ASSERT(command.put().value() == quick->value);
  COT_ASSERT(command.put().lease() == quick->lease);
  COT_ASSERT(command.put().prev_kv() == quick->prev_kv);
  COT_ASSERT(command.put().ignore_value() == quick->ignore_value);
  COT_ASSERT(command.put().ignore_lease() == quick->ignore_lease);
}

void ApplyAll(std::string_view input) {
  if (input.empty()) return;
  const std::size_t together = 1 + static_cast<unsigned char>(input.front()) % 4;
  input.remove_prefix(1);
  Kv kv;
  const auto watcher = kv.Watch(kAll, kAll, 1);
  while (!input.empty()) {
    std::vector<model::StateMachine::Command> commands;
    LogIndex index = kv.store.applied();
    while (!input.empty() && commands.size() < together) {
      const auto bytes = GetLengthPrefixed(input);
      if (!bytes) return;
      CheckPut(*bytes);
      commands.push_back({++index, Term(1), *bytes, true});
    }
    const auto applied = kv.store.Apply(commands, index, Term(1));
    // A later version's command is the one thing that must stop a replica.
    if (!applied && applied.error().code == ErrorCode::kNewerData) return;
    COT_ASSERT(applied.has_value());
    COT_ASSERT(kv.store.applied() == index);
  }
  COT_ASSERT(kv.store.PurgeSome(16).has_value());
  (void)watcher->Poll(1 << 16);
  const auto before = kv.store.HashKv(0);
  COT_ASSERT(before.has_value());
  COT_ASSERT(kv.store.Load(kv.engine).has_value());
  COT_ASSERT(kv.store.HashKv(0)->hash == before->hash);
}

}  // namespace
}  // namespace coterie::kv::testing

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  coterie::kv::testing::ApplyAll({reinterpret_cast<const char*>(data), size});
  return 0;
}
