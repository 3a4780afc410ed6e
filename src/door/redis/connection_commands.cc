// How a connection begins one command: the door's own checks, MULTI, and who runs it.
#include <fmt/format.h>

#include <utility>

#include "door/redis/connection.h"
#include "door/redis/door_state.h"
#include "door/redis/gather.h"
#include "door/redis/text.h"

namespace coterie::door::redis {
namespace {

/// The log is told once in so long of connections that were ended because HTTP came.
constexpr Duration kHttpPause = 60s;

/// Redis's answer to a name it does not know, with the beginning of the arguments.
void UnknownCommand(Words words, Reply& reply) {
  std::string text =
      fmt::format("ERR unknown command '{:.128}', with args beginning with: ", words[0]);
  std::size_t shown = 0;
  for (const std::string_view word : words.subspan(1)) {
    if (shown >= 128) break;
    const std::string_view part = word.substr(0, 128 - shown);
    text += fmt::format("'{}' ", part);
    shown += part.size() + 3;
  }
  reply.Error(text);
}

/// Whether these are the words of an HTTP request: a page in a browser of this machine can send any
/// body, with commands in it, but not choose the lines before.
bool IsHttp(const Command* row, Words words) {
  if (row == nullptr && (IsWord(words[0], "post") || IsWord(words[0], "host:"))) return true;
  const bool request_line = words.size() == 3 && words[2].starts_with("HTTP/");
  return request_line && (row == nullptr || !row->AcceptsWords(words.size()));
}

/// Commands of the connection that may be queued between MULTI and EXEC: those that leave its
/// keyspace, protocol and subscriptions as they are.
bool MayBeQueued(const Command& row, Words words) {
  switch (row.id) {
    case CommandId::kClient:
      return !IsWord(words[1], "reply");
    case CommandId::kAuth:
    case CommandId::kCoterie:
    case CommandId::kHello:
    case CommandId::kPsubscribe:
    case CommandId::kPunsubscribe:
    case CommandId::kSelect:
    case CommandId::kSubscribe:
    case CommandId::kUnsubscribe:
      return false;
    default:
      return true;
  }
}

/// Whether PUBSUB is asked about the subscribers of the whole cluster.
bool AsksSubscribers(Words words) {
  if (IsWord(words[1], "channels")) return words.size() <= 3;
  if (IsWord(words[1], "numpat")) return words.size() == 2;
  return IsWord(words[1], "numsub");
}

}  // namespace

void Connection::EndHttp() {
  closing_ = true;
  const Instant now = door_.world.Now();
  if (door_.http_told_at && now - *door_.http_told_at < kHttpPause) return;
  door_.http_told_at = now;
  door_.world.log().Warn("redis",
                         "client {} at {} sent HTTP: disconnected. A page in a browser may be "
                         "trying to run commands here",
                         id, peer);
}

bool Connection::Admits(const Command* row, Words words, Reply& reply) {
  if (row == nullptr) {
    UnknownCommand(words, reply);
    return false;
  }
  if (!row->AcceptsWords(words.size())) {
    WrongArguments(row->name, reply);
    return false;
  }
  if (const std::string error = SubcommandError(*row, words); !error.empty()) {
    reply.Error(error);
    return false;
  }
  if (subscribed() && context_.protocol == 2 && (row->flags & kSubscribed) == 0) {
    reply.Error(
        fmt::format("ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING "
                    "/ QUIT / RESET are allowed in this context",
                    row->name));
    return false;
  }
  return true;
}

bool Connection::BeginOne(Words words) {
  Reply reply(out_, context_.protocol);
  const Command* row = FindCommand(words[0]);
  ++door_.stats.commands;
  if (IsHttp(row, words)) {
    EndHttp();
    return false;
  }
  if (!Admits(row, words, reply)) {
    transaction_.OnRefused();
    return false;
  }
  last_command = row;
  context_.command = row;
  context_.transaction = &transaction_;
  if (discarding_ && Discards(*row, reply)) return false;
  if ((row->kinds & kDoor) == 0) return BeginOnKeyspace(*row, words, reply);
  return BeginOnDoor(*row, words, reply);
}

bool Connection::BeginOnDoor(const Command& row, Words words, Reply& reply) {
  const bool ends = row.id == CommandId::kQuit || row.id == CommandId::kReset;
  if (transaction_.queueing() && !ends) {
    QueueLocal(row, words, reply);
    return false;
  }
  if (row.id == CommandId::kPublish) {
    BeginPublish(words, reply);
    return false;
  }
  if (row.id == CommandId::kPubsub && AsksSubscribers(words)) {
    suspended_in_ = &door_.subscribers;
    suspended_.push_back({context_, OwnedWords(words.begin(), words.end())});
    suspended_at_.push_back(out_.size());
    return true;
  }
  if (RunDoorCommand(door_, *this, words, reply)) return false;
  // COTERIE ID: the rest of the words are a command of their own.
  if (!context_.operation.empty()) return BeginOne(words.subspan(3));
  return BeginOnKeyspace(row, words, reply);
}

void Connection::BeginPublish(Words words, Reply& reply) {
  const std::size_t here = door_.publisher.Publish(words[1], words[2]);
  const std::size_t begin = out_.size();  // behind the message, if it came to this connection
  reply.Integer(static_cast<std::int64_t>(here));
  if (door_.subscribers.alone()) return;
  held_.push_back({begin, out_.size(), {}, true});
  published_.push_back({std::string(words[1]), here});
}

void Connection::Refused(const Command& row) {
  transaction_.OnRefused();
  if (row.id == CommandId::kMulti) discarding_ = true;
  if (row.id == CommandId::kExec || row.id == CommandId::kDiscard) EndTransaction();
}

bool Connection::Discards(const Command& row, Reply& reply) {
  switch (row.id) {
    case CommandId::kQuit:
    case CommandId::kReset:
      return false;
    case CommandId::kExec:
      reply.Error("EXECABORT Transaction discarded because MULTI was refused.");
      EndTransaction();
      return true;
    case CommandId::kDiscard:
      reply.Ok();
      EndTransaction();
      return true;
    default:
      reply.Error(fmt::format(
          "ERR {} is not run: the MULTI before it was refused; DISCARD or EXEC ends that",
          ToUpper(row.name)));
      return true;
  }
}

void Connection::EndTransaction() {
  discarding_ = false;
  transaction_.Reset();
  locals_.clear();
  locals_bytes_ = 0;
}

void Connection::QueueLocal(const Command& row, Words words, Reply& reply) {
  if (!MayBeQueued(row, words)) {
    transaction_.OnRefused();
    return reply.Error(fmt::format("ERR {} is not served inside MULTI", ToUpper(row.name)));
  }
  for (const std::string_view word : words) locals_bytes_ += word.size();
  if (locals_.size() == Transaction::kCommandsMax || locals_bytes_ > Transaction::kBytesMax) {
    transaction_.OnRefused();
    return reply.Error(fmt::format("ERR a transaction may have {} commands and {} bytes",
                                   Transaction::kCommandsMax, Transaction::kBytesMax));
  }
  locals_.push_back({transaction_.queued(), &row, OwnedWords(words.begin(), words.end())});
  reply.Simple("QUEUED");
}

runtime::Task<std::string> Connection::WithLocals(std::string exec, std::vector<Local> locals) {
  const auto elements = ElementsOf(exec);
  if (!elements) co_return exec;  // an error, or a watched key was changed: nothing was run
  std::string out;
  Reply(out, context_.protocol).Array(elements->size() + locals.size());
  std::size_t next = 0;
  for (const Local& local : locals) {
    for (; next < std::min(local.place, elements->size()); ++next) out += (*elements)[next];
    const std::vector<std::string_view> words(local.words.begin(), local.words.end());
    Reply reply(out, context_.protocol);
    last_command = local.command;
    if (local.command->id == CommandId::kPublish) {
      const std::uint64_t here = door_.publisher.Publish(words[1], words[2]);
      std::vector<std::string> channel = {local.words[1]};
      const auto elsewhere = co_await door_.subscribers.Receivers(std::move(channel));
      reply.Integer(static_cast<std::int64_t>(here + elsewhere.front()));
    } else if (local.command->id == CommandId::kPubsub && AsksSubscribers(words)) {
      const std::string told = co_await door_.subscribers.Run(context_, local.words);
      out += told;
    } else {
      RunDoorCommand(door_, *this, words, reply);
    }
  }
  for (; next < elements->size(); ++next) out += (*elements)[next];
  co_return out;
}

bool Connection::BeginOnKeyspace(const Command& row, Words words, Reply& reply) {
  RefreshKeyspace();
  if (context_.keyspace == nullptr) {
    reply.Error(Error{ErrorCode::kNoKeyspace, Outcome::kNotApplied,
                      fmt::format("No keyspace has database {}.", database)});
    Refused(row);
    return false;
  }
  const std::uint8_t kind = KindOf(context_.keyspace->promise);
  Executor* executor = door_.ExecutorOf(row, kind, words);
  if (executor == nullptr) {
    reply.Error(RefusalOf(row, kind, door_.HintFor(row, *context_.map)));
    Refused(row);
    return false;
  }
  const std::size_t begin = out_.size();
  node::WriteTicket ticket;
  switch (executor->Begin(context_, words, out_, ticket)) {
    case Step::kDone:
      if (!locals_.empty() && !transaction_.queueing()) EndTransaction();  // DISCARD
      return false;
    case Step::kAcked:
      if (ticket.number != 0) held_.push_back({begin, out_.size(), ticket});
      return false;
    case Step::kSuspend:
      break;
  }
  suspended_in_ = executor;
  suspended_.push_back({context_, OwnedWords(words.begin(), words.end())});
  suspended_at_.push_back(out_.size());
  return true;
}

void Connection::FilterReply(std::size_t begin) {
  if (out_.size() > begin && out_[begin] == '-') ++door_.stats.errors;
  if (reply_mode == ReplyMode::kOn) return;
  if (reply_mode == ReplyMode::kSkipNext) {  // by CLIENT REPLY SKIP itself, which is silent
    reply_mode = ReplyMode::kSkip;
  } else if (reply_mode == ReplyMode::kSkip) {
    reply_mode = ReplyMode::kOn;
  }
  // What SUBSCRIBE and its like tell is a message, as in Redis.
  const bool is_message = last_command != nullptr && (last_command->flags & kPubSub) != 0 &&
                          last_command->id != CommandId::kPublish;
  if (is_message && out_.size() > begin && out_[begin] != '-') return;
  out_.resize(begin);
  while (!held_.empty() && held_.back().begin >= begin) {
    if (held_.back().published) published_.pop_back();
    held_.pop_back();
  }
}

}  // namespace coterie::door::redis
