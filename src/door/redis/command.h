#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "door/redis/command_table.h"
#include "door/redis/reply.h"
#include "keyspace/promise.h"
#include "node/leaderless/leaderless.h"
#include "placement/cluster_map.h"
#include "runtime/task.h"

namespace coterie::door::redis {

/// One command as it came: its words; the first is the name, any case. Views of the connection's
/// input: they are valid until Begin returns.
using Words = std::span<const std::string_view>;
/// The same for a command that waits: it owns them.
using OwnedWords = std::vector<std::string>;

class Transaction;

/// Where a command comes from and what it is about. What it points to outlives the execution.
struct Context {
  const Command* command = nullptr;               ///< the table's row of words[0]; never null
  const placement::Keyspace* keyspace = nullptr;  ///< of the connection's database; never null
  placement::ClusterMapPtr map;                   ///< holds `keyspace`
  int protocol = 2;
  Instant deadline{};
  std::uint32_t read = 0;   ///< R of this connection, 0: the keyspace's
  std::uint32_t write = 0;  ///< W
  /// MULTI and WATCH of the connection; null: a command that came alone, from another node say.
  Transaction* transaction = nullptr;
  /// COTERIE ID: the name under which an addition is made once, however often it is sent; "": none.
  std::string operation;
  bool fresh = false;  ///< COTERIE FRESH: streams are read beyond their stable prefix
  /// Another node passed this on: execute it here or refuse it.
  bool forwarded = false;
  /// With `forwarded`: what concerns a whole keyspace (KEYS, DBSIZE ...) is about this shard alone.
  const placement::Shard* only = nullptr;
};

/// A command that waits.
struct Request {
  Context context;
  OwnedWords words;
};

/// How far a command got without suspending.
enum class Step : std::uint8_t {
  kDone,     ///< the whole reply is in `out`
  kAcked,    ///< done here; its reply, in `out`, may go once the ticket is acknowledged
  kSuspend,  ///< nothing happened and nothing was written: Run must be called
};

/// Commands of one kind of keyspace: CellCommands (leaderless) and OrderedCommands (raft, paxos).
/// The door has checked the word count against the command table, and that the table says that the
/// keyspace's kind serves the command. Commands of one connection begin in order; after kSuspend
/// the next begins when Run has answered, after kAcked at once, so that a pipeline of writes waits
/// for its acknowledgements together.
class Executor {
 public:
  virtual ~Executor() = default;
  /// Appends to `out`, in kDone and kAcked, exactly one reply.
  virtual Step Begin(const Context& context, Words words, std::string& out,
                     node::WriteTicket& ticket) = 0;
  /// Runs it and answers the encoded reply.
  virtual runtime::Task<std::string> Run(Context context, OwnedWords words) = 0;
  /// Whether `next`, of the same connection and keyspace, may begin while `front` waits, to be run
  /// together with it if it waits, too.
  virtual bool MayJoin(const Context& front, const Command& next) const = 0;
  /// Runs what was let join; their replies, in order.
  virtual runtime::Task<std::vector<std::string>> RunTogether(std::vector<Request> requests) = 0;
};

}  // namespace coterie::door::redis
