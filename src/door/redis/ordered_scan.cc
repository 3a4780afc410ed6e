#include "door/redis/ordered_scan.h"

#include <algorithm>
#include <charconv>
#include <utility>
#include <vector>

#include "door/redis/ordered_objects.h"
#include "door/redis/text.h"

namespace coterie::door::redis::ordered {
namespace {

constexpr std::size_t kPage = 1000;

std::optional<std::uint64_t> ParseCursor(std::string_view text) {
  std::uint64_t cursor = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, cursor);
  if (text.empty() || error != std::errc() || at != end) return std::nullopt;
  return cursor;
}

void Scan(const Call& call) {
  const auto request = ParseScan(call, 1, "", true);
  if (!request) return;
  auto page = call.objects().Keys(request->after, static_cast<std::size_t>(request->count));
  std::erase_if(page.keys, [&](const std::string& key) {
    return !request->Matches(key) ||
           (request->type && ToText(call.view.Find(key).type) != *request->type);
  });
  ReplyCursor(call, "", std::move(page.next));
  call.reply.Array(page.keys.size());
  for (const auto& key : page.keys) call.reply.Bulk(key);
}

void Keys(const Call& call) {
  std::vector<std::string> found;
  std::optional<std::string> after;
  do {
    auto page = call.objects().Keys(std::move(after), kPage);
    for (auto& key : page.keys) {
      if (GlobMatch(call[1], key)) found.push_back(std::move(key));
    }
    after = std::move(page.next);
  } while (after);
  call.reply.Array(found.size());
  for (const auto& key : found) call.reply.Bulk(key);
}

void DbSize(const Call& call) {
  call.reply.Integer(static_cast<std::int64_t>(call.objects().KeyCount()));
}

// A draw among all keys would have to count them: it is made among those that follow a place picked
// at random, and so not evenly.
void RandomKey(const Call& call) {
  constexpr std::size_t kAmong = 64;
  const char from[] = {static_cast<char>(call.view.random().Below(128)),
                       static_cast<char>(call.view.random().Below(256))};
  auto keys = call.objects().Keys(std::string(from, sizeof from), kAmong).keys;
  if (keys.empty()) keys = call.objects().Keys(std::nullopt, kAmong).keys;
  if (keys.empty()) return call.reply.Null();
  call.reply.Bulk(keys[call.view.random().Below(keys.size())]);
}

void Flush(const Call& call) {
  const bool known = call.size() == 1 ||
                     (call.size() == 2 && (IsWord(call[1], "sync") || IsWord(call[1], "async")));
  if (!known) return call.SyntaxError();
  call.objects().Flush();
  call.reply.Ok();
}

}  // namespace

bool ScanRequest::Matches(std::string_view name) const {
  return !pattern || GlobMatch(*pattern, name);
}

std::optional<ScanRequest> ParseScan(const Call& call, std::size_t first, std::string_view scan,
                                     bool type_allowed) {
  const auto cursor = ParseCursor(call[first]);
  if (!cursor) return call.reply.Error("ERR invalid cursor"), std::nullopt;
  ScanRequest request;
  for (std::size_t i = first + 1; i < call.size(); i += 2) {
    const std::string_view word = call[i];
    if (i + 1 == call.size()) return call.SyntaxError(), std::nullopt;
    if (IsWord(word, "count")) {
      const auto count = ParseInteger(call[i + 1]);
      if (!count) return call.NotInteger(), std::nullopt;
      if (*count < 1) return call.SyntaxError(), std::nullopt;
      request.count = std::min(*count, ScanRequest::kCountMax);
    } else if (IsWord(word, "match")) {
      request.pattern = std::string(call[i + 1]);
    } else if (type_allowed && IsWord(word, "type")) {
      request.type = ToLower(call[i + 1]);
    } else {
      return call.SyntaxError(), std::nullopt;
    }
  }
  if (*cursor == 0) return request;
  request.after = call.view.cursors().Find(scan, *cursor);
  if (request.after) return request;
  call.reply.Error("ERR that cursor is not kept by this node: begin again at 0");
  return std::nullopt;
}

void ReplyCursor(const Call& call, std::string_view scan, std::optional<std::string> next) {
  call.reply.Array(2);
  call.reply.Bulk(next ? std::to_string(call.view.cursors().Keep(scan, std::move(*next))) : "0");
}

void ScanElements(const Call& call, ObjectType type, std::size_t words_each,
                  const std::function<void(const Objects::Element&)>& reply) {
  const std::string scan = std::string(ToText(type)).append(call[1]);
  const auto request = ParseScan(call, 2, scan, false);
  if (!request || !call.Accepts(call.view.Find(call[1]), type)) return;
  const auto count = static_cast<std::size_t>(request->count);
  auto elements = call.objects().Elements(call[1], request->after, count);
  std::optional<std::string> next;
  if (elements.size() == count) next = elements.back().first;
  std::erase_if(elements, [&](const auto& element) { return !request->Matches(element.first); });
  ReplyCursor(call, scan, std::move(next));
  call.reply.Array(words_each * elements.size());
  for (const auto& element : elements) reply(element);
}

Handler KeyspaceHandler(CommandId id) {
  switch (id) {
    case CommandId::kScan:
      return Scan;
    case CommandId::kKeys:
      return Keys;
    case CommandId::kDbsize:
      return DbSize;
    case CommandId::kRandomkey:
      return RandomKey;
    case CommandId::kFlushdb:
    case CommandId::kFlushall:
      return Flush;
    default:
      return nullptr;
  }
}

}  // namespace coterie::door::redis::ordered
