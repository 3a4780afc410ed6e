#include "cli/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "cli/keyspace_text.h"

namespace coterie::cli {
namespace {

using node::NodeConfig;

std::unexpected<Error> Bad(std::string message) {
  return Fail(ErrorCode::kInvalidConfig, std::move(message));
}

/// A decimal number and the text behind it.
struct NumberAndUnit {
  std::uint64_t number;
  std::string_view unit;
};

Result<NumberAndUnit> SplitNumber(std::string_view text) {
  std::uint64_t number = 0;
  const char* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, number);
  if (error == std::errc::result_out_of_range) return Bad("the number is too large");
  if (error != std::errc{}) return Bad("it must start with a number");
  return NumberAndUnit{number, std::string_view(end, static_cast<std::size_t>(last - end))};
}

Result<std::uint64_t> ParseCount(std::string_view text) {
  COT_ASSIGN(const NumberAndUnit parts, SplitNumber(text));
  if (!parts.unit.empty()) return Bad("it must be a whole number without a unit");
  return parts.number;
}

Result<bool> ParseBool(std::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  return Bad("it must be true or false");
}

/// Names become parts of file names, log lines and URLs.
Status CheckName(std::string_view text) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  };
  if (text.empty() || text.size() > 63) return Bad("it must have 1 to 63 characters");
  if (!std::ranges::all_of(text, plain)) {
    return Bad("only letters, digits, '-', '_' and '.' may stand in it");
  }
  return Ok();
}

Status SetAddress(std::string_view text, runtime::Address& address) {
  Result<runtime::Address> parsed = runtime::ParseAddress(text);
  if (!parsed) return Bad("it must be an address and a port, such as 127.0.0.1:2379");
  address = std::move(*parsed);
  return Ok();
}

template <std::uint64_t kLow, std::uint64_t kHigh, class T>
Status SetBytes(std::string_view text, T& field) {
  COT_ASSIGN(const std::uint64_t bytes, ParseBytes(text));
  if (bytes < kLow || bytes > kHigh) {
    return Bad(fmt::format("it must be from {} to {}", BytesText(kLow), BytesText(kHigh)));
  }
  field = static_cast<T>(bytes);
  return Ok();
}

template <std::int64_t kLowMs, std::int64_t kHighMs>
Status SetDuration(std::string_view text, Duration& field) {
  constexpr Duration kLow = std::chrono::milliseconds(kLowMs);
  constexpr Duration kHigh = std::chrono::milliseconds(kHighMs);
  COT_ASSIGN(const Duration duration, ParseDuration(text));
  if (duration < kLow || duration > kHigh) {
    return Bad(fmt::format("it must be from {} to {}", DurationText(kLow), DurationText(kHigh)));
  }
  field = duration;
  return Ok();
}

template <std::uint64_t kLow, std::uint64_t kHigh>
Status SetCount(std::string_view text, std::uint64_t& field) {
  COT_ASSIGN(const std::uint64_t count, ParseCount(text));
  if (count < kLow || count > kHigh) {
    return Bad(fmt::format("it must be from {} to {}", kLow, kHigh));
  }
  field = count;
  return Ok();
}

Status SetLogLevel(std::string_view text, LogLevel& level) {
  for (const LogLevel l : {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarn, LogLevel::kError}) {
    if (text == NameOf(l)) {
      level = l;
      return Ok();
    }
  }
  return Bad("it must be debug, info, warn or error");
}

/// A list with commas, each item read by `parse`.
template <class Item>
Status SetList(std::string_view text, std::vector<Item>& items,
               Result<Item> (*parse)(std::string_view)) {
  items.clear();
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    Result<Item> item = parse(text.substr(0, comma));
    if (!item) return std::unexpected(std::move(item.error()));
    items.push_back(std::move(*item));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return Ok();
}

template <class Item>
std::string ListText(const std::vector<Item>& items, std::string (*text_of)(const Item&)) {
  std::string text;
  for (const Item& item : items) {
    if (!text.empty()) text += ',';
    text += text_of(item);
  }
  return text;
}

Result<runtime::Address> ParsePeer(std::string_view text) {
  runtime::Address address;
  COT_TRY(SetAddress(text, address));
  return address;
}
std::string PeerText(const runtime::Address& address) { return ToText(address); }

Status SetDomain(std::string_view text, std::string& domain) {
  if (!text.empty()) COT_TRY(CheckName(text));
  domain = text;
  return Ok();
}

constexpr std::string_view kNoDoor = "none";

Status SetDoor(std::string_view text, runtime::Address& address) {
  address = {};
  return text == kNoDoor ? Ok() : SetAddress(text, address);
}
std::string DoorText(const runtime::Address& address) {
  return address.port == 0 && address.host.empty() ? std::string(kNoDoor) : ToText(address);
}

// The table below is read by people: one row a setting.
using Text = std::string_view;
constexpr std::uint64_t kKiB = 1024;
constexpr std::uint64_t kMiB = 1024 * kKiB;
constexpr std::uint64_t kGiB = 1024 * kMiB;

constexpr std::array kSettings = {
    Setting{"id", "NUMBER", "this node's number in the cluster, from 1",
            [](Text t, NodeConfig& c) { return SetCount<1, 1'000'000>(t, c.id.value); },
            [](const NodeConfig& c) { return fmt::to_string(c.id.value); }},
    Setting{"name", "NAME", "this node's name",
            [](Text t, NodeConfig& c) {
              c.name = t;
              return CheckName(t);
            },
            [](const NodeConfig& c) { return c.name; }},
    Setting{"cluster", "NAME", "the cluster's name; nodes of another cluster are not heard",
            [](Text t, NodeConfig& c) {
              c.cluster = t;
              return CheckName(t);
            },
            [](const NodeConfig& c) { return c.cluster; }},
    Setting{"data_dir", "PATH", "where this node keeps its log and its state",
            [](Text t, NodeConfig& c) {
              c.data_dir = t;
              return t.empty() ? Status(Bad("it must name a directory")) : Ok();
            },
            [](const NodeConfig& c) { return c.data_dir; }},
    Setting{"etcd_listen", "HOST:PORT", "where etcd clients are served",
            [](Text t, NodeConfig& c) { return SetAddress(t, c.etcd_listen); },
            [](const NodeConfig& c) { return ToText(c.etcd_listen); }},
    Setting{"redis_listen", "HOST:PORT|none", "where Redis clients are served",
            [](Text t, NodeConfig& c) { return SetDoor(t, c.redis_listen); },
            [](const NodeConfig& c) { return DoorText(c.redis_listen); }},
    Setting{"admin_listen", "HOST:PORT", "where status, health and metrics are served",
            [](Text t, NodeConfig& c) { return SetAddress(t, c.admin_listen); },
            [](const NodeConfig& c) { return ToText(c.admin_listen); }},
    Setting{"peer_listen", "HOST:PORT", "where the other nodes are heard",
            [](Text t, NodeConfig& c) { return SetAddress(t, c.peer_listen); },
            [](const NodeConfig& c) { return ToText(c.peer_listen); }},
    Setting{"members", "ID/NAME/PEER/ETCD[/REDIS/ADMIN/DOMAIN],...",
            "every node of a new cluster, this one included (empty: this node alone)",
            [](Text t, NodeConfig& c) { return SetList(t, c.members, ParseMember); },
            [](const NodeConfig& c) { return ListText(c.members, MemberText); }},
    Setting{"join", "HOST:PORT,...",
            "peer addresses of a running cluster that this node joins, instead of id and members",
            [](Text t, NodeConfig& c) { return SetList(t, c.join, ParsePeer); },
            [](const NodeConfig& c) { return ListText(c.join, PeerText); }},
    Setting{"failure_domain", "NAME",
            "machines that fail together share it (empty: this one fails by itself)",
            [](Text t, NodeConfig& c) { return SetDomain(t, c.failure_domain); },
            [](const NodeConfig& c) { return c.failure_domain; }},
    Setting{"default_keyspaces", "NAME:PART=VALUE:...,...",
            "made beside main when the cluster is new; parts as of `keyspace create`",
            [](Text t, NodeConfig& c) { return SetList(t, c.default_keyspaces, ParseKeyspace); },
            [](const NodeConfig& c) { return ListText(c.default_keyspaces, KeyspaceText); }},
    Setting{"demo", "true|false", "whether faults may be injected",
            [](Text t, NodeConfig& c) -> Status {
              COT_ASSIGN(c.demo, ParseBool(t));
              return Ok();
            },
            [](const NodeConfig& c) { return std::string(c.demo ? "true" : "false"); }},
    Setting{"heartbeat_interval", "DURATION", "how often a leader is heard when it has no news",
            [](Text t, NodeConfig& c) { return SetDuration<1, 10'000>(t, c.heartbeat_interval); },
            [](const NodeConfig& c) { return DurationText(c.heartbeat_interval); }},
    Setting{"election_timeout", "DURATION", "silence after which a leader is taken for dead",
            [](Text t, NodeConfig& c) { return SetDuration<10, 60'000>(t, c.election_timeout); },
            [](const NodeConfig& c) { return DurationText(c.election_timeout); }},
    Setting{"request_timeout", "DURATION", "of a request that names no deadline",
            [](Text t, NodeConfig& c) { return SetDuration<100, 300'000>(t, c.request_timeout); },
            [](const NodeConfig& c) { return DurationText(c.request_timeout); }},
    Setting{"request_bytes_max", "BYTES", "the largest write that is taken",
            [](Text t, NodeConfig& c) { return SetBytes<kKiB, 32 * kMiB>(t, c.request_bytes_max); },
            [](const NodeConfig& c) { return BytesText(c.request_bytes_max); }},
    Setting{"watch_progress_interval", "DURATION",
            "how often a quiet etcd watcher that asked for it hears how far it is",
            [](Text t, NodeConfig& c) {
              return SetDuration<100, 86'400'000>(t, c.watch_progress_interval);
            },
            [](const NodeConfig& c) { return DurationText(c.watch_progress_interval); }},
    Setting{"wal_segment_bytes", "BYTES", "the size of one file of the write-ahead log",
            [](Text t, NodeConfig& c) { return SetBytes<kMiB, 4 * kGiB>(t, c.wal_segment_bytes); },
            [](const NodeConfig& c) { return BytesText(c.wal_segment_bytes); }},
    Setting{"log_entries_kept", "COUNT", "kept behind a snapshot for followers that lag",
            [](Text t, NodeConfig& c) { return SetCount<0, 100'000'000>(t, c.log_entries_kept); },
            [](const NodeConfig& c) { return fmt::to_string(c.log_entries_kept); }},
    Setting{"snapshot_every_entries", "COUNT", "entries applied between two snapshots",
            [](Text t, NodeConfig& c) {
              return SetCount<10, 100'000'000>(t, c.snapshot_every_entries);
            },
            [](const NodeConfig& c) { return fmt::to_string(c.snapshot_every_entries); }},
    Setting{
        "engine_cache_bytes", "BYTES", "memory for blocks read from disk",
        [](Text t, NodeConfig& c) { return SetBytes<kMiB, 1024 * kGiB>(t, c.engine_cache_bytes); },
        [](const NodeConfig& c) { return BytesText(c.engine_cache_bytes); }},
    Setting{
        "engine_memtable_bytes", "BYTES", "memory for writes not yet in a table",
        [](Text t, NodeConfig& c) { return SetBytes<kMiB, 4 * kGiB>(t, c.engine_memtable_bytes); },
        [](const NodeConfig& c) { return BytesText(c.engine_memtable_bytes); }},
    Setting{"log_level", "LEVEL", "debug, info, warn or error",
            [](Text t, NodeConfig& c) { return SetLogLevel(t, c.log_level); },
            [](const NodeConfig& c) { return std::string(NameOf(c.log_level)); }},
};

/// Damerau's distance with adjacent swaps (optimal string alignment), three rows at a time.
std::size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) above[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replace = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, replace});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, above);
    std::swap(above, row);
  }
  return above[b.size()];
}

}  // namespace

std::span<const Setting> Settings() { return kSettings; }

const Setting* FindSetting(std::string_view name) {
  const auto* row = std::ranges::find(kSettings, name, &Setting::name);
  return row == kSettings.end() ? nullptr : row;
}

std::vector<std::string_view> SettingNames() {
  std::vector<std::string_view> names;
  for (const Setting& setting : kSettings) names.push_back(setting.name);
  return names;
}

std::string_view NearestName(std::string_view wrong, std::span<const std::string_view> names) {
  constexpr std::size_t kLengthMax = 64;  // the distance costs length times length
  if (wrong.size() > kLengthMax) return "";
  std::string_view nearest;
  std::size_t fewest = std::numeric_limits<std::size_t>::max();
  for (const std::string_view name : names) {
    const std::size_t edits = EditDistance(wrong, name);
    if (edits <= std::max<std::size_t>(name.size() / 3, 1) && edits < fewest) {
      fewest = edits;
      nearest = name;
    }
  }
  return nearest;
}

Result<std::uint64_t> ParseBytes(std::string_view text) {
  COT_ASSIGN(const NumberAndUnit parts, SplitNumber(text));
  std::uint64_t scale = 0;
  if (parts.unit.empty() || parts.unit == "B") scale = 1;
  if (parts.unit == "KiB") scale = kKiB;
  if (parts.unit == "MiB") scale = kMiB;
  if (parts.unit == "GiB") scale = kGiB;
  if (scale == 0) return Bad("the unit must be B, KiB, MiB or GiB");
  if (parts.number > std::numeric_limits<std::uint64_t>::max() / scale) {
    return Bad("the number is too large");
  }
  return parts.number * scale;
}

Result<Duration> ParseDuration(std::string_view text) {
  COT_ASSIGN(const NumberAndUnit parts, SplitNumber(text));
  std::uint64_t scale_ns = 0;
  if (parts.unit == "us") scale_ns = 1'000;
  if (parts.unit == "ms") scale_ns = 1'000'000;
  if (parts.unit == "s") scale_ns = 1'000'000'000;
  if (parts.unit == "m") scale_ns = 60'000'000'000;
  if (scale_ns == 0) return Bad("it needs a unit: us, ms, s or m");
  if (parts.number > std::numeric_limits<std::int64_t>::max() / scale_ns) {
    return Bad("the number is too large");
  }
  return Duration(static_cast<std::int64_t>(parts.number * scale_ns));
}

std::string BytesText(std::uint64_t bytes) {
  if (bytes != 0 && bytes % kGiB == 0) return fmt::format("{}GiB", bytes / kGiB);
  if (bytes != 0 && bytes % kMiB == 0) return fmt::format("{}MiB", bytes / kMiB);
  if (bytes != 0 && bytes % kKiB == 0) return fmt::format("{}KiB", bytes / kKiB);
  return fmt::format("{}B", bytes);
}

std::string DurationText(Duration duration) {
  const std::int64_t us = duration.count() / 1'000;
  if (us % 1'000 != 0) return fmt::format("{}us", us);
  if (us % 1'000'000 != 0) return fmt::format("{}ms", us / 1'000);
  return fmt::format("{}s", us / 1'000'000);
}

Result<node::MemberConfig> ParseMember(std::string_view text) {
  constexpr std::size_t kNeeded = 4;
  std::array<std::string_view, 7> parts;
  std::size_t count = 0;
  for (bool more = true; more && count < parts.size(); ++count) {
    const std::size_t slash = text.find('/');
    more = slash != std::string_view::npos;
    parts[count] = text.substr(0, slash);
    text.remove_prefix(more ? slash + 1 : text.size());
  }
  if (count < kNeeded || !text.empty()) {
    return Bad(
        "a member is ID/NAME/PEER/ETCD and may go on /REDIS/ADMIN/DOMAIN, such as "
        "1/n1/127.0.0.1:7071/127.0.0.1:2379");
  }
  node::MemberConfig member;
  COT_TRY((SetCount<1, 1'000'000>(parts[0], member.id.value)));
  COT_TRY(CheckName(parts[1]));
  member.name = parts[1];
  COT_TRY(SetAddress(parts[2], member.peer));
  COT_TRY(SetAddress(parts[3], member.etcd));
  if (!parts[4].empty()) COT_TRY(SetAddress(parts[4], member.redis));
  if (!parts[5].empty()) COT_TRY(SetAddress(parts[5], member.admin));
  COT_TRY(SetDomain(parts[6], member.failure_domain));
  return member;
}

std::string MemberText(const node::MemberConfig& member) {
  const auto optional = [](const runtime::Address& address) {
    return address.host.empty() ? std::string() : ToText(address);
  };
  std::string text = fmt::format("{}/{}/{}/{}/{}/{}/{}", member.id.value, member.name,
                                 ToText(member.peer), ToText(member.etcd), optional(member.redis),
                                 optional(member.admin), member.failure_domain);
  while (text.ends_with('/')) text.pop_back();
  return text;
}

}  // namespace coterie::cli
