#include "cli/node_view.h"

#include <fmt/format.h>

namespace coterie::cli {

std::string HealthText(const std::string& state, std::int64_t since_ms, const std::string& by) {
  if (state.empty()) return "-";
  if (state == "alive") return state;
  return fmt::format("{} for {:.1f} s{}", state, static_cast<double>(since_ms) / 1000,
                     by.empty() ? "" : ", by the word of " + by);
}

std::string NodeTable(const Json& nodes) {
  std::string text = fmt::format("{:>3} {:<8} {:<8} {:>8}  {:<14} {:<16} {:<16} {}\n", "id", "node",
                                 "state", "replicas", "failure domain", "redis", "admin", "health");
  for (const Json& node : nodes.items()) {
    const Json& health = node["health"];
    const std::string domain = node["failure_domain"].Text();
    text += fmt::format("{:>3} {:<8} {:<8} {:>8}  {:<14} {:<16} {:<16} {}\n", node["id"].Int(),
                        node["name"].Text(), node["draining"].Bool() ? "draining" : "member",
                        node["replicas"].Int(), domain.empty() ? "its own" : domain,
                        node["redis"].Text(), node["admin"].Text(),
                        HealthText(health["state"].Text(), health["since_ms"].Int(), ""));
  }
  return text;
}

}  // namespace coterie::cli
