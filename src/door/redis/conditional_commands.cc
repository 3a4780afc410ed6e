#include "door/redis/conditional_commands.h"

#include <utility>

namespace coterie::door::redis {

runtime::Task<std::string> ConditionalCommands::Run(Context context, OwnedWords words) {
  std::string key = words[1];
  return cells_.RunWhereServed(std::move(context), std::move(words), std::move(key),
                               [this](Context with, OwnedWords all) {
                                 return strings_.Run(std::move(with), std::move(all));
                               });
}

}  // namespace coterie::door::redis
