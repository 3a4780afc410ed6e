#include "door/redis/gather.h"

#include "door/redis/text.h"

namespace coterie::door::redis {
namespace {

/// The number of "<type><number>\r\n" at the front of `in`, which it steps over.
std::optional<std::int64_t> Header(std::string_view& in, char type) {
  if (in.empty() || in.front() != type) return std::nullopt;
  const std::size_t end = in.find("\r\n");
  if (end == std::string_view::npos) return std::nullopt;
  const auto number = ParseInteger(in.substr(1, end - 1));
  in.remove_prefix(end + 2);
  return number;
}

/// The size of the encoded element at the front of `in`, which has at most `depth` more levels.
std::optional<std::size_t> ElementSize(std::string_view in, int depth) {
  const std::size_t end = in.find("\r\n");
  if (end == std::string_view::npos || depth == 0) return std::nullopt;
  std::string_view rest = in;
  const char type = in.front();
  switch (type) {
    case '+':
    case '-':
    case ':':
    case '_':
    case ',':
    case '#':
    case '(':
      return end + 2;
    case '$':
    case '=': {
      const auto size = Header(rest, type);
      if (!size || *size < -1) return std::nullopt;
      const std::size_t body = *size == -1 ? 0 : static_cast<std::size_t>(*size) + 2;
      return rest.size() < body ? std::nullopt : std::optional(end + 2 + body);
    }
    case '*':
    case '~':
    case '%': {
      const auto count = Header(rest, type);
      if (!count || *count < -1 || *count > INT32_MAX) return std::nullopt;
      std::size_t size = end + 2;
      for (std::int64_t i = 0; i < (type == '%' ? 2 * *count : *count); ++i) {
        const auto element = ElementSize(in.substr(size), depth - 1);
        if (!element) return std::nullopt;
        size += *element;
      }
      return size;
    }
    default:
      return std::nullopt;
  }
}

}  // namespace

std::optional<std::vector<std::string_view>> ElementsOf(std::string_view reply) {
  const auto count = Header(reply, '*');
  if (!count || *count < 0) return std::nullopt;
  std::vector<std::string_view> elements;
  for (std::int64_t i = 0; i < *count; ++i) {
    const auto size = ElementSize(reply, kArrayDepthMax);
    if (!size) return std::nullopt;
    elements.push_back(reply.substr(0, *size));
    reply.remove_prefix(*size);
  }
  return elements;
}

std::string_view BytesOf(std::string_view bulk) {
  const auto size = Header(bulk, '$');
  if (!size || *size < 0 || bulk.size() < static_cast<std::size_t>(*size)) return {};
  return bulk.substr(0, static_cast<std::size_t>(*size));
}

std::optional<std::int64_t> IntegerOf(std::string_view reply) { return Header(reply, ':'); }

}  // namespace coterie::door::redis
