#include "door/redis/connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "door/redis/door_state.h"
#include "door/redis/text.h"
#include "node/control.h"

namespace coterie::door::redis {
namespace {

/// A batch in the middle of which a command waits lets earlier replies go after so long.
constexpr Duration kReplyPatience = 2ms;
/// Commands of one connection that wait together.
constexpr std::size_t kTogetherMax = 256;

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

}  // namespace

void InputBuffer::Consume(std::size_t n) {
  begin_ += n;
  COT_ASSERT(begin_ <= end_);
  if (begin_ == end_) begin_ = end_ = 0;
}

std::span<char> InputBuffer::Room(std::size_t wanted) {
  const std::size_t size = end_ - begin_;
  std::size_t capacity = std::max(capacity_, kChunk);
  if (size == 0 && (capacity > kChunkMax || last_read_ < capacity / 8)) capacity = kChunk;
  if (last_read_ * 2 > capacity && capacity < kChunkMax) capacity *= 2;
  // What a request claims is believed only as far as it has come.
  if (wanted > capacity) capacity = std::max(capacity, std::min(wanted, 2 * size + kChunk));
  if (size + 1 > capacity) capacity = 2 * size;
  if (capacity != capacity_) {
    auto bytes = std::make_unique_for_overwrite<char[]>(capacity);
    if (size > 0) std::memcpy(bytes.get(), bytes_.get() + begin_, size);
    bytes_ = std::move(bytes);
    capacity_ = capacity;
  } else if (begin_ > 0 && size > 0) {
    std::memmove(bytes_.get(), bytes_.get() + begin_, size);
  }
  begin_ = 0;
  end_ = size;
  return {bytes_.get() + end_, capacity_ - end_};
}

Connection::Connection(DoorState& door, std::uint64_t the_id,
                       std::unique_ptr<runtime::Stream> stream)
    : id(the_id),
      since(door.world.Now()),
      peer(runtime::ToText(stream->peer())),
      last_command_at(since),
      door_(door),
      stream_(std::move(stream)),
      parser_({.bulk_bytes_max = door.options.limits.bulk_bytes_max,
               .request_bytes_max = 4 * door.options.limits.bulk_bytes_max}),
      written_(door.world.executor()) {
  door_.connections.emplace(id, this);
}

Connection::~Connection() {
  door_.publisher.Forget(*this);
  door_.input_bytes -= input_accounted_;
  door_.connections.erase(id);
}

void Connection::Close() {
  closing_ = true;
  stream_->Close();
}

void Connection::Drain() {
  closing_ = true;
  if (reading_) stream_->Close();
}

void Connection::Reset() {
  door_.publisher.Forget(*this);
  name.clear();
  reply_mode = ReplyMode::kOn;
  database = 0;
  keyspace_name.clear();
  adjusted_.reset();
  transaction_.Reset();
  context_ = Context{};
}

void Connection::RefreshKeyspace() {
  placement::ClusterMapPtr map = door_.options.control->map();
  if (context_.keyspace != nullptr && map == context_.map) return;
  context_.map = std::move(map);
  context_.keyspace = keyspace_name.empty() ? context_.map->FindDatabase(database)
                                            : context_.map->Find(keyspace_name);
  SetQuorums(context_.read, context_.write);
}

void Connection::SetQuorums(std::uint32_t read, std::uint32_t write) {
  context_.read = read;
  context_.write = write;
  if (context_.keyspace == nullptr) return;
  const std::string_view of = context_.keyspace->promise.name;
  const placement::Keyspace* declared = context_.map->Find(of);
  adjusted_.reset();
  context_.keyspace = declared;
  if (declared == nullptr || (read == 0 && write == 0)) return;
  auto adjusted = std::make_shared<placement::Keyspace>(*declared);
  if (read > 0) adjusted->promise.read = read;
  if (write > 0) adjusted->promise.write = write;
  adjusted_ = std::move(adjusted);
  context_.keyspace = adjusted_.get();
}

bool Connection::SelectDatabase(std::uint32_t to) {
  placement::ClusterMapPtr map = door_.options.control->map();
  if (map->FindDatabase(to) == nullptr) return false;
  database = to;
  keyspace_name.clear();
  context_.keyspace = nullptr;
  context_.read = context_.write = 0;
  return true;
}

bool Connection::UseKeyspace(std::string_view to) {
  placement::ClusterMapPtr map = door_.options.control->map();
  const placement::Keyspace* keyspace = map->Find(to);
  if (keyspace == nullptr) return false;
  database = keyspace->promise.redis_database;
  keyspace_name = to;
  context_.keyspace = nullptr;
  context_.read = context_.write = 0;
  return true;
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
  if (!Admits(row, words, reply)) {
    transaction_.OnRefused();
    return false;
  }
  last_command = row;
  context_.command = row;
  context_.transaction = &transaction_;
  if ((row->kinds & kDoor) == 0) return BeginOnKeyspace(*row, words, reply);
  if (transaction_.Refuses(*row, reply)) return false;
  if (RunDoorCommand(door_, *this, words, reply)) return false;
  // COTERIE ID: the rest of the words are a command of their own.
  if (!context_.operation.empty()) return BeginOne(words.subspan(3));
  return BeginOnKeyspace(*row, words, reply);
}

bool Connection::BeginOnKeyspace(const Command& row, Words words, Reply& reply) {
  RefreshKeyspace();
  if (context_.keyspace == nullptr) {
    reply.Error(Error{ErrorCode::kNoKeyspace, Outcome::kNotApplied,
                      fmt::format("No keyspace has database {}.", database)});
    transaction_.OnRefused();
    return false;
  }
  const std::uint8_t kind = KindOf(context_.keyspace->promise);
  Executor* executor = door_.ExecutorOf(row, kind, words);
  if (executor == nullptr) {
    reply.Error(RefusalOf(row, kind, door_.HintFor(row, *context_.map)));
    transaction_.OnRefused();
    return false;
  }
  const std::size_t begin = out_.size();
  node::WriteTicket ticket;
  switch (executor->Begin(context_, words, out_, ticket)) {
    case Step::kDone:
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
  out_.resize(begin);
  while (!held_.empty() && held_.back().begin >= begin) held_.pop_back();
}

Connection::Stop Connection::RunBatch() {
  const Stop stop = BeginAll();
  return suspended_.empty() ? stop : Stop::kSuspended;
}

Connection::Stop Connection::BeginAll() {
  const RedisDoorLimits& limits = door_.options.limits;
  last_command_at = door_.world.Now();
  context_.deadline = last_command_at + limits.request_timeout;
  if (out_.empty()) unsent_since_ = last_command_at;
  for (std::size_t begun = 0; begun < limits.batch_commands_max; ++begun) {
    if (closing_) return Stop::kClosing;
    if (out_.size() + outbox_.size() >= limits.batch_bytes_max) return Stop::kBound;
    const auto state = parser_.Next(input_.unread());
    if (state == RequestParser::State::kMore) return Stop::kInputEnd;
    if (state == RequestParser::State::kError) {
      Reply(out_).Error(parser_.error());
      closing_ = true;
      return Stop::kClosing;
    }
    if (!suspended_.empty() && !MayBeginBeside(parser_.words())) return Stop::kSuspended;
    const std::size_t begin = out_.size();
    const bool suspended = !parser_.words().empty() && BeginOne(parser_.words());
    input_.Consume(parser_.consumed());
    context_.operation.clear();
    if (!suspended && !parser_.words().empty()) FilterReply(begin);
  }
  return Stop::kBound;
}

bool Connection::MayBeginBeside(Words words) const {
  if (words.empty() || reply_mode != ReplyMode::kOn) return false;
  if (suspended_.size() >= kTogetherMax) return false;
  const Command* row = FindCommand(words[0]);
  if (row == nullptr || (row->kinds & kDoor) != 0) return false;
  const Context& front = suspended_.front().context;
  return door_.ExecutorOf(*row, KindOf(front.keyspace->promise), words) == suspended_in_ &&
         suspended_in_->MayJoin(front, *row);
}

runtime::Task<void> Connection::RunSuspended() {
  // Owned by this frame: a command may hold on to its keyspace while the connection's map moves on.
  const auto adjusted = adjusted_;
  std::vector<Request> requests = std::exchange(suspended_, {});
  const std::vector<std::size_t> places = std::exchange(suspended_at_, {});
  std::vector<std::string> replies;
  if (requests.size() == 1) {
    std::string reply = co_await suspended_in_->Run(requests[0].context, requests[0].words);
    replies.push_back(std::move(reply));
  } else {
    replies = co_await suspended_in_->RunTogether(std::move(requests));
  }
  const bool silent = reply_mode != ReplyMode::kOn;
  if (reply_mode == ReplyMode::kSkip) reply_mode = ReplyMode::kOn;
  std::string merged;
  std::size_t copied = 0;
  for (std::size_t i = 0; i < replies.size(); ++i) {
    if (replies[i].starts_with('-')) ++door_.stats.errors;
    merged.append(out_, copied, places[i] - copied);
    if (!silent) merged += replies[i];
    copied = places[i];
  }
  merged.append(out_, copied);
  out_ = std::move(merged);
}

runtime::Task<void> Connection::Acknowledge() {
  std::string settled;
  std::size_t copied = 0;
  for (std::size_t i = 0; i < held_.size(); ++i) {
    const Held held = held_[i];
    if (door_.options.leaderless->IsAcknowledged(held.ticket)) continue;
    Status status = co_await door_.options.leaderless->Acknowledged(held.ticket, context_.deadline);
    if (status) continue;
    settled.append(out_, copied, held.begin - copied);
    Reply(settled, context_.protocol).Error(status.error());
    ++door_.stats.errors;
    copied = held.end;
  }
  held_.clear();
  if (copied == 0) co_return;
  settled.append(out_, copied);
  out_ = std::move(settled);
}

runtime::Task<void> Connection::Settle() {
  if (!held_.empty()) co_await Acknowledge();
  if (outbox_.empty()) {
    outbox_.swap(out_);
  } else {
    outbox_ += out_;
    out_.clear();
  }
  if (!outbox_.empty()) co_await Flush();
}

runtime::Task<void> Connection::SettleEarlier() {
  const std::size_t first = suspended_at_.front();
  if (first == 0) co_return;
  const std::string rest = out_.substr(first);
  out_.resize(first);
  co_await Settle();
  out_.insert(0, rest);
  for (std::size_t& place : suspended_at_) place -= first;
}

runtime::Task<void> Connection::Flush() {
  while (writing_) co_await written_.Wait();
  while (!outbox_.empty()) {
    writing_ = true;
    std::string bytes = std::exchange(outbox_, {});
    door_.stats.output_bytes += bytes.size();
    Status written = co_await stream_->Write(std::move(bytes));
    writing_ = false;
    written_.NotifyAll();
    if (written) continue;
    closing_ = true;
    outbox_.clear();
  }
}

runtime::Task<void> Connection::FlushPushes() {
  co_await runtime::Yield(door_.world.executor());  // the turn's other messages come along
  push_scheduled_ = false;
  co_await Flush();
}

void Connection::Push(std::string_view message) {
  if (closing_) return;
  if (output_bytes() + message.size() > door_.options.limits.push_bytes_max) {
    door_.world.log().Warn("redis", "client {} at {} does not take its messages: disconnected", id,
                           peer);
    outbox_.clear();
    return Close();
  }
  if (!out_.empty()) {
    out_ += message;  // behind the answer to the SUBSCRIBE that it came by
    return;
  }
  outbox_ += message;
  if (push_scheduled_ || writing_) return;  // whoever writes takes this, too
  push_scheduled_ = true;
  pushes_.Spawn(FlushPushes());
}

bool Connection::ReserveInput() {
  const std::size_t now = input_.capacity() > InputBuffer::kChunkMax ? input_.capacity() : 0;
  door_.input_bytes += now;
  door_.input_bytes -= std::exchange(input_accounted_, now);
  return now == 0 || door_.input_bytes <= door_.options.limits.input_bytes_max;
}

runtime::Task<void> Connection::Run() {
  while (!closing_) {
    const std::span<char> room = input_.Room(parser_.wanted());
    if (!ReserveInput()) {
      Reply(out_).Error("ERR input of all clients is over its bound: send less at once");
      co_await Settle();
      break;
    }
    reading_ = true;
    Result<std::size_t> got = co_await stream_->Read(room);
    reading_ = false;
    if (!got || *got == 0) break;
    input_.Commit(*got);
    door_.stats.input_bytes += *got;
    for (Stop stop = Stop::kBound; stop != Stop::kInputEnd && stop != Stop::kClosing;) {
      stop = RunBatch();
      if (stop == Stop::kSuspended) {
        const bool overdue = door_.world.Now() - unsent_since_ > kReplyPatience;
        if (overdue) co_await SettleEarlier();
        co_await RunSuspended();
        continue;
      }
      co_await Settle();
      if (stop == Stop::kBound) co_await runtime::Yield(door_.world.executor());
    }
  }
  if (!out_.empty()) co_await Settle();
  stream_->Close();
}

}  // namespace coterie::door::redis
