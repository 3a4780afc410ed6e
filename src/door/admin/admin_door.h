#pragma once

#include <string>

#include "net/http.h"
#include "node/node.h"

namespace coterie::door::admin {

/// What operators and tools ask one node, over HTTP/1.1 on its admin port:
///   GET /status   what the node knows, as JSON; served from local knowledge, also without a quorum
///   GET /healthz  200 when it can serve its promises, 503 with the reason when not
///   GET /metrics  Prometheus text
///   POST /fault?to=2&cut=1 | ?to=2&delay_ms=50 | ?heal=1   demo clusters only (403 otherwise)
class AdminDoor {
 public:
  AdminDoor(node::Node& node, std::string version);
  /// The handler; `this` must outlive it.
  net::HttpHandler Http();

 private:
  runtime::Task<net::HttpResponse> Handle(net::HttpRequest request);
  net::HttpResponse Fault(const net::HttpRequest& request);

  node::Node& node_;
  const std::string version_;
};

/// The parts of /status and /metrics, for the handlers and their tests.
std::string StatusJson(node::Node& node, std::string_view version);
std::string MetricsText(node::Node& node, std::string_view version);

}  // namespace coterie::door::admin
