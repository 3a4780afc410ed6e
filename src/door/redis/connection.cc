#include "door/redis/connection.h"

#include <algorithm>
#include <utility>

#include "door/redis/door_state.h"
#include "node/control.h"

namespace coterie::door::redis {
namespace {

/// A batch in the middle of which a command waits lets earlier replies go after so long.
constexpr Duration kReplyPatience = 2ms;
/// Commands of one connection that wait together.
constexpr std::size_t kTogetherMax = 256;

/// After its last reply a client may go on sending so much for so long, and with such pauses.
constexpr std::size_t kLingerBytesMax = 512u << 20;
constexpr Duration kLingerMax = 60s;
constexpr Duration kLingerPause = 2s;
/// Written at once; then the client is seen to have taken it.
constexpr std::size_t kWriteMax = 1u << 20;

struct Discarding {
  explicit Discarding(runtime::Executor& executor) : ended(executor) {}
  std::size_t bytes = 0;
  bool more = true;
  runtime::Notification ended;
};

runtime::Task<void> Discard(runtime::Stream* stream, Discarding* state) {
  std::vector<char> bytes(InputBuffer::kChunk);
  while (state->bytes < kLingerBytesMax) {
    Result<std::size_t> got = co_await stream->Read(bytes);
    if (!got || *got == 0) break;
    state->bytes += *got;
  }
  state->more = false;
  state->ended.NotifyAll();
}

}  // namespace

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
  door_.output_bytes -= output_accounted_;
  door_.connections.erase(id);
}

void Connection::Close() {
  closing_ = true;
  stream_->Close();
}

void Connection::Drain() {
  closing_ = true;
  if (reading_ && !writing_) stream_->Close();
}

void Connection::Reset() {
  door_.publisher.Forget(*this);
  name.clear();
  reply_mode = ReplyMode::kOn;
  database = 0;
  keyspace_name.clear();
  adjusted_.reset();
  EndTransaction();
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
    if (out_.size() >= limits.batch_bytes_max) return Stop::kBound;
    const auto state = parser_.Next(input_.unread());
    if (state == RequestParser::State::kMore) return Stop::kInputEnd;
    if (state == RequestParser::State::kError) {
      Reply(out_).Error(parser_.error());
      closing_ = lingering_ = true;
      return Stop::kClosing;
    }
    if (!suspended_.empty() && !MayBeginBeside(parser_.words())) return Stop::kSuspended;
    const std::size_t begin = out_.size();
    filtering_ = reply_mode != ReplyMode::kOn;
    const bool suspended = !parser_.words().empty() && BeginOne(parser_.words());
    filtering_ = false;
    input_.Consume(parser_.consumed());
    context_.operation.clear();
    if (!suspended && !parser_.words().empty()) FilterReply(begin);
    if (!pushed_.empty()) out_ += std::exchange(pushed_, {});
  }
  return Stop::kBound;
}

bool Connection::MayBeginBeside(Words words) const {
  if (words.empty() || reply_mode != ReplyMode::kOn) return false;
  // Questions about subscribers are of no keyspace.
  if (suspended_in_ == &door_.subscribers || suspended_.size() >= kTogetherMax) return false;
  const Command* row = FindCommand(words[0]);
  if (row == nullptr || (row->kinds & kDoor) != 0) return false;
  const Context& front = suspended_.front().context;
  if (!suspended_in_->MayJoin(front, *row)) return false;
  // A wrong number of words is answered at once, in its place.
  return !row->AcceptsWords(words.size()) ||
         door_.ExecutorOf(*row, KindOf(front.keyspace->promise), words) == suspended_in_;
}

runtime::Task<void> Connection::RunSuspended() {
  // Owned by this frame: a command may hold on to its keyspace while the connection's map moves on.
  const auto adjusted = adjusted_;
  std::vector<Request> requests = std::exchange(suspended_, {});
  const std::vector<std::size_t> places = std::exchange(suspended_at_, {});
  std::vector<std::string> replies;
  if (requests.size() == 1) {
    std::string reply = co_await suspended_in_->Run(requests[0].context, requests[0].words);
    if (requests[0].context.command->id == CommandId::kExec) {
      std::vector<Local> locals = std::exchange(locals_, {});
      EndTransaction();
      if (!locals.empty()) reply = co_await WithLocals(std::move(reply), std::move(locals));
    }
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
  std::vector<std::uint64_t> elsewhere;
  if (!published_.empty()) {
    std::vector<std::string> names;
    for (const Published& one : published_) names.push_back(one.channel);
    elsewhere = co_await door_.subscribers.Receivers(std::move(names));
  }
  std::string settled;
  std::size_t copied = 0;
  std::size_t published = 0;
  for (std::size_t i = 0; i < held_.size(); ++i) {
    const Held held = held_[i];
    if (held.published) {
      settled.append(out_, copied, held.begin - copied);
      const std::uint64_t took = published_[published].here + elsewhere[published];
      Reply(settled).Integer(static_cast<std::int64_t>(took));
      ++published;
      copied = held.end;
      continue;
    }
    if (door_.options.leaderless->IsAcknowledged(held.ticket)) continue;
    Status status = co_await door_.options.leaderless->Acknowledged(held.ticket, context_.deadline);
    if (status) continue;
    settled.append(out_, copied, held.begin - copied);
    Reply(settled, context_.protocol).Error(status.error());
    ++door_.stats.errors;
    copied = held.end;
  }
  held_.clear();
  published_.clear();
  if (copied == 0) co_return;
  settled.append(out_, copied);
  out_ = std::move(settled);
}

std::size_t Connection::OutputBound() const {
  const RedisDoorLimits& limits = door_.options.limits;
  return door_.output_bytes > limits.all_output_bytes_max ? limits.batch_bytes_max
                                                          : limits.output_bytes_max;
}

void Connection::AccountOutput() {
  const std::size_t now = output_bytes() > kWriteMax ? output_bytes() : 0;
  door_.output_bytes += now;
  door_.output_bytes -= std::exchange(output_accounted_, now);
}

runtime::Task<void> Connection::Settle() {
  if (!held_.empty()) co_await Acknowledge();
  if (outbox_.empty()) {
    outbox_.swap(out_);
  } else {
    outbox_ += out_;
    out_.clear();
  }
  if (outbox_.empty()) co_return;
  if (!writing_) writers_.Spawn(Flush());
  AccountOutput();
  while (!closing_ && output_bytes() > OutputBound()) {
    const bool taken = co_await AwaitTaken();
    if (!taken) break;
  }
}

runtime::Task<bool> Connection::AwaitTaken() {
  const Duration patience = door_.options.limits.output_patience;
  const bool taken = co_await written_.WaitUntil(door_.world.Now() + patience);
  if (taken) co_return true;
  ++door_.stats.untaken;
  door_.world.log().Warn("redis",
                         "client {} at {} took nothing of {} bytes of replies for {} s: "
                         "disconnected",
                         id, peer, output_bytes(),
                         std::chrono::duration_cast<std::chrono::seconds>(patience).count());
  Close();
  co_return false;
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
    const std::string bytes = std::exchange(outbox_, {});
    door_.stats.output_bytes += bytes.size();
    for (sending_bytes_ = bytes.size(); sending_bytes_ > 0;) {
      const std::size_t n = std::min(sending_bytes_, kWriteMax);
      Status written = co_await stream_->Write(bytes.substr(bytes.size() - sending_bytes_, n));
      sending_bytes_ -= n;
      if (written) {
        AccountOutput();
        if (sending_bytes_ > 0) written_.NotifyAll();
        continue;
      }
      sending_bytes_ = 0;
      outbox_.clear();
      Close();
    }
    writing_ = false;
    written_.NotifyAll();
  }
  if (closing_ && reading_) stream_->Close();
}

runtime::Task<void> Connection::FlushPushes() {
  co_await runtime::Yield(door_.world.executor());  // the turn's other messages come along
  push_scheduled_ = false;
  co_await Flush();
}

void Connection::Push(std::string_view message) {
  if (closing_) return;
  if (output_bytes() + message.size() > door_.options.limits.push_bytes_max) {
    ++door_.stats.untaken;
    door_.world.log().Warn("redis", "client {} at {} does not take its messages: disconnected", id,
                           peer);
    outbox_.clear();
    return Close();
  }
  if (filtering_) {
    pushed_ += message;  // not a reply: it is not left out
    return;
  }
  if (!out_.empty()) {
    out_ += message;  // behind the answer to the SUBSCRIBE that it came by
    return;
  }
  outbox_ += message;
  if (push_scheduled_ || writing_) return;  // whoever writes takes this, too
  push_scheduled_ = true;
  writers_.Spawn(FlushPushes());
}

bool Connection::ReserveInput() {
  const std::size_t now = input_.capacity() > InputBuffer::kChunkMax ? input_.capacity() : 0;
  door_.input_bytes += now;
  door_.input_bytes -= std::exchange(input_accounted_, now);
  return now == 0 || door_.input_bytes <= door_.options.limits.input_bytes_max;
}

runtime::Task<void> Connection::Linger() {
  stream_->ShutdownWrite();
  reading_ = true;  // it may be ended
  Discarding state(door_.world.executor());
  runtime::Scope scope;  // destroyed before what its task writes to
  scope.Spawn(Discard(stream_.get(), &state));
  const Instant end = door_.world.Now() + kLingerMax;
  for (std::size_t seen = 0; state.more && door_.world.Now() < end; seen = state.bytes) {
    co_await state.ended.WaitUntil(std::min(door_.world.Now() + kLingerPause, end));
    if (state.bytes == seen) break;
  }
}

runtime::Task<void> Connection::Run() {
  while (!closing_) {
    const std::span<char> room = input_.Room(parser_.wanted());
    if (!ReserveInput()) {
      Reply(out_).Error("ERR input of all clients is over its bound: send less at once");
      lingering_ = true;
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
  while (writing_) {
    const bool taken = co_await AwaitTaken();
    if (!taken) break;
  }
  if (lingering_) co_await Linger();
  stream_->Close();
}

}  // namespace coterie::door::redis
