#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/cluster_nodes.h"
#include "cli/command.h"
#include "cli/exit_code.h"
#include "cli/keyspace_view.h"
#include "cli/listed.h"
#include "cli/output_format.h"
#include "cli/process.h"
#include "cli/settings.h"

namespace coterie::cli {
namespace {

constexpr Duration kReadPatience = 2s;
constexpr Duration kChangePatience = 15s;  // more than a node's request_timeout: its word is better

struct KeyspaceOptions {
  ClusterChoice cluster;
  OutputFormat format = OutputFormat::kText;
  std::string name;
  // Words as given; "" and absent numbers have the kind's default.
  std::string replication;
  std::string conflict;
  std::string durability;
  std::uint32_t replicas = 3;
  std::uint32_t read = 0;
  std::uint32_t write = 0;
  std::uint32_t shards = 0;
  std::uint32_t redis_database = 0;
  bool redis_database_given = false;
  bool yes = false;
};

/// The promise that the flags declare. Errors: kInvalidArgument, kPromiseContradiction.
Result<keyspace::Promise> Declared(const KeyspaceOptions& options) {
  keyspace::Promise promise{.name = options.name,
                            .replicas = options.replicas,
                            .read = options.read,
                            .write = options.write,
                            .shards = options.shards,
                            .redis_database = options.redis_database};
  if (!options.replication.empty()) {
    COT_ASSIGN(promise.replication, keyspace::ParseReplication(options.replication));
  }
  if (!options.conflict.empty()) {
    COT_ASSIGN(promise.conflict, keyspace::ParseConflict(options.conflict));
  }
  if (!options.durability.empty()) {
    COT_ASSIGN(promise.durability, keyspace::ParseDurability(options.durability));
  }
  return keyspace::Complete(std::move(promise));
}

/// A database that was not asked for is not named: then it is the lowest that is free.
std::string BodyOf(const keyspace::Promise& promise, bool name_database) {
  Json body = Json::Object();
  body.Set("name", promise.name)
      .Set("replication", ToText(promise.replication))
      .Set("replicas", promise.replicas)
      .Set("read", promise.read)
      .Set("write", promise.write)
      .Set("conflict", ToText(promise.conflict))
      .Set("durability", ToText(promise.durability))
      .Set("shards", promise.shards);
  if (name_database) body.Set("redis_database", promise.redis_database);
  return body.ToText();
}

/// Complains, and of a keyspace that does not exist names the ones that do.
int ComplainOf(const KeyspaceOptions& options, Error error) {
  if (error.code != ErrorCode::kNoKeyspace) return Complain(error);
  const Result<Json> map = NewestMap(options.cluster, "/keyspaces", kReadPatience);
  std::vector<std::string> names;
  if (map) {
    for (const Json& one : (*map)["keyspaces"].items()) names.push_back(one["name"].Text());
  }
  const std::vector<std::string_view> views(names.begin(), names.end());
  const std::string_view nearest = NearestName(options.name, views);
  error.message = fmt::format("'{}'", options.name);
  if (!nearest.empty()) error.message += fmt::format("; did you mean '{}'?", nearest);
  if (!names.empty()) error.message += fmt::format(" There are {}.", Listed(names));
  return Complain(error);
}

int Create(const KeyspaceOptions& options) {
  const Result<keyspace::Promise> promise = Declared(options);
  if (!promise) return Complain(promise.error());
  AdminRequest request{.method = "POST",
                       .path = "/keyspaces",
                       .body = BodyOf(*promise, options.redis_database_given)};
  const Result<Json> created = AskCluster(options.cluster, std::move(request), kChangePatience);
  if (!created) return Complain(created.error());
  if (options.format == OutputFormat::kJson) {
    fmt::print("{}\n", created->ToText());
    return kExitOk;
  }
  fmt::print("Created {}: {}; redis database {}.\n", promise->name, keyspace::Summary(*promise),
             (*created)["redis_database"].Int());
  for (const std::string& note : keyspace::Explain(*promise).notes) fmt::print("Note: {}\n", note);
  return kExitOk;
}

int List(const KeyspaceOptions& options) {
  const Result<Json> map = NewestMap(options.cluster, "/keyspaces", kReadPatience);
  if (!map) return Complain(map.error());
  const Json& keyspaces = (*map)["keyspaces"];
  fmt::print("{}", options.format == OutputFormat::kJson ? keyspaces.ToText() + "\n"
                                                         : KeyspaceTable(keyspaces));
  return kExitOk;
}

/// The promise of a keyspace that exists.
Result<keyspace::Promise> Existing(const KeyspaceOptions& options) {
  COT_ASSIGN(const Json map, NewestMap(options.cluster, "/keyspaces", kReadPatience));
  for (const Json& keyspace : map["keyspaces"].items()) {
    if (keyspace["name"].Text() == options.name) return PromiseFromJson(keyspace);
  }
  return Fail(ErrorCode::kNoKeyspace, fmt::format("'{}'.", options.name));
}

/// Asks a person who sits there; a script says --yes. Error kCancelled, kInvalidArgument.
Status ConfirmDrop(const KeyspaceOptions& options) {
  if (options.yes) return Ok();
  if (!IsTerminal(STDIN_FILENO)) {
    return Fail(ErrorCode::kInvalidArgument,
                fmt::format("Dropping {} loses everything in it; nobody is here to be asked: say "
                            "--yes.",
                            options.name));
  }
  fmt::print(stderr, "Drop {} and everything in it, on every node? Type its name: ", options.name);
  std::string typed;
  std::getline(std::cin, typed);
  if (typed == options.name) return Ok();
  return Fail(ErrorCode::kCancelled, "Something else was typed; nothing is dropped.");
}

int Drop(const KeyspaceOptions& options) {
  if (options.name == "main") {
    return Complain(Error{ErrorCode::kPromiseContradiction, Outcome::kNotApplied,
                          "'main' cannot be dropped: it is the keyspace that etcd clients see, and "
                          "every node has a replica of it. To empty it, delete its keys (`etcdctl "
                          "del '' --from-key`)."});
  }
  const Result<keyspace::Promise> there = Existing(options);
  if (!there) return ComplainOf(options, there.error());
  const Status confirmed = ConfirmDrop(options);
  if (!confirmed) return Complain(confirmed.error());
  AdminRequest request{.method = "DELETE", .path = "/keyspaces/" + options.name};
  const Result<Json> dropped = AskCluster(options.cluster, std::move(request), kChangePatience);
  if (!dropped) return ComplainOf(options, dropped.error());
  fmt::print("{}\n", options.format == OutputFormat::kJson
                         ? dropped->ToText()
                         : fmt::format("Dropped {}.", options.name));
  return kExitOk;
}

int ExplainCommand(const KeyspaceOptions& options) {
  // With a declaration, a promise that nobody has made yet; no cluster is needed.
  const auto promise = options.replication.empty() ? Existing(options) : Declared(options);
  if (!promise) return ComplainOf(options, promise.error());
  const keyspace::Explanation explanation = keyspace::Explain(*promise);
  fmt::print("{}", options.format == OutputFormat::kJson
                       ? ToJson(explanation).ToText(/*indented=*/true) + "\n"
                       : keyspace::ToText(explanation));
  return kExitOk;
}

int Digest(const KeyspaceOptions& options) {
  AdminRequest request{.method = "GET", .path = fmt::format("/keyspaces/{}/digest", options.name)};
  const Result<Json> answer = AskCluster(options.cluster, std::move(request), kChangePatience);
  if (!answer) return ComplainOf(options, answer.error());
  const DigestReport report = JudgeDigests(*answer);
  fmt::print("{}",
             options.format == OutputFormat::kJson ? report.document.ToText() + "\n" : report.text);
  return report.converged ? kExitOk : kExitCheckFailed;
}

/// What a node said counts before that another could not be reached.
Error FirstSaid(const std::vector<std::pair<std::string, Result<Json>>>& answers) {
  for (const auto& [name, answer] : answers) {
    if (!answer && answer.error().code != ErrorCode::kConnectFailed) return answer.error();
  }
  return answers.front().second.error();
}

int Conflicts(const KeyspaceOptions& options) {
  Result<std::vector<NodeView>> nodes = FindNodes(options.cluster, kReadPatience);
  if (!nodes) return Complain(nodes.error());
  std::erase_if(*nodes, [](const NodeView& node) { return node.standing == Standing::kOutside; });
  if (nodes->empty()) return Complain(Error{ErrorCode::kConnectFailed, Outcome::kNotApplied, {}});
  std::vector<AdminRequest> requests;
  for (const NodeView& node : *nodes) {
    requests.push_back({.node = node.admin,
                        .method = "GET",
                        .path = fmt::format("/keyspaces/{}/conflicts", options.name)});
  }
  std::vector<Result<Json>> answers = CallAdmin(std::move(requests), kReadPatience);
  std::vector<std::pair<std::string, Result<Json>>> by_node;
  bool any = false;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    any = any || answers[i].has_value();
    by_node.emplace_back((*nodes)[i].name, std::move(answers[i]));
  }
  if (!any) return ComplainOf(options, FirstSaid(by_node));
  const ConflictsReport report = CollectConflicts(options.name, by_node);
  fmt::print("{}",
             options.format == OutputFormat::kJson ? report.document.ToText() + "\n" : report.text);
  return kExitOk;
}

void AddPromise(CLI::App& command, KeyspaceOptions& options, bool replication_needed) {
  CLI::Option* replication =
      command.add_option("--replication", options.replication, "raft, paxos or leaderless")
          ->required(replication_needed);
  const auto part = [&](const std::string& flag, auto& field, const std::string& help) {
    return command.add_option(flag, field, help)->needs(replication);
  };
  part("--replicas", options.replicas, "copies of each value (N)")->capture_default_str();
  part("--read", options.read, "leaderless: copies that a read waits for (R; default a majority)");
  part("--write", options.write,
       "leaderless: copies that a write waits for (W; default a majority)");
  part("--conflict", options.conflict, "leaderless: lww, siblings or crdt (default crdt)");
  part("--durability", options.durability,
       "leaderless: quorum-fsync, one-fsync, interval or memory (default quorum-fsync)");
  part("--shards", options.shards, "a power of two (default 16; raft keyspaces have one)");
  part("--redis-database", options.redis_database,
       "the number that Redis clients SELECT (default the lowest that is free)")
      ->each([&options](const std::string&) { options.redis_database_given = true; });
}

using Perform = int (*)(const KeyspaceOptions& options);
using Take = void (*)(CLI::App& command, KeyspaceOptions& options);

void Add(CLI::App& parent, Run& run, const std::string& name, const std::string& help,
         Perform perform, Take take) {
  CLI::App* command = parent.add_subcommand(name, help);
  const auto options = std::make_shared<KeyspaceOptions>();
  take(*command, *options);
  AddClusterChoice(*command, options->cluster);
  AddOutput(*command, options->format);
  command->callback(
      [&run, options, perform] { run = [options, perform] { return perform(*options); }; });
}

/// Names stand in paths of the admin door: what cannot be one is told here.
std::string NameComplaint(const std::string& name) {
  const bool fits = keyspace::Complete({.name = name}).has_value();
  return fits ? "" : fmt::format("'{}' is no name of a keyspace: [a-z0-9_-]{{1,64}}", name);
}

void TakeName(CLI::App& command, KeyspaceOptions& options) {
  command.add_option("name", options.name, "of the keyspace")
      ->required()
      ->check(CLI::Validator(NameComplaint, ""));
}

}  // namespace

void AddKeyspace(CLI::App& app, Run& run) {
  CLI::App* command =
      app.add_subcommand("keyspace", "Declare, explain, compare and drop keyspaces.");
  command->require_subcommand(1);
  Add(*command, run, "create", "Declare a keyspace.", Create, [](CLI::App& c, KeyspaceOptions& o) {
    TakeName(c, o);
    AddPromise(c, o, /*replication_needed=*/true);
  });
  Add(*command, run, "list", "Show every keyspace, and where its replicas are.", List,
      [](CLI::App&, KeyspaceOptions&) {});
  Add(*command, run, "drop", "Drop a keyspace and everything in it; asks first.", Drop,
      [](CLI::App& c, KeyspaceOptions& o) {
        TakeName(c, o);
        c.add_flag("--yes", o.yes, "do not ask");
      });
  Add(*command, run, "explain",
      "Say what a keyspace promises; with --replication, what one would that is not made yet.",
      ExplainCommand, [](CLI::App& c, KeyspaceOptions& o) {
        TakeName(c, o);
        AddPromise(c, o, /*replication_needed=*/false);
      });
  Add(*command, run, "digest",
      "Compare the replicas of a leaderless keyspace. Exit code 8: they differ.", Digest, TakeName);
  Add(*command, run, "conflicts", "Show acknowledged values that lost a last-writer-wins race.",
      Conflicts, TakeName);
}

}  // namespace coterie::cli
