#include "door/admin/admin_door.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>

#include "door/admin/json_text.h"
#include "door/admin/reply.h"
#include "node/transport.h"

namespace coterie::door::admin {
namespace {

/// The value of `name` in "a=1&b=2", nullopt if it is not there.
std::optional<std::string_view> Parameter(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::size_t end = query.find('&');
    const std::string_view pair = query.substr(0, end);
    query = end == std::string_view::npos ? std::string_view() : query.substr(end + 1);
    const std::size_t equals = pair.find('=');
    if (equals != std::string_view::npos && pair.substr(0, equals) == name)
      return pair.substr(equals + 1);
  }
  return std::nullopt;
}

std::optional<std::uint64_t> Number(std::optional<std::string_view> text) {
  if (!text) return std::nullopt;
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc{} || end != text->data() + text->size()) return std::nullopt;
  return value;
}

net::HttpResponse Refusal(int status, const Error& error) {
  return {.status = status, .body = Describe(error) + "\n"};
}

}  // namespace

AdminDoor::AdminDoor(node::Node& node, std::string version, AdminParts parts)
    : node_(node), version_(std::move(version)), parts_(std::move(parts)) {}

net::HttpHandler AdminDoor::Http() {
  return [this](net::HttpRequest request) { return Handle(std::move(request)); };
}

runtime::Task<net::HttpResponse> AdminDoor::Handle(net::HttpRequest request) {
  const std::string_view path = request.path;
  const bool changes = request.method != "GET" && request.method != "HEAD";
  if (path == "/fault") {
    if (request.method != "POST") co_return net::HttpResponse{.status = 405, .body = "POST only\n"};
    co_return Fault(request);
  }
  if (path == "/keyspaces" || path.starts_with("/keyspaces/") || path == "/nodes" ||
      path.starts_with("/nodes/")) {
    if (parts_.control == nullptr) {
      co_return Refuse(ErrorCode::kUnimplemented, "This node keeps no cluster map.");
    }
    if (changes) {
      if (Status may = CheckMayChange(request); !may) co_return Refuse(may.error());
    }
    const bool nodes = path.starts_with("/nodes");
    auto task = nodes ? Nodes(std::move(request)) : Keyspaces(std::move(request));
    net::HttpResponse response = co_await std::move(task);
    co_return response;
  }
  if (changes) co_return net::HttpResponse{.status = 405, .body = "GET only\n"};
  if (path == "/status") {
    co_return net::HttpResponse{.content_type = std::string(kJsonType),
                                .body = StatusJson(node_, version_, parts_)};
  }
  if (path == "/metrics") {
    co_return net::HttpResponse{.content_type = "text/plain; version=0.0.4",
                                .body = MetricsText(node_, version_, parts_)};
  }
  if (path == "/healthz") {
    net::HttpResponse response = co_await Health();
    co_return response;
  }
  co_return net::HttpResponse{.status = 404,
                              .body = "/status /healthz /metrics /keyspaces /nodes /fault\n"};
}

Instant AdminDoor::Deadline() const { return node_.world().Now() + node_.config().request_timeout; }

Status AdminDoor::CheckMayChange(const net::HttpRequest& request) const {
  // A page that a browser on this machine shows could send here, too; browsers say where from.
  for (const auto& [name, value] : request.headers) {
    if (name == "origin") {
      return Fail(ErrorCode::kPermissionDenied, "Web pages may not change a cluster.");
    }
  }
  const runtime::Address& address = node_.config().admin_listen;
  if (node_.config().demo || IsLoopback(address.host)) return Ok();
  return Fail(ErrorCode::kPermissionDenied,
              fmt::format("There is no authentication yet: changes are taken on a loopback address "
                          "only, and this node's admin door listens on {}.",
                          ToText(address)));
}

net::HttpResponse AdminDoor::Fault(const net::HttpRequest& request) {
  if (!node_.config().demo) {
    return Refusal(403, Error{ErrorCode::kRefusedOutsideDemo, Outcome::kNotApplied, {}});
  }
  if (Number(Parameter(request.query, "heal")) == 1) {
    node_.transport().Heal();
    return {.body = "healed\n"};
  }
  const auto to = Number(Parameter(request.query, "to"));
  const auto cut_text = Parameter(request.query, "cut");
  const auto delay_text = Parameter(request.query, "delay_ms");
  const auto cut = Number(cut_text);
  const auto delay_ms = Number(delay_text);
  const bool readable = cut.has_value() == cut_text.has_value() &&
                        delay_ms.has_value() == delay_text.has_value() && cut.value_or(0) <= 1 &&
                        delay_ms.value_or(0) <= 60000;
  if (!to || (!cut && !delay_ms) || !readable) {
    return Refusal(400, Error{ErrorCode::kInvalidArgument, Outcome::kNotApplied,
                              "to=<node id> with cut=0|1 or delay_ms=0..60000, or heal=1"});
  }
  for (const node::PeerStatus& peer : node_.transport().peers()) {
    if (peer.id.value != *to) continue;
    node::LinkFault fault = peer.fault;
    if (cut) fault.cut = *cut != 0;
    if (delay_ms) fault.delay = std::chrono::milliseconds(*delay_ms);
    node_.transport().SetFault(peer.id, fault);
    return {.body = "ok\n"};
  }
  return Refusal(400, Error{ErrorCode::kInvalidArgument, Outcome::kNotApplied, "no such peer"});
}

bool IsLoopback(std::string_view host) {
  if (host == "::1") return true;
  int dots = 0;
  for (const char c : host) {
    if (c == '.') {
      ++dots;
    } else if (c < '0' || c > '9') {
      return false;
    }
  }
  return dots == 3 && host.starts_with("127.");
}

}  // namespace coterie::door::admin
