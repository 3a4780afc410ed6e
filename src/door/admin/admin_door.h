#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "net/http.h"
#include "node/control.h"
#include "node/failure_detector.h"
#include "node/leaderless/leaderless.h"
#include "node/node.h"

namespace coterie::door::admin {

/// What the door shows and changes beside the node itself. Whatever is null is not there: requests
/// for it answer kUnimplemented. All must outlive the door.
struct AdminParts {
  node::Control* control = nullptr;
  node::Leaderless* leaderless = nullptr;
  const node::FailureDetector* detector = nullptr;
  /// Tombstones that this node keeps for a leaderless keyspace; empty: not counted.
  std::function<std::uint64_t(const placement::Keyspace&)> tombstones;
};

/// What operators and tools ask one node, over HTTP/1.1 on its admin port:
///   GET /status   what the node knows, as JSON; served from local knowledge, also without a quorum
///   GET /healthz  200 when it can serve what every keyspace promises, 503 with the reason when not
///   GET /metrics  Prometheus text
///   GET /keyspaces, /nodes                       the cluster map as this node knows it
///   GET /keyspaces/NAME/digest, .../conflicts    of a leaderless keyspace
///   POST /keyspaces, DELETE /keyspaces/NAME, POST /nodes/NAME/drain, DELETE /nodes/NAME
///   POST /fault?to=2&cut=1 | ?to=2&delay_ms=50 | ?heal=1   demo clusters only (403 otherwise)
/// Without authentication, changes are taken on a loopback address only, and from no web page.
class AdminDoor {
 public:
  AdminDoor(node::Node& node, std::string version, AdminParts parts = {});
  /// The handler; `this` must outlive it.
  net::HttpHandler Http();

 private:
  runtime::Task<net::HttpResponse> Handle(net::HttpRequest request);
  net::HttpResponse Fault(const net::HttpRequest& request);
  Status CheckMayChange(const net::HttpRequest& request) const;

  // health.cc: "/healthz"
  runtime::Task<net::HttpResponse> Health();
  runtime::Task<Status> CheckPromises(Instant deadline);

  // keyspaces.cc: "/keyspaces..."
  runtime::Task<net::HttpResponse> Keyspaces(net::HttpRequest request);
  runtime::Task<net::HttpResponse> CreateKeyspace(std::string body);
  runtime::Task<net::HttpResponse> DropKeyspace(std::string name);
  runtime::Task<net::HttpResponse> Digest(std::string name);
  net::HttpResponse Conflicts(std::string_view name) const;
  /// The leaderless keyspace of that name in `map`. Errors: kNoKeyspace, kUnimplemented.
  Result<const placement::Keyspace*> LeaderlessKeyspace(const placement::ClusterMap& map,
                                                        std::string_view name) const;

  // nodes.cc: "/nodes..."
  runtime::Task<net::HttpResponse> Nodes(net::HttpRequest request);
  runtime::Task<net::HttpResponse> ChangeNode(std::string name, bool drain);

  Instant Deadline() const;

  node::Node& node_;
  const std::string version_;
  const AdminParts parts_;
};

/// Whether the cluster has been made and the leaderless shards that this node is to serve are open.
/// Errors: kNoKeyspace, kNotReplica.
Status CheckKeyspaces(node::Node& node, const AdminParts& parts);
/// The parts of /status and /metrics, for the handlers and their tests.
std::string StatusJson(node::Node& node, std::string_view version, const AdminParts& parts = {});
std::string MetricsText(node::Node& node, std::string_view version, const AdminParts& parts = {});

/// Whether a listening address reaches its own machine only.
bool IsLoopback(std::string_view host);

}  // namespace coterie::door::admin
