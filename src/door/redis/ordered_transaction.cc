#include "door/redis/ordered_transaction.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "base/coding.h"
#include "door/redis/ordered_transaction_state.h"
#include "door/redis/text.h"

namespace coterie::door::redis {

Transaction::Transaction() : state_(std::make_unique<State>()) {}
Transaction::~Transaction() = default;

bool Transaction::queueing() const { return state_->open; }
std::size_t Transaction::queued() const { return state_->queued.size(); }
void Transaction::OnRefused() { state_->aborted = state_->open; }
void Transaction::Reset() { state_->Close(); }

bool Transaction::Refuses(const Command& command, Reply& reply) {
  if (!state_->open || command.id == CommandId::kQuit || command.id == CommandId::kReset) {
    return false;
  }
  OnRefused();
  reply.Error(fmt::format("ERR {} is not served inside MULTI", ToUpper(command.name)));
  return true;
}

bool Transaction::State::Begin(const Context& context, Words words, Reply& reply) {
  switch (context.command->id) {
    case CommandId::kMulti:
      if (open) {
        reply.Error("ERR MULTI calls can not be nested");
      } else {
        open = true;
        reply.Ok();
      }
      return true;
    case CommandId::kDiscard:
      if (open) {
        Close();
        reply.Ok();
      } else {
        reply.Error("ERR DISCARD without MULTI");
      }
      return true;
    case CommandId::kExec:
      if (open) return false;
      reply.Error("ERR EXEC without MULTI");
      return true;
    case CommandId::kWatch:
      if (!open) return false;
      reply.Error("ERR WATCH inside MULTI is not allowed");
      return true;
    case CommandId::kUnwatch:
      if (open) break;
      watched.clear();
      reply.Ok();
      return true;
    default:
      if (!open) return false;
      break;
  }
  Queue(context, words, reply);
  return true;
}

void Transaction::State::Queue(const Context& context, Words words, Reply& reply) {
  std::size_t size = 0;
  for (const auto word : words) size += word.size();
  if (ordered::HandlerOf(context.command->id) == nullptr) {
    aborted = true;
    return reply.Error(
        fmt::format("ERR {} is not served inside MULTI", ToUpper(context.command->name)));
  }
  if (queued.size() == kCommandsMax || bytes + size > kBytesMax) {
    aborted = true;
    return reply.Error(fmt::format("ERR a transaction may have {} commands and {} bytes",
                                   kCommandsMax, kBytesMax));
  }
  bytes += size;
  queued.push_back({context.command, OwnedWords(words.begin(), words.end())});
  reply.Simple("QUEUED");
}

namespace ordered {
namespace {

constexpr std::size_t kVersionParts = 4;

bool DecodeCommand(std::string_view& bytes, Job& job) {
  const auto size = GetVarint(bytes);
  if (!size || *size == 0) return false;
  QueuedCommand queued;
  for (std::uint64_t i = 0; i < *size; ++i) {
    const auto word = GetLengthPrefixed(bytes);
    if (!word) return false;
    queued.words.emplace_back(*word);
  }
  queued.command = FindCommand(queued.words.front());
  if (queued.command == nullptr || HandlerOf(queued.command->id) == nullptr) return false;
  job.commands.push_back(std::move(queued));
  return true;
}

}  // namespace

std::string EncodeVersion(const Objects::Version& version) {
  std::string out;
  for (const std::int64_t part : {version.string, version.header, version.expiry}) {
    PutVarint(out, static_cast<std::uint64_t>(part));
  }
  PutVarint(out, version.exists ? 1 : 0);
  return out;
}

std::optional<Objects::Version> DecodeVersion(std::string_view bytes) {
  std::int64_t parts[kVersionParts];
  for (std::int64_t& part : parts) {
    const auto number = GetVarint(bytes);
    if (!number) return std::nullopt;
    part = static_cast<std::int64_t>(*number);
  }
  return Objects::Version{parts[0], parts[1], parts[2], parts[3] != 0};
}

std::string EncodeExec(const std::vector<QueuedCommand>& commands,
                       const std::vector<Watched>& watched) {
  std::string out;
  PutVarint(out, watched.size());
  for (const Watched& one : watched) {
    PutLengthPrefixed(out, one.key);
    PutLengthPrefixed(out, EncodeVersion(one.version));
  }
  PutVarint(out, commands.size());
  for (const QueuedCommand& queued : commands) {
    PutVarint(out, queued.words.size());
    for (const std::string& word : queued.words) PutLengthPrefixed(out, word);
  }
  return out;
}

bool DecodeExec(std::string_view bytes, Job& job) {
  const auto watched = GetVarint(bytes);
  if (!watched) return false;
  for (std::uint64_t i = 0; i < *watched; ++i) {
    const auto key = GetLengthPrefixed(bytes);
    const auto encoded = key ? GetLengthPrefixed(bytes) : std::nullopt;
    const auto version = encoded ? DecodeVersion(*encoded) : std::nullopt;
    if (!version) return false;
    job.watched.push_back({std::string(*key), *version});
  }
  const auto commands = GetVarint(bytes);
  if (!commands) return false;
  for (std::uint64_t i = 0; i < *commands; ++i) {
    if (!DecodeCommand(bytes, job)) return false;
  }
  job.exec = true;
  return bytes.empty();
}

}  // namespace ordered
}  // namespace coterie::door::redis
