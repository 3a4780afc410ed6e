#include "door/redis/ordered_view.h"

#include <fmt/format.h>

namespace coterie::door::redis::ordered {

void Call::WrongArity() const {
  reply.Error(fmt::format("ERR wrong number of arguments for '{}' command", command.name));
}

namespace {

// In a transaction: EXEC forgets what is watched anyway.
void Unwatch(const Call& call) { call.reply.Ok(); }

}  // namespace

Handler HandlerOf(CommandId id) {
  if (id == CommandId::kUnwatch) return Unwatch;
  for (const auto family : {StringHandler, KeyHandler, BitHandler, HashHandler, SetHandler,
                            SortedSetHandler, SortedRangeHandler, KeyspaceHandler}) {
    const Handler handler = family(id);
    if (handler != nullptr) return handler;
  }
  return nullptr;
}

}  // namespace coterie::door::redis::ordered
