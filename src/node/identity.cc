#include "node/identity.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>
#include <utility>

#include "node/join.h"

namespace coterie::node {
namespace {

constexpr std::string_view kMagic = "coterie-data ";
constexpr std::size_t kBirthsBytesMax = 4u << 20;  // of 65535 nodes

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

std::optional<std::uint64_t> ParseHex(std::string_view text) {
  std::uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number, 16);
  if (text.size() != 16 || parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return number;
}

std::string TextOf(const std::string& cluster, const Identity& identity) {
  std::string ids;
  for (const NodeId id : identity.founders) {
    if (!ids.empty()) ids += ' ';
    ids += std::to_string(id.value);
  }
  return fmt::format(
      "{}{}\ncluster {}\ncluster-id {:016x}\nnode {}\nname {}\nbirth {:016x}\nincarnation {}\n"
      "founders {}\n",
      kMagic, kDataFormatVersion, cluster, identity.cluster_id, identity.node.value, identity.name,
      identity.birth, identity.incarnation, ids);
}

/// What follows the first line; nullopt: damaged. `cluster`: the owner's name.
std::optional<Identity> ParseIdentity(std::string_view rest, std::uint64_t format,
                                      std::string& cluster) {
  const bool drawn = format >= 2;
  const auto owner = TakeLine(rest, "cluster ");
  const auto cluster_id = drawn && owner ? TakeLine(rest, "cluster-id ") : "";
  const auto id = TakeLine(rest, "node ");
  const auto name = drawn && id ? TakeLine(rest, "name ") : "";
  const auto birth = drawn && name ? TakeLine(rest, "birth ") : "";
  const auto incarnation = TakeLine(rest, "incarnation ");
  const auto founders = TakeLine(rest, "founders ");
  if (!owner || !cluster_id || !id || !name || !birth || !incarnation || !founders) return {};
  Identity identity;
  const auto node = ParseNumber(*id);
  const auto start = ParseNumber(*incarnation);
  auto ids = ParseIds(*founders);
  const bool sound = node && *node != 0 && start && ids && rest.empty() &&
                     *start <= std::numeric_limits<std::uint16_t>::max();
  if (!sound) return std::nullopt;
  if (drawn) {
    const auto drawn_id = ParseHex(*cluster_id);
    const auto drawn_birth = ParseHex(*birth);
    if (!drawn_id || *drawn_id == 0 || !drawn_birth || *drawn_birth == 0) return std::nullopt;
    identity.cluster_id = *drawn_id;
    identity.birth = *drawn_birth;
  }
  cluster = *owner;
  identity.node = NodeId(*node);
  identity.name = *name;
  identity.incarnation = static_cast<std::uint16_t>(*start);
  identity.founders = std::move(*ids);
  return identity;
}

}  // namespace

runtime::Task<Result<std::optional<Identity>>> ReadIdentity(runtime::Disk& disk,
                                                            std::string data_dir,
                                                            std::string cluster, NodeId node,
                                                            std::string name) {
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
  std::string owner;
  auto identity = ParseIdentity(rest, *number, owner);
  if (!identity) co_return Fail(ErrorCode::kCorruptState, path);
  if (owner != cluster) {
    co_return Fail(ErrorCode::kForeignData,
                   fmt::format("{} is of cluster '{}', not of '{}'", data_dir, owner, cluster));
  }
  if (node != NodeId() && identity->node != node) {
    co_return Fail(ErrorCode::kForeignData,
                   fmt::format("{} is of node {} of cluster '{}', not of node {}", data_dir,
                               identity->node.value, cluster, node.value));
  }
  if (*number == 1) {  // it had its name from the configuration, and its cluster's id from a name
    identity->name = name;
    identity->cluster_id = NameIdOf(cluster);
  }
  if (identity->name != name) {
    co_return Fail(ErrorCode::kForeignData,
                   fmt::format("{} is of node '{}' of cluster '{}', not of '{}': a copy, or a "
                               "changed name",
                               data_dir, identity->name, cluster, name));
  }
  co_return std::move(*identity);
}

runtime::Task<Result<Identity>> BeginIncarnation(runtime::Disk& disk, std::string data_dir,
                                                 std::string cluster, Identity identity) {
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

runtime::Task<Result<std::unique_ptr<KnownBirths>>> KnownBirths::Open(runtime::World* world,
                                                                      std::string data_dir) {
  std::unique_ptr<KnownBirths> known(new KnownBirths(*world, data_dir + "/births"));
  COT_CO_ASSIGN(const bool exists, co_await world->disk().Exists(known->path_));
  if (!exists) co_return known;
  COT_CO_ASSIGN(const std::string content,
                co_await runtime::ReadFile(world->disk(), known->path_, kBirthsBytesMax));
  std::string_view rest = content;
  while (!rest.empty()) {
    const auto line = TakeLine(rest, "");
    const std::size_t space = line ? line->find(' ') : std::string_view::npos;
    const bool split = space != std::string_view::npos;
    const auto id = split ? ParseNumber(line->substr(0, space)) : std::nullopt;
    const auto birth = split ? ParseHex(line->substr(space + 1)) : std::nullopt;
    if (!id || !birth) co_return Fail(ErrorCode::kCorruptState, known->path_);
    known->births_[NodeId(*id)] = *birth;
  }
  co_return known;
}

runtime::Task<Status> KnownBirths::Learn(NodeId node, std::uint64_t birth) {
  if (birth == 0) co_return Ok();  // an earlier version's
  while (writing_) co_await written_.Wait();
  const auto known = births_.find(node);
  if (known != births_.end()) {
    if (known->second == birth) co_return Ok();
    co_return Fail(ErrorCode::kForgottenNode, fmt::format("node {}", node.value));
  }
  births_[node] = birth;
  std::string content;
  for (const auto& [id, number] : births_) content += fmt::format("{} {:016x}\n", id.value, number);
  struct Writing {
    KnownBirths& known;
    explicit Writing(KnownBirths& k) : known(k) { known.writing_ = true; }
    ~Writing() {
      known.writing_ = false;
      known.written_.NotifyAll();
    }
  } writing(*this);
  Status written = co_await runtime::ReplaceFile(world_.disk(), path_, std::move(content));
  if (!written) births_.erase(node);
  co_return written;
}

}  // namespace coterie::node
