#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "door/redis/reply.h"
#include "keyspace/promise.h"
#include "node/leaderless/leaderless.h"
#include "placement/cluster_map.h"
#include "runtime/task.h"

namespace coterie::door::redis {

/// One command as it came: its words; the first is the name, any case. Owned bytes: it may wait.
using Words = std::vector<std::string>;

/// Where a command comes from and what it is about. Outlives the command's execution.
struct Context {
  const placement::Keyspace* keyspace = nullptr;  ///< of the connection's database
  placement::ClusterMapPtr map;                   ///< holds `keyspace`
  int protocol = 2;
  Instant deadline{};
  std::uint32_t read = 0;   ///< R of this connection, 0: the keyspace's
  std::uint32_t write = 0;  ///< W
};

/// How far a command got without suspending.
enum class Step : std::uint8_t {
  kDone,     ///< the whole reply is in `out`
  kAcked,    ///< done here; its reply, in `out`, may go once the ticket is acknowledged
  kSuspend,  ///< nothing happened and nothing was written: Run must be called
};

/// Commands of one kind of keyspace: CellCommands (leaderless) and OrderedCommands (raft, paxos).
/// The door has checked the word count against the command table. Commands of one connection begin
/// in order; after kSuspend the next begins when Run has answered, after kAcked at once, so that a
/// pipeline of writes waits for its acknowledgements together.
class Executor {
 public:
  virtual ~Executor() = default;
  virtual Step Begin(const Context& context, const Words& words, std::string& out,
                     node::WriteTicket& ticket) = 0;
  /// Runs it and answers the encoded reply.
  virtual runtime::Task<std::string> Run(Context context, Words words) = 0;
};

}  // namespace coterie::door::redis
