#include "door/redis/ordered_objects.h"

#include <algorithm>

#include "base/assert.h"

namespace coterie::door::redis::ordered {

View::Object& Objects::FindMutable(std::string_view key) {
  const auto found = objects_.find(key);
  if (found != objects_.end()) return found->second;
  std::string owned(key);
  Object object = Load(owned);
  return objects_.emplace(std::move(owned), std::move(object)).first->second;
}

const View::Object& Objects::Find(std::string_view key) { return FindMutable(key); }

// A string hides a collection of the same name: only an etcd client can have put it there.
View::Object Objects::Load(const std::string& key) {
  Object object;
  std::int64_t belongs_to = Expiry::kCollection;
  auto string = kv_.Get(StringRecord(key));
  if (string) {
    object.type = ObjectType::kString;
    object.value = std::move(string->value);
    belongs_to = string->mod_revision;
  } else {
    const auto record = kv_.Get(HeaderRecord(key));
    if (!record) return object;
    const auto header = DecodeHeader(record->value);
    object.type = header ? header->type : ObjectType::kForeign;
    object.count = header ? static_cast<std::int64_t>(header->count) : 0;
    if (!header) object.value = record->value;
  }
  const auto record = kv_.Get(ExpiryRecord(key));
  if (!record) return object;
  const auto expiry = DecodeExpiry(record->value);
  if (!expiry) return object;
  const std::int64_t owner =
      expiry->belongs_to == Expiry::kSameTransaction ? record->mod_revision : expiry->belongs_to;
  if (owner != belongs_to) return object;  // of an earlier state of the key
  object.expires_at_ms = expiry->at_ms;
  if (!Past(expiry->at_ms)) return object;
  Erase(key);
  return {};
}

void Objects::Erase(const std::string& key) {
  kv_.Erase(StringRecord(key));
  kv_.Erase(ExpiryRecord(key));
  const std::string header = HeaderRecord(key);
  if (!kv_.Get(header)) return;
  kv_.Erase(header);
  kv_.Erase(ordered::Elements(key));
  kv_.Erase(ordered::Scores(key));
}

void Objects::Remove(std::string_view key) {
  Object& object = FindMutable(key);
  if (object.type == ObjectType::kNone) return;
  Erase(std::string(key));
  object = {};
}

void Objects::PutString(std::string_view key, std::string value, std::uint64_t expires_at_ms) {
  Object& object = FindMutable(key);
  if (Past(expires_at_ms)) return Remove(key);
  if (object.type != ObjectType::kNone && object.type != ObjectType::kString) {
    Erase(std::string(key));
  }
  kv_.Put(StringRecord(key), value);
  const std::string expiry = ExpiryRecord(key);
  if (expires_at_ms != 0) {
    kv_.Put(expiry, EncodeExpiry({.at_ms = expires_at_ms}));
  } else if (kv_.Get(expiry)) {
    kv_.Erase(expiry);
  }
  object = {ObjectType::kString, std::move(value), 0, expires_at_ms};
}

void Objects::SetExpiry(std::string_view key, std::uint64_t expires_at_ms) {
  Object& object = FindMutable(key);
  if (object.type == ObjectType::kNone) return;
  if (Past(expires_at_ms)) return Remove(key);
  object.expires_at_ms = expires_at_ms;
  const std::string record = ExpiryRecord(key);
  if (expires_at_ms == 0) {
    if (kv_.Get(record)) kv_.Erase(record);
    return;
  }
  Expiry expiry{.at_ms = expires_at_ms, .belongs_to = Expiry::kCollection};
  if (object.type == ObjectType::kString) {
    const auto string = kv_.Get(StringRecord(key));
    expiry.belongs_to = string ? string->mod_revision : 0;  // 0, too, if it is put just now
  }
  kv_.Put(record, EncodeExpiry(expiry));
}

// The last element takes the header and the expiry with it.
void Objects::WriteHeader(std::string_view key, const Object& object) {
  if (object.count > 0) {
    kv_.Put(HeaderRecord(key),
            EncodeHeader({object.type, static_cast<std::uint64_t>(object.count)}));
    return;
  }
  kv_.Erase(HeaderRecord(key));
  if (kv_.Get(ExpiryRecord(key))) kv_.Erase(ExpiryRecord(key));
}

std::optional<std::string> Objects::Get(std::string_view key, std::string_view element) {
  if (Find(key).count == 0) return std::nullopt;
  auto found = kv_.Peek(ElementRecord(key, element));
  if (!found) return std::nullopt;
  return std::move(found->value);
}

std::vector<Objects::Element> Objects::Elements(std::string_view key,
                                                std::optional<std::string_view> after,
                                                std::size_t max) {
  std::vector<Element> out;
  if (Find(key).count == 0) return out;
  KeyRange range = ordered::Elements(key);
  if (after) range.begin = ElementRecord(key, *after) + '\0';
  auto entries = kv_.Scan(range, max);
  out.reserve(entries.size());
  for (auto& entry : entries) {
    out.emplace_back(std::string(ElementOf(key, entry.record)), std::move(entry.value));
  }
  return out;
}

std::optional<Objects::Element> Objects::Draw(std::string_view key) {
  constexpr std::size_t kEvenlyMax = 512;
  constexpr std::size_t kFewMax = 64;
  const std::int64_t count = Find(key).count;
  const std::string root = ordered::Elements(key).begin;
  std::string prefix = root;
  auto found = kv_.Scan(WithPrefix(prefix),
                        static_cast<std::size_t>(count) <= kEvenlyMax ? kEvenlyMax : kFewMax);
  while (found.size() == kFewMax) {
    // The bytes that follow the prefix; none: an element ends here.
    std::vector<std::optional<unsigned char>> next;
    std::string from = prefix;
    const KeyRange range = WithPrefix(prefix);
    for (;;) {
      const auto first = kv_.Scan({from, range.end}, 1);
      if (first.empty()) break;
      if (first.front().record == prefix) {
        next.push_back(std::nullopt);
        from = prefix + '\0';
        continue;
      }
      next.push_back(static_cast<unsigned char>(first.front().record[prefix.size()]));
      if (*next.back() == 0xff) break;
      from = prefix + static_cast<char>(*next.back() + 1);
    }
    if (next.empty()) break;
    const auto drawn = next[random().Below(next.size())];
    if (!drawn) {
      found.resize(1);
      break;
    }
    prefix += static_cast<char>(*drawn);
    found = kv_.Scan(WithPrefix(prefix), kFewMax);
  }
  if (found.empty()) return std::nullopt;  // the count was not ours
  auto& entry = found[random().Below(found.size())];
  return Element{std::string(ElementOf(key, entry.record)), std::move(entry.value)};
}

bool Objects::Put(std::string_view key, ObjectType type, std::string_view element,
                  std::string value) {
  Object& object = FindMutable(key);
  COT_ASSERT(object.type == ObjectType::kNone || object.type == type);
  const std::string record = ElementRecord(key, element);
  const bool fresh = object.count == 0 || !kv_.Peek(record);
  object.type = type;
  object.count += fresh ? 1 : 0;
  kv_.Put(record, std::move(value));
  WriteHeader(key, object);
  return fresh;
}

bool Objects::Remove(std::string_view key, std::string_view element) {
  Object& object = FindMutable(key);
  if (object.count == 0) return false;
  const std::string record = ElementRecord(key, element);
  if (!kv_.Peek(record)) return false;
  kv_.Erase(record);
  --object.count;
  WriteHeader(key, object);
  if (object.count == 0) object = {};
  return true;
}

std::optional<double> Objects::Score(std::string_view key, std::string_view member) {
  const auto value = Get(key, member);
  if (!value) return std::nullopt;
  return DecodeScore(*value);
}

bool Objects::PutScore(std::string_view key, std::string_view member, double score) {
  const auto old = Score(key, member);
  if (old) {
    if (*old == score) return false;
    kv_.Erase(ScoreRecord(key, *old, member));
  }
  kv_.Put(ScoreRecord(key, score, member), "");
  return Put(key, ObjectType::kSortedSet, member, EncodeScore(score));
}

bool Objects::RemoveMember(std::string_view key, std::string_view member) {
  const auto old = Score(key, member);
  if (!old) return false;
  kv_.Erase(ScoreRecord(key, *old, member));
  return Remove(key, member);
}

std::vector<Scored> Objects::Scores(std::string_view key, std::string from, std::string to,
                                    std::size_t max) {
  std::vector<Scored> out;
  if (Find(key).count == 0) return out;
  KeyRange range = ordered::Scores(key);
  if (!from.empty()) range.begin = std::move(from);
  if (!to.empty()) range.end = std::move(to);
  if (range.begin >= range.end) return out;
  const auto entries = kv_.Scan(range, max);
  out.reserve(entries.size());
  for (const auto& entry : entries) out.push_back(ScoredOf(key, entry.record));
  return out;
}

std::size_t Objects::Rank(std::string_view key, double score, std::string_view member) {
  return kv_.Count({ordered::Scores(key).begin, ScoreRecord(key, score, member)});
}

std::vector<std::string> Objects::KeysIn(KeyRange range, std::optional<std::string> after,
                                         std::size_t max) {
  if (after) range.begin = std::max(range.begin, *after + '\0');
  std::vector<std::string> out;
  const bool open = range.end == PlainStrings().end;
  if (!open && range.begin >= range.end) return out;
  for (auto& entry : kv_.Scan(range, max)) out.push_back(std::move(entry.record));
  return out;
}

// Reads what says that a key may have expired, and then those keys alone.
void Objects::DropExpired(std::vector<std::string>& keys) {
  if (keys.empty()) return;
  const KeyRange range{ExpiryRecord(keys.front()), ExpiryRecord(keys.back()) + '\0'};
  for (const auto& entry : kv_.Scan(range, 0)) {
    const auto expiry = DecodeExpiry(entry.value);
    if (!expiry || !Past(expiry->at_ms)) continue;
    const std::string key = KeyOfExpiry(entry.record);
    if (Find(key).type == ObjectType::kNone) std::erase(keys, key);
  }
}

// Keys come from three runs of records: their union, in the order of the keys.
Objects::Page Objects::Keys(std::optional<std::string> after, std::size_t max) {
  std::vector<std::string> candidates;
  const bool escaped = !after || after->empty() || after->front() == '\0';
  const std::size_t each = max + 1;
  if (escaped) {
    std::optional<std::string> from;
    if (after) from = StringRecord(*after);
    for (const auto& record : KeysIn(EscapedStrings(), from, each)) {
      auto key = KeyOfString(record);
      if (key) candidates.push_back(std::move(*key));
    }
  }
  for (auto& record : KeysIn(PlainStrings(), escaped ? std::nullopt : after, each)) {
    candidates.push_back(std::move(record));
  }
  std::optional<std::string> from;
  if (after) from = HeaderRecord(*after);
  for (const auto& record : KeysIn(Headers(), from, each)) {
    candidates.push_back(KeyOfHeader(record));
  }
  std::ranges::sort(candidates);
  candidates.erase(std::ranges::unique(candidates).begin(), candidates.end());
  Page page;
  if (candidates.size() > max) {
    candidates.resize(max);
    page.next = candidates.back();
  }
  DropExpired(candidates);
  page.keys = std::move(candidates);
  return page;
}

std::size_t Objects::KeyCount() {
  return kv_.Count(PlainStrings()) + kv_.Count(EscapedStrings()) + kv_.Count(Headers());
}

void Objects::Flush() {
  kv_.Erase(KeyRange{std::string(1, '\0'), std::string(1, '\0')});
  objects_.clear();
}

// Before Find, which removes what has expired: that alone does not make another version of it.
Objects::Version Objects::VersionOf(std::string_view key) {
  const Version version{kv_.Revision(StringRecord(key)), kv_.Revision(HeaderRecord(key)),
                        kv_.Revision(ExpiryRecord(key)), true};
  if (Find(key).type != ObjectType::kNone) return version;
  // Made and removed again since it was watched, it has changed: the client may have seen it.
  return {kv_.LastChange(StringRecord(key)), kv_.LastChange(HeaderRecord(key)),
          kv_.LastChange(ExpiryRecord(key)), false};
}

}  // namespace coterie::door::redis::ordered
