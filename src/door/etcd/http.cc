// The pages that load balancers and kubelets probe [etcd server/etcdserver/api/etcdhttp/health.go].
#include <fmt/format.h>

#include <span>
#include <utility>
#include <vector>

#include "door/etcd/services.h"

namespace coterie::door::etcd {
namespace {

using net::HttpRequest;
using net::HttpResponse;
using runtime::Task;

/// One thing a page checks: nullopt if it is well, else what is wrong.
struct Check {
  std::string_view name;
  Task<std::optional<std::string>> (*run)(Shared*);
};

Task<std::optional<std::string>> DataCorruption(Shared*) {
  co_return std::nullopt;  // a replica that finds its state damaged stops; one that answers found
                           // none
}

Task<std::optional<std::string>> SerializableRead(Shared* shared) {
  etcdserverpb::RangeRequest request;
  request.set_key(std::string(1, '\0'));
  request.set_limit(1);
  request.set_serializable(true);
  const auto response = shared->keyspace.store().Range(request);
  if (!response) co_return StatusOf(response.error()).message;
  co_return std::nullopt;
}

Task<std::optional<std::string>> LinearizableRead(Shared* shared) {
  const Instant deadline = shared->keyspace.world().Now() + shared->options.request_timeout;
  auto failure = co_await Barrier(*shared, {.deadline = deadline, .for_leader = false});
  if (failure) co_return std::move(failure->message);
  co_return std::nullopt;
}

Task<std::optional<std::string>> NonLearner(Shared* shared) {
  if (shared->keyspace.replica().status().learner) {
    co_return std::string(TextOf(EtcdError::kNotSupportedForLearner));
  }
  co_return std::nullopt;
}

constexpr Check kLive[] = {{"serializable_read", SerializableRead}};
constexpr Check kReady[] = {{"data_corruption", DataCorruption},
                            {"serializable_read", SerializableRead},
                            {"linearizable_read", LinearizableRead},
                            {"non_learner", NonLearner}};

/// Whether `name=value` is among the query's items.
bool HasValue(std::string_view query, std::string_view name, std::string_view value) {
  while (!query.empty()) {
    const std::string_view item = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), item.size() + 1));
    const std::size_t equals = item.find('=');
    if (equals == std::string_view::npos) continue;
    if (item.substr(0, equals) == name && item.substr(equals + 1) == value) return true;
  }
  return false;
}

bool HasParameter(std::string_view query, std::string_view parameter) {
  while (!query.empty()) {
    const std::string_view item = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), item.size() + 1));
    if (item == parameter || item.substr(0, item.find('=')) == parameter) return true;
  }
  return false;
}

Task<HttpResponse> Health(Shared* shared, std::string query) {
  std::string reason;
  const bool serializable = HasValue(query, "serializable", "true");
  if (!serializable && shared->keyspace.replica().status().leader == NodeId(0)) {
    reason = "RAFT NO LEADER";
  } else {
    auto read = serializable ? SerializableRead(shared) : LinearizableRead(shared);
    auto failure = co_await std::move(read);
    if (failure) reason = "RANGE ERROR:" + *failure;
  }
  HttpResponse page;  // in etcd's content type: text/plain
  page.status = reason.empty() ? 200 : 503;
  page.body = fmt::format(R"({{"health":"{}","reason":"{}"}})", reason.empty(), reason);
  if (!reason.empty()) page.body += '\n';
  co_return page;
}

Task<HttpResponse> RunChecks(Shared* shared, std::span<const Check> checks, std::string query) {
  std::string lines;
  bool well = true;
  for (const Check& check : checks) {
    if (HasValue(query, "exclude", check.name)) {
      lines += fmt::format("[+]{} excluded: ok\n", check.name);
      continue;
    }
    auto failure = co_await check.run(shared);
    lines += failure ? fmt::format("[-]{} failed: {}\n", check.name, *failure)
                     : fmt::format("[+]{} ok\n", check.name);
    well = well && !failure;
  }
  HttpResponse response;
  response.status = well ? 200 : 503;
  if (!well)
    response.body = lines;
  else
    response.body = (HasParameter(query, "verbose") ? lines : "") + "ok\n";
  co_return response;
}

/// The checks that `path` asks for under `root`: all of them, or the one it names; empty if none
/// match.
std::span<const Check> ChecksAt(std::string_view path, std::string_view root,
                                std::span<const Check> checks) {
  if (path == root) return checks;
  if (!path.starts_with(root) || path[root.size()] != '/') return {};
  path.remove_prefix(root.size() + 1);
  for (std::size_t i = 0; i < checks.size(); ++i) {
    if (checks[i].name == path) return checks.subspan(i, 1);
  }
  return {};
}

Task<HttpResponse> Serve(Shared* shared, HttpRequest request) {
  const auto live = ChecksAt(request.path, "/livez", kLive);
  const auto ready = ChecksAt(request.path, "/readyz", kReady);
  const bool known =
      request.path == "/version" || request.path == "/health" || !live.empty() || !ready.empty();
  if (!known) co_return HttpResponse{.status = 404, .body = "404 page not found\n"};
  if (request.method != "GET") {
    co_return HttpResponse{.status = 405, .body = "Method Not Allowed\n"};
  }
  if (request.path == "/version") {
    const std::string& version = shared->options.version;
    const std::string minor = version.substr(0, version.rfind('.')) + ".0";
    HttpResponse page;
    page.content_type = "application/json";
    page.body = fmt::format(R"({{"etcdserver":"{}","etcdcluster":"{}","storage":"{}"}})", version,
                            minor, minor);
    co_return page;
  }
  if (request.path == "/health") {
    HttpResponse page = co_await Health(shared, std::move(request.query));
    co_return page;
  }
  HttpResponse page =
      co_await RunChecks(shared, live.empty() ? ready : live, std::move(request.query));
  co_return page;
}

}  // namespace

net::HttpHandler HealthPages(Shared& shared) {
  return [&shared](HttpRequest request) { return Serve(&shared, std::move(request)); };
}

}  // namespace coterie::door::etcd
