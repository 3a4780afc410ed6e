#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "node/node.h"
#include "node/registers.h"
#include "runtime/task.h"
#include "runtime/world.h"

namespace coterie::door::redis {

/// The strings of a raft keyspace as registers: the same keys, expiry included, that Redis commands
/// and etcd clients of that keyspace see. Update reads this node's state, decides, and puts a
/// transaction into the log that happens only if the string is still as it was read; if not, it
/// decides anew, at most kTriesMax times (kContended). A key that holds a collection has no
/// register: kInvalidArgument (not applied).
class RaftRegisters final : public node::Registers {
 public:
  static constexpr int kTriesMax = 64;

  /// `keyspace` answers the replica here; null: there is none now (kNotReplica).
  RaftRegisters(runtime::World& world, std::function<node::KvKeyspace*()> keyspace);
  ~RaftRegisters() override;

  runtime::Task<Result<std::optional<Value>>> Read(std::string key, Instant deadline) override;
  runtime::Task<Result<std::optional<Value>>> Update(std::string key, Decide decide,
                                                     Instant deadline) override;
  runtime::Task<Result<std::vector<std::string>>> Keys(std::string after, std::size_t max,
                                                       Instant deadline) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace coterie::door::redis
