#include "sim/redis_client.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>

#include "runtime/sync.h"

namespace coterie::sim {
namespace {

using runtime::Task;

constexpr int kDepthMax = 8;

std::optional<std::int64_t> ParseInteger(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

enum class Parsed { kWhole, kMore, kMalformed };

Parsed Parse(std::string_view& in, RedisReply& out, int depth);

Parsed ParseItems(std::string_view& in, std::int64_t count, RedisReply& out, int depth) {
  if (count > 100'000) return Parsed::kMalformed;
  for (std::int64_t i = 0; i < count; ++i) {
    RedisReply item;
    const Parsed parsed = Parse(in, item, depth + 1);
    if (parsed != Parsed::kWhole) return parsed;
    out.items.push_back(std::move(item));
  }
  return Parsed::kWhole;
}

Parsed Parse(std::string_view& in, RedisReply& out, int depth) {
  const std::size_t end = in.find("\r\n");
  if (end == std::string_view::npos) return Parsed::kMore;
  if (end == 0 || depth > kDepthMax) return Parsed::kMalformed;
  const char type = in[0];
  const std::string_view line = in.substr(1, end - 1);
  in.remove_prefix(end + 2);
  if (type == '+' || type == '-') {
    out.kind = type == '+' ? RedisReply::Kind::kSimple : RedisReply::Kind::kError;
    out.text = line;
    return Parsed::kWhole;
  }
  const std::optional<std::int64_t> number = ParseInteger(line);
  if (!number) return Parsed::kMalformed;
  switch (type) {
    case ':':
      out.kind = RedisReply::Kind::kInteger;
      out.integer = *number;
      return Parsed::kWhole;
    case '$':
      if (*number < 0) return Parsed::kWhole;
      if (in.size() < static_cast<std::size_t>(*number) + 2) return Parsed::kMore;
      out.kind = RedisReply::Kind::kBulk;
      out.text = in.substr(0, static_cast<std::size_t>(*number));
      in.remove_prefix(static_cast<std::size_t>(*number) + 2);
      return Parsed::kWhole;
    case '*':
      if (*number < 0) return Parsed::kWhole;
      out.kind = RedisReply::Kind::kArray;
      return ParseItems(in, *number, out, depth);
    default:
      return Parsed::kMalformed;
  }
}

std::string Encode(const std::vector<std::string>& words) {
  std::string out = fmt::format("*{}\r\n", words.size());
  for (const std::string& word : words) out += fmt::format("${}\r\n{}\r\n", word.size(), word);
  return out;
}

}  // namespace

RedisClient::RedisClient(runtime::World& world, runtime::Address endpoint, std::uint32_t database)
    : world_(world), endpoint_(std::move(endpoint)), database_(database) {}
RedisClient::~RedisClient() = default;

Task<Result<RedisReply>> RedisClient::Command(std::vector<std::string> words, Duration timeout) {
  auto answer = co_await runtime::WithDeadline(world_.executor(), Talk(std::move(words), timeout),
                                               world_.Now() + timeout);
  if (!answer) {
    stream_.reset();
    co_return FailUnknown(ErrorCode::kTimedOut, "no reply");
  }
  if (!*answer) stream_.reset();
  co_return std::move(*answer);
}

Task<Result<RedisReply>> RedisClient::Talk(std::vector<std::string> words, Duration timeout) {
  if (stream_ == nullptr) {
    buffer_.clear();
    COT_CO_ASSIGN(stream_, co_await world_.network().Connect(endpoint_, timeout));
    std::vector<std::string> select = {"SELECT", fmt::format("{}", database_)};
    auto selected = co_await Ask(std::move(select));
    // The command itself was not sent yet.
    if (!selected) co_return Fail(ErrorCode::kConnectFailed, Describe(selected.error()));
    if (selected->kind == RedisReply::Kind::kError) {
      stream_.reset();
      co_return Fail(ErrorCode::kConnectFailed, selected->text);
    }
  }
  co_return co_await Ask(std::move(words));
}

Task<Result<RedisReply>> RedisClient::Ask(std::vector<std::string> words) {
  const Status written = co_await stream_->Write(Encode(words));
  if (!written) co_return FailUnknown(ErrorCode::kConnectionClosed, Describe(written.error()));
  char part[4096];
  for (;;) {
    RedisReply reply;
    std::string_view rest = buffer_;
    const Parsed parsed = Parse(rest, reply, 0);
    if (parsed == Parsed::kWhole) {
      buffer_.erase(0, buffer_.size() - rest.size());
      co_return reply;
    }
    if (parsed == Parsed::kMalformed) {
      co_return FailUnknown(ErrorCode::kMalformed, "the reply is not RESP");
    }
    const Result<std::size_t> got = co_await stream_->Read(part);
    if (!got) co_return FailUnknown(ErrorCode::kConnectionClosed, Describe(got.error()));
    if (*got == 0) co_return FailUnknown(ErrorCode::kConnectionClosed, "the node hung up");
    buffer_.append(part, *got);
  }
}

}  // namespace coterie::sim
