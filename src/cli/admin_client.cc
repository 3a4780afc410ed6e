#include "cli/admin_client.h"

#include <fmt/format.h>

#include "net/http.h"
#include "runtime/real/real_world.h"
#include "runtime/scope.h"
#include "runtime/sync.h"

namespace coterie::cli {
namespace {

using runtime::Task;

/// The error that the door named in its body, or one made from the HTTP status.
Error RefusalOf(const net::HttpResponse& response) {
  const Result<Json> body = Json::Parse(response.body);
  const std::string text = body ? (*body)["message"].Text() : response.body;
  if (body) {
    if (const ErrorInfo* info = FindError((*body)["code"].Text())) {
      const bool unknown = (*body)["outcome"].Text() == "unknown";
      return Error{info->code, unknown ? Outcome::kUnknown : Outcome::kNotApplied, text};
    }
  }
  const ErrorCode code =
      response.status == 403 ? ErrorCode::kRefusedOutsideDemo : ErrorCode::kInvalidArgument;
  return Error{code, Outcome::kNotApplied, fmt::format("HTTP {}: {}", response.status, text)};
}

Result<Json> BodyOf(Result<net::HttpResponse> response) {
  if (!response) return std::unexpected(std::move(response.error()));
  if (response->status != 200) return std::unexpected(RefusalOf(*response));
  if (response->body.empty()) return Json();
  Result<Json> body = Json::Parse(response->body);
  // A plain "ok" says as much as 200 does.
  if (!body && !response->content_type.starts_with("application/json")) return Json();
  return body;
}

struct Calls {
  explicit Calls(runtime::Executor& executor) : all_done(executor) {}
  std::vector<Result<Json>> answers;
  std::size_t open = 0;
  runtime::Notification all_done;
};

Task<void> CallOne(runtime::World* world, AdminRequest request, Instant deadline, Calls* calls,
                   std::size_t position) {
  net::HttpRequest http{.method = request.method, .path = request.path, .query = request.query};
  if (!request.body.empty()) {
    http.headers.emplace_back("content-type", "application/json");
    http.body = std::move(request.body);
  }
  Result<net::HttpResponse> response =
      co_await net::HttpCall(*world, request.node, std::move(http), deadline);
  calls->answers[position] = BodyOf(std::move(response));
  if (--calls->open == 0) calls->all_done.NotifyAll();
}

Task<void> CallAll(runtime::World* world, std::vector<AdminRequest> requests, Duration timeout,
                   Calls* calls) {
  const Instant deadline = world->Now() + timeout;
  runtime::Scope scope;
  calls->answers.assign(requests.size(), Json());
  calls->open = requests.size();
  for (std::size_t i = 0; i < requests.size(); ++i) {
    scope.Spawn(CallOne(world, requests[i], deadline, calls, i));
  }
  while (calls->open > 0) co_await calls->all_done.Wait();
  // The last call's frame is still finishing below this one: leave its turn before ending the
  // scope.
  co_await runtime::Yield(world->executor());
}

std::vector<std::string> Texts(const Json& array) {
  std::vector<std::string> texts;
  for (const Json& item : array.items()) texts.push_back(item.Text());
  return texts;
}

PeerReport ParsePeer(const Json& document) {
  PeerReport peer;
  peer.id = static_cast<std::uint64_t>(document["id"].Int());
  peer.name = document["name"].Text();
  peer.connected = document["connected"].Bool();
  const Json& heard = document["last_heard_ms"];
  if (!heard.IsNull() && heard.Int() >= 0) peer.last_heard_ms = heard.Int();
  peer.match = static_cast<std::uint64_t>(document["match"].Int());
  peer.faults = Texts(document["faults"]);
  return peer;
}

std::vector<std::uint64_t> Ids(const Json& array) {
  std::vector<std::uint64_t> ids;
  for (const Json& id : array.items()) ids.push_back(static_cast<std::uint64_t>(id.Int()));
  return ids;
}

GroupReport ParseGroup(const Json& document) {
  return {.keyspace = document["keyspace"].Text(),
          .role = document["role"].Text(),
          .leader = static_cast<std::uint64_t>(document["leader"].Int()),
          .term = static_cast<std::uint64_t>(document["term"].Int()),
          .ready = document["ready"].Bool(),
          .voters = Ids(document["voters"]),
          .outgoing = Ids(document["outgoing"]),
          .learners = Ids(document["learners"])};
}

ConditionReport ParseCondition(const Json& document) {
  return {.name = document["name"].Text(),
          .severity = document["severity"].Text(),
          .subject = document["subject"].Text(),
          .text = document["text"].Text(),
          .meaning = document["meaning"].Text(),
          .hint = document["hint"].Text(),
          .since_ms = document["since_ms"].Int()};
}

HealthReport ParseHealth(const Json& document) {
  return {document["node"].Text(), document["state"].Text(), document["by"].Text(),
          document["since_ms"].Int()};
}

}  // namespace

NodeReport ParseNodeReport(Json document) {
  const auto number = [&](std::string_view name) {
    return static_cast<std::uint64_t>(document[name].Int());
  };
  NodeReport report;
  report.name = document["node"].Text();
  report.id = number("id");
  report.version = document["version"].Text();
  report.cluster = document["cluster"].Text();
  report.role = document["role"].Text();
  report.leader = number("leader");
  report.term = number("term");
  report.commit = number("commit");
  report.applied = number("applied");
  report.revision = document["revision"].Int();
  report.ready = document["ready"].Bool();
  report.clock_synchronized = document["clock"]["synchronized"].Bool();
  report.clock_bound_ms = document["clock"]["bound_ms"].Double();
  report.redis = document["redis"].Text();
  report.failure_domain = document["failure_domain"].Text();
  for (const Json& health : document["health"].items()) {
    report.health.push_back(ParseHealth(health));
  }
  for (const Json& peer : document["peers"].items()) report.peers.push_back(ParsePeer(peer));
  for (const Json& keyspace : document["keyspaces"].items()) {
    report.keyspaces.push_back({keyspace["name"].Text(), keyspace["replication"].Text(),
                                static_cast<int>(keyspace["replicas"].Int())});
  }
  for (const Json& group : document["groups"].items()) report.groups.push_back(ParseGroup(group));
  for (const Json& condition : document["conditions"].items()) {
    report.conditions.push_back(ParseCondition(condition));
  }
  report.raw = std::move(document);
  return report;
}

std::vector<Result<Json>> CallAdmin(std::vector<AdminRequest> requests, Duration timeout) {
  const std::size_t count = requests.size();
  if (count == 0) return {};
  Result<std::unique_ptr<runtime::RealWorld>> world =
      runtime::RealWorld::Create({.log_minimum = LogLevel::kError});
  if (!world) return {count, std::unexpected(world.error())};
  Calls calls((*world)->executor());
  runtime::BlockOn(**world, CallAll(world->get(), std::move(requests), timeout, &calls));
  return std::move(calls.answers);
}

std::vector<Result<NodeReport>> AskStatus(const std::vector<runtime::Address>& nodes,
                                          Duration timeout) {
  std::vector<AdminRequest> requests;
  for (const runtime::Address& node : nodes) requests.push_back({node, "GET", "/status", ""});
  std::vector<Result<NodeReport>> reports;
  for (Result<Json>& answer : CallAdmin(std::move(requests), timeout)) {
    if (!answer) {
      reports.push_back(std::unexpected(std::move(answer.error())));
    } else if ((*answer)["node"].Text().empty()) {
      reports.push_back(Fail(ErrorCode::kMalformed, "the answer is not a node's status"));
    } else {
      reports.push_back(ParseNodeReport(std::move(*answer)));
    }
  }
  return reports;
}

}  // namespace coterie::cli
