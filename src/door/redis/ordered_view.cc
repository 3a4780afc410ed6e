#include "door/redis/ordered_view.h"

#include <fmt/format.h>

namespace coterie::door::redis::ordered {

void Call::WrongArity() const {
  reply.Error(fmt::format("ERR wrong number of arguments for '{}' command", command.name));
}

Handler HandlerOf(CommandId id) {
  for (const auto family : {StringHandler, KeyHandler, BitHandler, HashHandler, SetHandler,
                            SortedSetHandler, SortedRangeHandler, KeyspaceHandler}) {
    const Handler handler = family(id);
    if (handler != nullptr) return handler;
  }
  return nullptr;
}

}  // namespace coterie::door::redis::ordered
