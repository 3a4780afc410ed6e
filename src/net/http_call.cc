#include <array>

#include "net/http.h"
#include "net/http1.h"
#include "runtime/sync.h"

namespace coterie::net {
namespace {

constexpr std::size_t kAnswerHeaderBytesMax = 64u << 10;
constexpr std::size_t kAnswerBodyBytesMax = 64u << 20;

Result<HttpResponse> ToResponse(Http1Message message) {
  HttpResponse response;
  response.status = message.status;
  response.content_type.clear();
  for (const auto& [name, value] : message.headers) {
    if (name == "content-type") response.content_type = value;
  }
  response.body = std::move(message.body);
  return response;
}

runtime::Task<Result<HttpResponse>> Exchange(std::unique_ptr<runtime::Stream> stream,
                                             HttpRequest request, std::string host) {
  const bool head = request.method == "HEAD";
  Status written = co_await stream->Write(EncodeHttp1Request(request, host));
  if (!written) co_return std::unexpected(std::move(written.error()));
  Http1Parser parser(Http1Parser::Role::kClient, kAnswerHeaderBytesMax, kAnswerBodyBytesMax);
  if (head) parser.ExpectNoBody();
  std::array<char, 16384> buffer;
  for (;;) {
    const Result<std::size_t> count = co_await stream->Read(std::span<char>(buffer));
    if (!count) co_return FailUnknown(count.error().code, count.error().message);
    if (*count == 0) {
      parser.End();
    } else {
      parser.Feed({buffer.data(), *count});
    }
    std::expected<std::optional<Http1Message>, int> next = parser.Next();
    if (!next) co_return FailUnknown(ErrorCode::kMalformed, "not an HTTP/1.1 answer");
    if (*next) co_return ToResponse(std::move(**next));
    if (*count == 0)
      co_return FailUnknown(ErrorCode::kMalformed, "the connection ended within the answer");
  }
}

}  // namespace

runtime::Task<Result<HttpResponse>> HttpCall(runtime::World& world, runtime::Address to,
                                             HttpRequest request, Instant deadline) {
  const Duration left = deadline - world.Now();
  if (left <= Duration::zero()) co_return Fail(ErrorCode::kTimedOut, "the deadline had passed");
  std::string host = ToText(to);
  Result<std::unique_ptr<runtime::Stream>> stream =
      co_await world.network().Connect(std::move(to), left);
  if (!stream) co_return std::unexpected(std::move(stream.error()));
  std::optional<Result<HttpResponse>> answer = co_await runtime::WithDeadline(
      world.executor(), Exchange(std::move(*stream), std::move(request), std::move(host)),
      deadline);
  if (!answer) co_return FailUnknown(ErrorCode::kTimedOut, "no answer before the deadline");
  co_return std::move(*answer);
}

}  // namespace coterie::net
