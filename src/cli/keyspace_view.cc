#include "cli/keyspace_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "cli/listed.h"

namespace coterie::cli {
namespace {

/// "n1:16 n2:16 n3:16, 2 moving"
std::string ReplicasText(const Json& shards) {
  std::map<std::int64_t, std::pair<std::string, int>> held;
  int moving = 0;
  for (const Json& shard : shards.items()) {
    bool at_rest = true;
    for (const Json& replica : shard["replicas"].items()) {
      auto& [name, count] = held[replica["node"].Int()];
      name = replica["name"].Text();
      ++count;
      at_rest = at_rest && replica["phase"].Text() == "active";
    }
    moving += at_rest ? 0 : 1;
  }
  std::string text;
  for (const auto& [id, entry] : held) {
    text += fmt::format("{}{}:{}", text.empty() ? "" : " ", entry.first, entry.second);
  }
  if (moving > 0) text += fmt::format(", {} moving", moving);
  return text;
}

/// A time since the epoch as people compare it, in UTC.
std::string TimeText(std::int64_t ms) {
  const std::int64_t second = ms / 1000 % 86400;
  return fmt::format("{:02}:{:02}:{:02}.{:03}", second / 3600, second / 60 % 60, second % 60,
                     ms % 1000);
}

}  // namespace

std::string KeyspaceTable(const Json& keyspaces) {
  constexpr std::size_t kReplicasColumn = 70;
  std::string text = fmt::format("{:<12} {:<10} {:>2} {:>2} {:>2}  {:<8} {:<12} {:>6} {:>5}  {}\n",
                                 "keyspace", "kind", "N", "R", "W", "conflict", "durability",
                                 "shards", "redis", "replicas on");
  for (const Json& keyspace : keyspaces.items()) {
    const Json& promise = keyspace["promise"];
    const std::string line =
        fmt::format("{:<12} {:<10} {:>2} {:>2} {:>2}  {:<8} {:<12} {:>6} {:>5}  {}",
                    keyspace["name"].Text(), keyspace["replication"].Text(),
                    promise["replicas"].Int(), promise["read"].Int(), promise["write"].Int(),
                    promise["conflict"].Text() == "none" ? "-" : promise["conflict"].Text(),
                    promise["durability"].Text(), keyspace["shards"].items().size(),
                    keyspace["redis_database"].Int(), ReplicasText(keyspace["shards"]));
    text += Wrapped(line, kReplicasColumn) + "\n";
  }
  return text +
         "N copies; a read waits for R of them, a write for W; redis: the database that clients\n"
         "SELECT; n1:16: n1 has replicas of 16 shards\n";
}

Result<keyspace::Promise> PromiseFromJson(const Json& keyspace) {
  const Json& parts = keyspace["promise"];
  const auto number = [](const Json& value) { return static_cast<std::uint32_t>(value.Int()); };
  keyspace::Promise promise{.name = keyspace["name"].Text()};
  const auto replication = keyspace::ParseReplication(keyspace["replication"].Text());
  const auto conflict = keyspace::ParseConflict(parts["conflict"].Text());
  const auto durability = keyspace::ParseDurability(parts["durability"].Text());
  if (!replication || !conflict || !durability) {
    return Fail(ErrorCode::kMalformed, "The answer is not a keyspace of this version.");
  }
  promise.replication = *replication;
  promise.conflict = *conflict;
  promise.durability = *durability;
  promise.replicas = number(parts["replicas"]);
  if (promise.replication == keyspace::Replication::kLeaderless) {
    promise.read = number(parts["read"]);
    promise.write = number(parts["write"]);
  }
  promise.shards = static_cast<std::uint32_t>(keyspace["shards"].items().size());
  promise.redis_database = number(keyspace["redis_database"]);
  return keyspace::Complete(std::move(promise));
}

Json ToJson(const keyspace::Explanation& explanation) {
  Json sections = Json::Array();
  for (const auto& section : explanation.sections) {
    Json rows = Json::Object();
    for (const auto& row : section.rows) rows.Set(row.what, row.answer);
    Json item = Json::Object();
    item.Set("title", section.title).Set("rows", std::move(rows));
    sections.Push(std::move(item));
  }
  Json notes = Json::Array();
  for (const std::string& note : explanation.notes) notes.Push(note);
  const keyspace::Quorums& quorums = explanation.quorums;
  Json document = Json::Object();
  document.Set("heading", explanation.heading)
      .Set("replicas", quorums.replicas)
      .Set("read", quorums.read)
      .Set("write", quorums.write)
      .Set("reads_meet_writes", quorums.ReadsMeetWrites())
      .Set("reads_survive", quorums.ReadsSurvive())
      .Set("writes_survive", quorums.WritesSurvive())
      .Set("sections", std::move(sections))
      .Set("notes", std::move(notes));
  return document;
}

DigestReport JudgeDigests(const Json& answer) {
  DigestReport report;
  std::map<std::int64_t, std::set<std::string>> digests;
  std::set<std::int64_t> silent;
  for (const Json& row : answer["digests"].items()) {
    const std::int64_t shard = row["shard"].Int();
    const bool answered = !row["digest"].IsNull();
    if (answered) digests[shard].insert(row["digest"].Text());
    if (!answered) silent.insert(shard);
    report.text +=
        fmt::format("shard {:<6} {:<10} {:<17} {}\n", shard, row["node"].Text(),
                    answered ? row["digest"].Text() : "no answer", row["applied"].Text());
  }
  std::vector<std::string> different;
  for (const auto& [shard, values] : digests) {
    if (values.size() > 1) different.push_back(fmt::to_string(shard));
  }
  std::vector<std::string> unknown;
  for (const std::int64_t shard : silent) unknown.push_back(fmt::to_string(shard));
  report.converged = different.empty() && unknown.empty();
  const bool asked = !answer["digests"].items().empty();
  std::string verdict =
      report.converged ? asked ? "converged" : "converged: there are no replicas" : std::string();
  if (!different.empty()) {
    verdict = fmt::format("replicas differ: shard{} {}", different.size() == 1 ? "" : "s",
                          Listed(different));
  }
  if (!unknown.empty()) {
    verdict += fmt::format("{}replicas did not answer: shard{} {}", verdict.empty() ? "" : "; ",
                           unknown.size() == 1 ? "" : "s", Listed(unknown));
  }
  report.text += verdict + "\n";
  Json differ = Json::Array();
  for (const std::string& shard : different) differ.Push(shard);
  Json quiet = Json::Array();
  for (const std::string& shard : unknown) quiet.Push(shard);
  report.document = Json::Object();
  report.document.Set("keyspace", answer["keyspace"])
      .Set("converged", report.converged)
      .Set("verdict", verdict)
      .Set("different_shards", std::move(differ))
      .Set("unanswered_shards", std::move(quiet))
      .Set("digests", answer["digests"]);
  return report;
}

ConflictsReport CollectConflicts(const std::string& keyspace,
                                 const std::vector<std::pair<std::string, Result<Json>>>& answers) {
  constexpr std::size_t kShownMax = 20;
  ConflictsReport report;
  Json nodes = Json::Array();
  std::vector<Json> newest;
  std::set<std::tuple<std::int64_t, std::string, std::string, std::string>> seen;
  for (const auto& [name, answer] : answers) {
    report.text += fmt::format("{:<10} {}\n", name,
                               answer ? fmt::format("{} lost", (*answer)["count"].Int())
                                      : "no answer: " + CodeText(answer.error().code));
    Json node = Json::Object();
    node.Set("node", name)
        .Set("count", answer ? (*answer)["count"] : Json())
        .Set("error", answer ? Json() : Json(CodeText(answer.error().code)));
    nodes.Push(std::move(node));
    if (!answer) continue;
    for (const Json& one : (*answer)["newest"].items()) {
      const bool first = seen.emplace(one["shard"].Int(), one["dot"].Text(), one["key"].Text(),
                                      one["element"].Text())
                             .second;
      if (first) newest.push_back(one);
    }
  }
  std::ranges::sort(newest, std::ranges::greater(), [](const Json& one) {
    return std::tuple(one["time_ms"].Int(), one["shard"].Int(), one["dot"].Text(),
                      one["key"].Text(), one["element"].Text());
  });
  if (!newest.empty()) {
    report.text += fmt::format("\n{:<13} {:<24} {:<16} {:<24} {}\n", "time (UTC)", "key", "lost",
                               "value", "to");
  }
  Json list = Json::Array();
  for (std::size_t i = 0; i < newest.size(); ++i) {
    const Json& one = newest[i];
    const std::string element = one["element"].Text();
    if (i < kShownMax) {
      report.text += fmt::format("{:<13} {:<24} {:<16} {:<24} {}\n", TimeText(one["time_ms"].Int()),
                                 one["key"].Text() + (element.empty() ? "" : " " + element),
                                 one["dot"].Text(), one["value"].Text(), one["winner"].Text());
    }
    list.Push(one);
  }
  if (newest.size() > kShownMax) {
    report.text += fmt::format("and {} more: --output json\n", newest.size() - kShownMax);
  }
  report.document = Json::Object();
  report.document.Set("keyspace", keyspace)
      .Set("nodes", std::move(nodes))
      .Set("newest", std::move(list));
  return report;
}

}  // namespace coterie::cli
