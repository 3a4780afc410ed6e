#include <fmt/format.h>

#include <algorithm>

#include "door/admin/admin_door.h"
#include "door/admin/cluster_json.h"
#include "door/admin/reply.h"

namespace coterie::door::admin {

runtime::Task<net::HttpResponse> AdminDoor::Nodes(net::HttpRequest request) {
  const bool reads = request.method == "GET" || request.method == "HEAD";
  std::string_view rest = std::string_view(request.path).substr(std::string_view("/nodes").size());
  if (rest.empty()) {
    if (!reads) co_return WrongMethod("GET");
    const auto health =
        parts_.detector == nullptr ? std::vector<node::NodeHealth>() : parts_.detector->view();
    co_return JsonReply(NodesJson(*parts_.control->map(), health, node_.world().Now()));
  }
  rest.remove_prefix(1);
  constexpr std::string_view kDrain = "/drain";
  const bool drain = rest.ends_with(kDrain);
  if (drain) rest.remove_suffix(kDrain.size());
  if (rest.empty() || rest.find('/') != std::string_view::npos) {
    co_return net::HttpResponse{.status = 404, .body = "/nodes/NAME, /nodes/NAME/drain\n"};
  }
  if (request.method != (drain ? "POST" : "DELETE")) {
    co_return WrongMethod(drain ? "POST" : "DELETE");
  }
  net::HttpResponse changed = co_await ChangeNode(std::string(rest), drain);
  co_return changed;
}

runtime::Task<net::HttpResponse> AdminDoor::ChangeNode(std::string name, bool drain) {
  const placement::ClusterMapPtr map = parts_.control->map();
  const auto found = std::ranges::find_if(
      map->nodes, [&](const auto& entry) { return entry.second.name == name; });
  if (found == map->nodes.end()) co_return Refuse(ErrorCode::kNoNode, std::move(name));
  const NodeId id = found->first;
  auto task = drain ? parts_.control->DrainNode(id, Deadline())
                    : parts_.control->RemoveNode(id, Deadline());
  Status changed = co_await std::move(task);
  if (!changed) co_return Refuse(changed.error());
  co_return JsonReply(fmt::format("{{\"{}\":{}}}\n", drain ? "draining" : "removed", Quote(name)));
}

}  // namespace coterie::door::admin
