#pragma once

#include <string>

#include "door/redis/command.h"
#include "door/redis/ordered_view.h"
#include "node/registers.h"
#include "runtime/task.h"
#include "runtime/world.h"

namespace coterie::door::redis::ordered {

/// Runs one command on a paxos keyspace: the encoded reply. Commands of several keys do one after
/// the other, and are refused by name where that would break what they promise.
runtime::Task<std::string> RunOnRegisters(runtime::World& world, Cursors& cursors,
                                          node::Registers& registers, Context context,
                                          OwnedWords words);

/// Runs commands of one connection: those of one key in order and in one round, others side by
/// side. Their replies, in order.
runtime::Task<std::vector<std::string>> RunTogetherOnRegisters(runtime::World& world,
                                                               Cursors& cursors,
                                                               node::Registers& registers,
                                                               std::vector<Request> requests);

}  // namespace coterie::door::redis::ordered
