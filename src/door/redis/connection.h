#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "door/redis/command.h"
#include "door/redis/input_buffer.h"
#include "door/redis/ordered_transaction.h"
#include "door/redis/request_parser.h"
#include "runtime/network.h"
#include "runtime/scope.h"
#include "runtime/sync.h"

namespace coterie::door::redis {

struct DoorState;

/// One client: reads what came, begins every command of it in order, and writes their replies
/// together once each may go.
class Connection {
 public:
  Connection(DoorState& door, std::uint64_t id, std::unique_ptr<runtime::Stream> stream);
  ~Connection();
  Connection(const Connection&) = delete;

  /// Serves until either side ends it.
  runtime::Task<void> Run();
  /// Ends it as soon as nothing is under way.
  void Drain();
  /// Ends it at once.
  void Close();
  /// Ends it after what is in the output is written.
  void CloseAfterReply() { closing_ = true; }

  /// Queues a message that no command asked for; a client that does not take its messages is
  /// disconnected at push_bytes_max.
  void Push(std::string_view message);

  /// Follows the connection's database to the newest map; `context().keyspace` is null when no
  /// keyspace has that number.
  void RefreshKeyspace();
  /// False: no keyspace has that number, and nothing changed.
  bool SelectDatabase(std::uint32_t database);
  bool UseKeyspace(std::string_view name);
  /// Sets R and W of this connection, 0: the keyspace's own.
  void SetQuorums(std::uint32_t read, std::uint32_t write);
  Context& context() { return context_; }
  /// RESET: as it was when it connected.
  void Reset();
  bool subscribed() const { return !channels.empty() || !patterns.empty(); }
  std::size_t output_bytes() const { return sending_bytes_ + outbox_.size() + out_.size(); }
  std::size_t input_bytes() const { return input_.unread().size(); }
  std::size_t input_capacity() const { return input_.capacity(); }

  // What CLIENT tells and sets.
  enum class ReplyMode : std::uint8_t { kOn, kOff, kSkipNext, kSkip };
  const std::uint64_t id;
  const Instant since;
  const std::string peer;
  std::string name, library_name, library_version;
  Instant last_command_at;
  const Command* last_command = nullptr;
  ReplyMode reply_mode = ReplyMode::kOn;
  std::uint32_t database = 0;
  std::string keyspace_name;  ///< COTERIE USE; "": by database
  std::set<std::string, std::less<>> channels, patterns;

 private:
  /// A reply in out_ that waits: for its acknowledgement, or for how many took a message elsewhere.
  struct Held {
    std::size_t begin, end;
    node::WriteTicket ticket;
    bool published = false;  ///< the next of published_
  };
  struct Published {
    std::string channel;
    std::size_t here;  ///< took it on this node
  };
  /// A command of the connection between MULTI and EXEC, and how many of the keyspace's were
  /// before.
  struct Local {
    std::size_t place;
    const Command* command;
    OwnedWords words;
  };
  enum class Stop : std::uint8_t { kInputEnd, kBound, kSuspended, kClosing };

  /// Begins commands until there is a reason to stop.
  Stop RunBatch();
  Stop BeginAll();
  /// Begins one; true: it must be Run.
  bool BeginOne(Words words);
  /// The door's own checks: false, and the error in `reply`, if the command is refused.
  bool Admits(const Command* row, Words words, Reply& reply);
  bool BeginOnKeyspace(const Command& row, Words words, Reply& reply);
  /// One of the connection's own; true: it must be Run.
  bool BeginOnDoor(const Command& row, Words words, Reply& reply);
  void BeginPublish(Words words, Reply& reply);
  /// A line of HTTP came: whoever made a browser send it is not served.
  void EndHttp();
  /// The keyspace cannot run it. What follows a refused MULTI is not run either.
  void Refused(const Command& row);
  /// Whether a refused MULTI stops this one as well; then it is answered.
  bool Discards(const Command& row, Reply& reply);
  void EndTransaction();
  /// Queues a command of the connection between MULTI and EXEC.
  void QueueLocal(const Command& row, Words words, Reply& reply);
  /// The answer of EXEC with those of the connection's own commands in their places.
  runtime::Task<std::string> WithLocals(std::string exec, std::vector<Local> locals);
  /// Whether a command may begin while others wait: the executor says so.
  bool MayBeginBeside(Words words) const;
  /// Runs the commands that suspended.
  runtime::Task<void> RunSuspended();
  /// Applies CLIENT REPLY to the reply that begins at `begin` in out_.
  void FilterReply(std::size_t begin);
  /// Waits for every held reply, replacing those that failed, and begins to write all of out_; then
  /// waits while more is untaken than may be.
  runtime::Task<void> Settle();
  /// Waits until the client has taken more; false: it did not, and is disconnected.
  runtime::Task<bool> AwaitTaken();
  std::size_t OutputBound() const;
  void AccountOutput();
  /// Takes what a client still sends after its last reply: it would not see that otherwise.
  runtime::Task<void> Linger();
  /// The same for the replies before those of suspended commands.
  runtime::Task<void> SettleEarlier();
  runtime::Task<void> Acknowledge();
  runtime::Task<void> Flush();
  runtime::Task<void> FlushPushes();
  bool ReserveInput();

  DoorState& door_;
  std::unique_ptr<runtime::Stream> stream_;
  RequestParser parser_;
  InputBuffer input_;
  std::size_t input_accounted_ = 0;
  std::size_t output_accounted_ = 0;
  Context context_;
  Transaction transaction_;
  std::vector<Local> locals_;
  std::size_t locals_bytes_ = 0;
  bool discarding_ = false;  // MULTI was refused, and neither EXEC nor DISCARD has come
  std::shared_ptr<const placement::Keyspace> adjusted_;  // with the connection's own R and W
  std::string out_;                                      // replies of the present batch
  std::vector<Held> held_;
  std::vector<Published> published_;
  std::string pushed_;  // while replies are left out: messages that came meanwhile
  std::vector<Request> suspended_;
  std::vector<std::size_t> suspended_at_;  // where in out_ their replies belong
  Executor* suspended_in_ = nullptr;
  Instant unsent_since_;  // when the oldest reply in out_ was begun
  std::string outbox_;    // may be written as it is
  std::size_t sending_bytes_ = 0;
  bool writing_ = false;
  bool reading_ = false;  // nothing is under way: it may be ended
  bool closing_ = false;
  bool lingering_ = false;  // the client may be in the middle of sending
  bool filtering_ = false;  // a command is being begun whose reply is left out
  bool push_scheduled_ = false;
  runtime::Notification written_;
  runtime::Scope writers_;  // last: its tasks use everything above
};

}  // namespace coterie::door::redis
