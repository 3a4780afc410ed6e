#include "consensus/raft/configuration.h"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include "base/coding.h"

namespace coterie::raft {
namespace {

// Stored in logs and sent between versions: numeric values never change.
constexpr std::uint64_t kFormat = 1;

void PutNodes(std::string& out, const std::vector<NodeId>& nodes) {
  PutVarint(out, nodes.size());
  for (NodeId node : nodes) PutVarint(out, node.value);
}

bool GetNodes(std::string_view& in, std::vector<NodeId>& nodes) {
  const std::optional<std::uint64_t> count = GetVarint(in);
  if (!count || *count > kMembersMax) return false;
  for (std::uint64_t i = 0; i < *count; ++i) {
    const std::optional<std::uint64_t> node = GetVarint(in);
    if (!node) return false;
    nodes.push_back(NodeId(*node));
  }
  return true;
}

bool HasRepeats(std::vector<NodeId> nodes) {
  std::sort(nodes.begin(), nodes.end());
  return std::adjacent_find(nodes.begin(), nodes.end()) != nodes.end() ||
         (!nodes.empty() && nodes.front() == NodeId(0));
}

bool Contains(const std::vector<NodeId>& nodes, NodeId node) {
  return std::find(nodes.begin(), nodes.end(), node) != nodes.end();
}

}  // namespace

std::string Encode(const Configuration& configuration) {
  std::string out;
  PutVarint(out, kFormat);
  PutNodes(out, configuration.voters);
  PutNodes(out, configuration.outgoing);
  PutNodes(out, configuration.learners);
  return out;
}

std::optional<Configuration> DecodeConfiguration(std::string_view bytes) {
  Configuration configuration;
  if (GetVarint(bytes) != kFormat) return std::nullopt;
  if (!GetNodes(bytes, configuration.voters)) return std::nullopt;
  if (!GetNodes(bytes, configuration.outgoing)) return std::nullopt;
  if (!GetNodes(bytes, configuration.learners)) return std::nullopt;
  if (!bytes.empty()) return std::nullopt;
  return configuration;
}

bool IsVoter(const Configuration& configuration, NodeId node) {
  return Contains(configuration.voters, node) || Contains(configuration.outgoing, node);
}

std::vector<NodeId> MembersOf(const Configuration& configuration) {
  std::vector<NodeId> members = configuration.voters;
  members.insert(members.end(), configuration.outgoing.begin(), configuration.outgoing.end());
  members.insert(members.end(), configuration.learners.begin(), configuration.learners.end());
  std::sort(members.begin(), members.end());
  members.erase(std::unique(members.begin(), members.end()), members.end());
  return members;
}

bool IsWellFormed(const Configuration& configuration) {
  if (configuration.voters.empty()) return false;
  if (configuration.voters.size() > kMembersMax) return false;
  if (configuration.outgoing.size() > kMembersMax) return false;
  if (configuration.learners.size() > kMembersMax) return false;
  std::vector<NodeId> incoming = configuration.voters;
  incoming.insert(incoming.end(), configuration.learners.begin(), configuration.learners.end());
  return !HasRepeats(std::move(incoming)) && !HasRepeats(configuration.outgoing);
}

}  // namespace coterie::raft
