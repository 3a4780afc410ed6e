#include "cli/fault_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace coterie::cli {
namespace {

std::vector<std::string> Split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (;;) {
    const std::size_t end = std::min(text.find(separator), text.size());
    parts.emplace_back(text.substr(0, end));
    if (end == text.size()) return parts;
    text.remove_prefix(end + 1);
  }
}

}  // namespace

Result<std::vector<Link>> PartitionLinks(std::string_view text,
                                         const std::vector<std::string>& nodes) {
  std::map<std::string, std::size_t> group_of;
  const std::vector<std::string> groups = Split(text, '|');
  for (std::size_t group = 0; group < groups.size(); ++group) {
    for (const std::string& name : Split(groups[group], ',')) {
      if (std::ranges::find(nodes, name) == nodes.end()) {
        return Fail(ErrorCode::kInvalidArgument, fmt::format("There is no node '{}'.", name));
      }
      if (!group_of.emplace(name, group).second) {
        return Fail(ErrorCode::kInvalidArgument, fmt::format("{} is named twice.", name));
      }
    }
  }
  for (const std::string& name : nodes) {
    if (groups.size() == 1) {
      group_of.emplace(name, 1);
    } else if (!group_of.contains(name)) {
      return Fail(ErrorCode::kInvalidArgument, fmt::format("{} is in no group.", name));
    }
  }
  std::vector<Link> links;
  for (const std::string& from : nodes) {
    for (const std::string& to : nodes) {
      if (group_of[from] != group_of[to]) links.push_back({from, to});
    }
  }
  if (links.empty()) {
    return Fail(ErrorCode::kInvalidArgument, "Every node is in that group: nothing is cut.");
  }
  return links;
}

}  // namespace coterie::cli
