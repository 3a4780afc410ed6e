#include "node/identity.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>
#include <utility>

namespace coterie::node {
namespace {

constexpr std::string_view kMagic = "coterie-data ";

/// The line after `prefix`, removed from `text`; nullopt if `text` does not begin with `prefix`.
std::optional<std::string_view> TakeLine(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return std::nullopt;
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view line = text.substr(prefix.size(), end - prefix.size());
  text.remove_prefix(end + 1);
  return line;
}

std::optional<std::uint64_t> ParseNumber(std::string_view text) {
  std::uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return number;
}

/// "1 2 3", or nothing.
std::optional<std::vector<NodeId>> ParseIds(std::string_view text) {
  std::vector<NodeId> ids;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    const auto id = ParseNumber(text.substr(0, end));
    if (!id || *id == 0) return std::nullopt;
    ids.push_back(NodeId(*id));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return ids;
}

std::string TextOf(const std::string& cluster, const Identity& identity) {
  std::string ids;
  for (const NodeId id : identity.founders) {
    if (!ids.empty()) ids += ' ';
    ids += std::to_string(id.value);
  }
  return fmt::format("{}{}\ncluster {}\nnode {}\nincarnation {}\nfounders {}\n", kMagic,
                     kDataFormatVersion, cluster, identity.node.value, identity.incarnation, ids);
}

}  // namespace

runtime::Task<Result<std::optional<Identity>>> ReadIdentity(runtime::Disk& disk,
                                                            std::string data_dir,
                                                            std::string cluster) {
  const std::string path = data_dir + "/identity";
  COT_CO_ASSIGN(const bool exists, co_await disk.Exists(path));
  if (!exists) co_return std::nullopt;
  auto content = co_await runtime::ReadFile(disk, path, 4096);
  if (!content && content.error().code == ErrorCode::kTooLarge)
    co_return Fail(ErrorCode::kCorruptState, path);
  if (!content) co_return std::unexpected(std::move(content.error()));
  std::string_view rest = *content;
  const auto version = TakeLine(rest, kMagic);
  if (!version) co_return Fail(ErrorCode::kCorruptState, path);
  const auto number = ParseNumber(*version);
  if (!number || *number < 1) co_return Fail(ErrorCode::kCorruptState, path);
  if (*number > kDataFormatVersion) {
    co_return Fail(ErrorCode::kNewerData,
                   fmt::format("{} has format {}, this version knows up to {}", data_dir, *number,
                               kDataFormatVersion));
  }
  const auto owner = TakeLine(rest, "cluster ");
  const auto id = TakeLine(rest, "node ");
  const auto incarnation = TakeLine(rest, "incarnation ");
  const auto founders = TakeLine(rest, "founders ");
  if (!owner || !id || !incarnation || !founders) co_return Fail(ErrorCode::kCorruptState, path);
  const auto node = ParseNumber(*id);
  const auto start = ParseNumber(*incarnation);
  auto ids = ParseIds(*founders);
  const bool sound = node && *node != 0 && start && ids && rest.empty() &&
                     *start <= std::numeric_limits<std::uint16_t>::max();
  if (!sound) co_return Fail(ErrorCode::kCorruptState, path);
  if (*owner != cluster) {
    co_return Fail(ErrorCode::kForeignData,
                   fmt::format("{} is of cluster '{}', not of '{}'", data_dir, *owner, cluster));
  }
  co_return Identity{NodeId(*node), static_cast<std::uint16_t>(*start), std::move(*ids)};
}

runtime::Task<Result<Identity>> BeginIncarnation(runtime::Disk& disk, std::string data_dir,
                                                 std::string cluster, NodeId node,
                                                 std::vector<NodeId> founders) {
  COT_CO_ASSIGN(auto known, co_await ReadIdentity(disk, data_dir, cluster));
  Identity identity = known ? std::move(*known) : Identity{node, 0, std::move(founders)};
  if (node != NodeId() && identity.node != node) {
    co_return Fail(ErrorCode::kForeignData,
                   fmt::format("{} is of node {} of cluster '{}', not of node {}", data_dir,
                               identity.node.value, cluster, node.value));
  }
  if (identity.node == NodeId()) {
    co_return Fail(ErrorCode::kInvalidConfig, "a new data directory needs the node's id");
  }
  if (identity.incarnation == std::numeric_limits<std::uint16_t>::max()) {
    co_return Fail(ErrorCode::kInvalidConfig,
                   "this node was started 65535 times: remove it, and add a new one in its place");
  }
  ++identity.incarnation;
  const Status begun =
      co_await runtime::ReplaceFile(disk, data_dir + "/identity", TextOf(cluster, identity));
  if (!begun) {
    // A number that nobody has used may be skipped: nothing has happened.
    co_return Fail(begun.error().code, begun.error().message);
  }
  co_return identity;
}

}  // namespace coterie::node
