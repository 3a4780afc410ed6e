#include "node/identity.h"

#include <fmt/format.h>

#include <charconv>

namespace coterie::node {
namespace {

constexpr std::string_view kMagic = "coterie-data ";

/// The line after `prefix`, removed from `text`; nullopt if `text` does not begin with `prefix`.
std::optional<std::string> TakeLine(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return std::nullopt;
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  std::string line(text.substr(prefix.size(), end - prefix.size()));
  text.remove_prefix(end + 1);
  return line;
}

}  // namespace

runtime::Task<Status> CheckIdentity(runtime::Disk& disk, std::string data_dir, std::string cluster,
                                    NodeId node) {
  const std::string path = data_dir + "/identity";
  COT_CO_ASSIGN(const bool exists, co_await disk.Exists(path));
  if (!exists) {
    auto written =
        co_await runtime::ReplaceFile(disk, path,
                                      fmt::format("{}{}\ncluster {}\nnode {}\n", kMagic,
                                                  kDataFormatVersion, cluster, node.value));
    co_return written;
  }
  auto content = co_await runtime::ReadFile(disk, path, 4096);
  if (!content && content.error().code == ErrorCode::kTooLarge)
    co_return Fail(ErrorCode::kCorruptState, path);
  if (!content) co_return std::unexpected(std::move(content.error()));
  std::string_view rest = *content;
  const auto version = TakeLine(rest, kMagic);
  if (!version) co_return Fail(ErrorCode::kCorruptState, path);
  int number = 0;
  const char* const end = version->data() + version->size();
  const auto parsed = std::from_chars(version->data(), end, number);
  if (parsed.ec != std::errc() || parsed.ptr != end) co_return Fail(ErrorCode::kCorruptState, path);
  if (number > kDataFormatVersion) {
    co_return Fail(ErrorCode::kNewerData,
                   fmt::format("{} has format {}, this version knows up to {}", data_dir, number,
                               kDataFormatVersion));
  }
  const auto owner = TakeLine(rest, "cluster ");
  const auto id = TakeLine(rest, "node ");
  if (number < 1 || !owner || !id) co_return Fail(ErrorCode::kCorruptState, path);
  if (*owner != cluster || *id != std::to_string(node.value)) {
    co_return Fail(ErrorCode::kForeignData,
                   fmt::format("{} is of node {} of cluster '{}', not of node {} of cluster '{}'",
                               data_dir, *id, *owner, node.value, cluster));
  }
  co_return Ok();
}

}  // namespace coterie::node
