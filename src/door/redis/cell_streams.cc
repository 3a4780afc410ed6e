#include <fmt/format.h>

#include <limits>

#include "door/redis/cell_call.h"
#include "door/redis/text.h"

namespace coterie::door::redis::cell_streams {
namespace {

using cells::StreamEntry;
using cells::StreamId;

constexpr cells::ObjectType kType = cells::ObjectType::kStream;
constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();
constexpr StreamId kLast{kMax, kMax};
constexpr std::string_view kBadId = "ERR Invalid stream ID specified as stream command argument";

std::optional<std::uint64_t> Unsigned(std::string_view text) {
  std::uint64_t value = 0;
  if (text.empty() || text.size() > 20) return std::nullopt;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    if (__builtin_mul_overflow(value, std::uint64_t{10}, &value)) return std::nullopt;
    if (__builtin_add_overflow(value, static_cast<std::uint64_t>(c - '0'), &value))
      return std::nullopt;
  }
  return value;
}

/// "ms-sequence", or "ms" with `sequence` for the rest.
std::optional<StreamId> ParseId(std::string_view text, std::uint64_t sequence) {
  const std::size_t dash = text.find('-');
  const auto ms = Unsigned(text.substr(0, dash));
  if (!ms) return std::nullopt;
  if (dash == std::string_view::npos) return StreamId{*ms, sequence};
  const auto given = Unsigned(text.substr(dash + 1));
  if (!given) return std::nullopt;
  return StreamId{*ms, *given};
}

std::string ToText(StreamId id) { return fmt::format("{}-{}", id.ms, id.sequence); }

std::optional<StreamId> Next(StreamId id) {
  if (id.sequence < kMax) return StreamId{id.ms, id.sequence + 1};
  if (id.ms < kMax) return StreamId{id.ms + 1, 0};
  return std::nullopt;
}
std::optional<StreamId> Previous(StreamId id) {
  if (id.sequence > 0) return StreamId{id.ms, id.sequence - 1};
  if (id.ms > 0) return StreamId{id.ms - 1, kMax};
  return std::nullopt;
}

/// A bound of XRANGE: "-", "+", "id", "(id". nullopt: the error is in the reply.
std::optional<StreamId> ParseBound(CellCall& call, std::string_view text, bool start) {
  if (text == "-") return StreamId{};
  if (text == "+") return kLast;
  const bool excluded = text.starts_with('(');
  const auto id = ParseId(excluded ? text.substr(1) : text, start ? 0 : kMax);
  if (!id) {
    call.reply.Error(kBadId);
    return std::nullopt;
  }
  if (!excluded) return id;
  const auto moved = start ? Next(*id) : Previous(*id);
  if (!moved)
    call.reply.Error(fmt::format("ERR invalid {} ID for the interval", start ? "start" : "end"));
  return moved;
}

/// The last id that nothing older can still arrive before. Ids begin with the hybrid time of their
/// making, so all of a stable time are in place.
StreamId StableEnd(CellCall& call, const placement::Shard& shard) {
  const clock::HybridTime stable = call.leaderless.StableTime(shard);
  const StreamId end{clock::PhysicalMs(stable), (stable.value & 0xffff) << 48};
  return Previous(end).value_or(StreamId{});
}

void WriteEntry(const StreamEntry& entry, Reply& reply) {
  reply.Array(2);
  reply.Bulk(ToText(entry.id));
  reply.Array(2 * entry.fields.size());
  for (const auto& [name, value] : entry.fields) {
    reply.Bulk(name);
    reply.Bulk(value);
  }
}

/// Entries of [first, last], at most `count` (0: all), as an array.
std::size_t WriteEntries(CellCall& call, std::string_view key, StreamId first, StreamId last,
                         bool reverse, std::uint64_t count) {
  std::size_t n = 0;
  call.Counted(&Reply::Array, [&] {
    call.store.VisitStream(call.IdOf(key), key, first, last, reverse,
                           [&](const StreamEntry& entry) {
                             WriteEntry(entry, call.reply);
                             ++n;
                             return count == 0 || n < count;
                           });
    return n;
  });
  return n;
}

struct Trim {
  std::optional<std::uint64_t> max_length;
  std::optional<StreamId> min_id;
  std::uint64_t at_once = kMax;  ///< LIMIT: removed by one command
  /// Whether not even the newest entry is kept.
  bool Drops(StreamId newest) const { return max_length == 0 || (min_id && newest < *min_id); }
};

struct AddOptions {
  bool make_stream = true;
  Trim trim;
  std::size_t fields_at = 0;
};

/// `MAXLEN|MINID [=|~] threshold [LIMIT n]` at words[i]; moves `i` to its last word.
bool ParseTrim(CellCall& call, std::size_t& i, Trim& trim) {
  const bool by_length = IsWord(call[i], "maxlen");
  if (trim.max_length || trim.min_id) {
    call.reply.Error(
        "ERR syntax error, MAXLEN and MINID options at the same time are not compatible");
    return false;
  }
  bool about = false;
  if (i + 1 < call.size() && (call[i + 1] == "=" || call[i + 1] == "~")) about = call[++i] == "~";
  if (++i >= call.size()) {
    call.SyntaxError();
    return false;
  }
  if (by_length) {
    const auto length = call.Integer(i);
    if (!length) return false;
    if (*length < 0) {
      call.reply.Error("ERR The MAXLEN argument must be >= 0.");
      return false;
    }
    trim.max_length = static_cast<std::uint64_t>(*length);
  } else {
    trim.min_id = ParseId(call[i], 0);
    if (!trim.min_id) {
      call.reply.Error(kBadId);
      return false;
    }
  }
  if (i + 2 >= call.size() || !IsWord(call[i + 1], "limit")) return true;
  i += 2;
  const auto limit = call.Integer(i);
  if (!limit) return false;
  if (*limit < 0) {
    call.reply.Error("ERR The LIMIT argument must be >= 0.");
  } else if (!about) {
    call.reply.Error("ERR syntax error, LIMIT cannot be used without the special ~ option");
  } else {
    if (*limit > 0) trim.at_once = static_cast<std::uint64_t>(*limit);
    return true;
  }
  return false;
}

std::optional<AddOptions> ParseAdd(CellCall& call) {
  AddOptions options;
  std::size_t i = 2;
  for (; i < call.size(); ++i) {
    if (IsWord(call[i], "nomkstream")) {
      options.make_stream = false;
    } else if (IsWord(call[i], "maxlen") || IsWord(call[i], "minid")) {
      if (!ParseTrim(call, i, options.trim)) return std::nullopt;
    } else {
      break;
    }
  }
  if (i < call.size() && call[i] != "*") {
    if (ParseId(call[i], 0) || call[i].ends_with("-*")) {
      call.RefuseOption(
          "an id of its own",
          "needs every replica to agree that no greater one was given: give * and take "
          "the id that is answered");
    } else {
      call.reply.Error(kBadId);
    }
    return std::nullopt;
  }
  options.fields_at = i + 1;
  if (options.fields_at + 1 >= call.size() || (call.size() - options.fields_at) % 2 != 0) {
    call.reply.Error("ERR wrong number of arguments for 'xadd' command");
    return std::nullopt;
  }
  return options;
}

/// The oldest entries seen here that are beyond what is to be kept. What another replica adds at
/// the same time stays: a bound on a stream holds up to what is in flight.
std::vector<StreamId> Beyond(CellCall& call, const Trim& trim) {
  std::vector<StreamId> beyond;
  if (!trim.max_length && !trim.min_id) return beyond;
  const ShardId shard = call.IdOf(call[1]);
  const std::uint64_t size = call.store.Size(shard, call[1], kType) + 1;  // with the new one
  const std::uint64_t kept = trim.max_length.value_or(kMax);
  call.store.VisitStream(shard, call[1], {}, kLast, false, [&](const StreamEntry& entry) {
    const bool too_many = size - beyond.size() > kept;
    const bool too_old = trim.min_id && entry.id < *trim.min_id;
    if (!too_many && !too_old) return false;
    beyond.push_back(entry.id);
    return beyond.size() < trim.at_once;
  });
  return beyond;
}

}  // namespace

void XAdd(CellCall& call) {
  const auto options = ParseAdd(call);
  if (!options || !call.Expect(call.IdOf(call[1]), call[1], kType)) return;
  const bool there = call.store.TypeOf(call.IdOf(call[1]), call[1]) == kType;
  if (!there && !options->make_stream) return call.reply.Null();
  std::vector<std::pair<std::string, std::string>> fields;
  for (std::size_t i = options->fields_at; i + 1 < call.size(); i += 2)
    fields.emplace_back(call[i], call[i + 1]);
  StreamId id;
  const auto make = [&](cells::Edit& edit) {
    const std::vector<StreamId> beyond = Beyond(call, options->trim);
    const std::size_t removed = beyond.size();
    for (const StreamId old : beyond) edit.StreamRemove(call[1], old);
    id = edit.StreamAdd(call[1], fields);
    const bool may_drop = removed < options->trim.at_once;
    if (may_drop && options->trim.Drops(id)) edit.StreamRemove(call[1], id);
  };
  if (call.Write(call[1], make)) call.reply.Bulk(ToText(id));
}

void XLen(CellCall& call) {
  const ShardId shard = call.IdOf(call[1]);
  if (!call.Expect(shard, call[1], kType)) return;
  call.reply.Integer(static_cast<std::int64_t>(call.store.Size(shard, call[1], kType)));
}

void XRange(CellCall& call) {
  const bool reverse = call.context.command->id == CommandId::kXrevrange;
  const auto first = ParseBound(call, reverse ? call[3] : call[2], true);
  if (!first) return;
  const auto last = ParseBound(call, reverse ? call[2] : call[3], false);
  if (!last) return;
  std::uint64_t count = 0;
  if (call.size() > 4) {
    if (call.size() != 6 || !IsWord(call[4], "count")) return call.SyntaxError();
    const auto given = call.Integer(5);
    if (!given) return;
    if (*given <= 0) return call.reply.Array(0);
    count = static_cast<std::uint64_t>(*given);
  }
  if (!call.Expect(call.IdOf(call[1]), call[1], kType)) return;
  WriteEntries(call, call[1], *first, *last, reverse, count);
}

void XRead(CellCall& call) {
  std::uint64_t count = 0;
  std::size_t i = 1;
  for (; i < call.size() && !IsWord(call[i], "streams"); i += 2) {
    if (i + 1 >= call.size()) return call.SyntaxError();
    if (IsWord(call[i], "block"))
      return call.RefuseOption(
          "BLOCK", "is not served: ask again after a pause, from the last id that was answered");
    if (!IsWord(call[i], "count")) return call.SyntaxError();
    const auto given = call.Integer(i + 1);
    if (!given) return;
    count = *given > 0 ? static_cast<std::uint64_t>(*given) : 0;
  }
  if (i >= call.size()) return call.SyntaxError();
  const std::size_t rest = call.size() - i - 1;
  if (rest == 0 || rest % 2 != 0)
    return call.reply.Error(
        "ERR Unbalanced XREAD list of streams: for each stream key an ID or "
        "'$' must be specified.");
  const Words keys = call.words.subspan(i + 1, rest / 2);
  const Words ids = call.words.subspan(i + 1 + rest / 2);
  std::vector<std::optional<StreamId>> from;  // nullopt: '$', which nothing is behind by now
  for (std::size_t k = 0; k < keys.size(); ++k) {
    if (!call.Expect(call.IdOf(keys[k]), keys[k], kType)) return;
    const auto id = ParseId(ids[k], 0);
    if (!id && ids[k] != "$") return call.reply.Error(kBadId);
    from.push_back(id ? Next(*id) : std::nullopt);
  }
  std::string& out = call.reply.out();
  const std::size_t begin = out.size();
  std::size_t streams = 0;
  for (std::size_t k = 0; k < keys.size(); ++k) {
    if (!from[k]) continue;
    const StreamId last = call.context.fresh ? kLast : StableEnd(call, call.ShardOf(keys[k]));
    const std::size_t before = out.size();
    if (call.reply.protocol() < 3) call.reply.Array(2);
    call.reply.Bulk(keys[k]);
    const std::size_t found =
        *from[k] <= last ? WriteEntries(call, keys[k], *from[k], last, false, count) : 0;
    if (found > 0) {
      ++streams;
    } else {
      out.resize(before);
    }
  }
  if (streams == 0) return call.reply.NullArray();
  std::string header;
  Reply first(header, call.reply.protocol());
  if (call.reply.protocol() >= 3) {
    first.Map(streams);
  } else {
    first.Array(streams);
  }
  out.insert(begin, header);
}

void XDel(CellCall& call) {
  const ShardId shard = call.IdOf(call[1]);
  if (!call.Expect(shard, call[1], kType)) return;
  if (call.store.TypeOf(shard, call[1]) != kType) return call.reply.Integer(0);
  std::vector<StreamId> ids;
  for (const std::string_view text : call.words.subspan(2)) {
    const auto id = ParseId(text, 0);
    if (!id) return call.reply.Error(kBadId);
    ids.push_back(*id);
  }
  std::int64_t removed = 0;
  const auto make = [&](cells::Edit& edit) {
    for (const StreamId id : ids) removed += edit.StreamRemove(call[1], id);
  };
  if (call.Write(call[1], make)) call.reply.Integer(removed);
}

}  // namespace coterie::door::redis::cell_streams
