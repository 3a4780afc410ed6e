#include "door/redis/ordered_view.h"

#include <fmt/format.h>

namespace coterie::door::redis::ordered {

void Call::WrongArity() const {
  reply.Error(fmt::format("ERR wrong number of arguments for '{}' command", command.name));
}

bool Call::IsOurs(const View::Object& object) const {
  if (object.type != ObjectType::kForeign) return true;
  reply.Error(coterie::Error{ErrorCode::kForeignRecord, Outcome::kNotApplied,
                             fmt::format("{} bytes", object.value.size())});
  return false;
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
