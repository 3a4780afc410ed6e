#pragma once

#include <optional>
#include <string>

#include "node/control.h"
#include "node/paxos/rounds.h"
#include "node/registers.h"
#include "runtime/world.h"

namespace coterie::node::registers {

/// The registers of one paxos keyspace. A value is kept as its expiry and its bytes.
class KeyspaceRegisters final : public Registers {
 public:
  KeyspaceRegisters(runtime::World& world, Control& control, Rounds& rounds, std::string keyspace)
      : world_(world), control_(control), rounds_(rounds), keyspace_(std::move(keyspace)) {}

  runtime::Task<Result<std::optional<Value>>> Read(std::string key, Instant deadline) override;
  runtime::Task<Result<std::optional<Value>>> Update(std::string key, Decide decide,
                                                     Instant deadline) override;
  runtime::Task<Result<std::vector<std::string>>> Keys(std::string after, std::size_t max,
                                                       Instant deadline) override;

 private:
  struct Cursor;
  struct Together;
  Result<ShardId> ShardOf(std::string_view key) const;
  bool IsPast(const Value& value) const;
  runtime::Task<void> ListShard(Together* together, Cursor* cursor, std::size_t max,
                                Instant deadline);
  runtime::Task<void> ReadListed(Together* together, Cursor* cursor, std::string key,
                                 Instant deadline);

  runtime::World& world_;
  Control& control_;
  Rounds& rounds_;
  const std::string keyspace_;
};

}  // namespace coterie::node::registers
