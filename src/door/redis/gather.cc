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

/// The size of the encoded element at the front of `in`.
std::optional<std::size_t> ElementSize(std::string_view in) {
  std::string_view rest = in;
  if (in.starts_with("$")) {
    const auto size = Header(rest, '$');
    if (!size || *size < -1) return std::nullopt;
    const std::size_t header = in.size() - rest.size();
    if (*size == -1) return header;
    const std::size_t body = static_cast<std::size_t>(*size) + 2;
    return rest.size() < body ? std::nullopt : std::optional(header + body);
  }
  if (!in.starts_with(":") && !in.starts_with("_")) return std::nullopt;
  const std::size_t end = in.find("\r\n");
  return end == std::string_view::npos ? std::nullopt : std::optional(end + 2);
}

}  // namespace

std::optional<std::vector<std::string_view>> ElementsOf(std::string_view reply) {
  const auto count = Header(reply, '*');
  if (!count) return std::nullopt;
  std::vector<std::string_view> elements;
  for (std::int64_t i = 0; i < *count; ++i) {
    const auto size = ElementSize(reply);
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
