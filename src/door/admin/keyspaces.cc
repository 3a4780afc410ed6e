#include <fmt/format.h>

#include "door/admin/admin_door.h"
#include "door/admin/cluster_json.h"
#include "door/admin/reply.h"

namespace coterie::door::admin {

using placement::ClusterMapPtr;
using placement::Keyspace;

runtime::Task<net::HttpResponse> AdminDoor::Keyspaces(net::HttpRequest request) {
  const bool reads = request.method == "GET" || request.method == "HEAD";
  std::string_view rest =
      std::string_view(request.path).substr(std::string_view("/keyspaces").size());
  if (rest.empty()) {
    if (reads) co_return JsonReply(KeyspacesJson(*parts_.control->map()));
    if (request.method != "POST") co_return WrongMethod("GET, POST");
    net::HttpResponse created = co_await CreateKeyspace(std::move(request.body));
    co_return created;
  }
  rest.remove_prefix(1);
  const std::size_t slash = rest.find('/');
  std::string name(rest.substr(0, slash));
  const std::string_view what = slash == std::string_view::npos ? "" : rest.substr(slash + 1);
  if (slash == std::string_view::npos) {
    if (reads) {
      const ClusterMapPtr map = parts_.control->map();
      const Keyspace* const keyspace = map->Find(name);
      if (keyspace == nullptr) co_return Refuse(ErrorCode::kNoKeyspace, std::move(name));
      co_return JsonReply(KeyspaceJson(*map, *keyspace) + "\n");
    }
    if (request.method != "DELETE") co_return WrongMethod("GET, DELETE");
    net::HttpResponse dropped = co_await DropKeyspace(std::move(name));
    co_return dropped;
  }
  if (what != "digest" && what != "conflicts") {
    co_return net::HttpResponse{.status = 404, .body = "/keyspaces/NAME/digest, /conflicts\n"};
  }
  if (!reads) co_return WrongMethod("GET");
  if (what == "conflicts") co_return Conflicts(name);
  net::HttpResponse digest = co_await Digest(std::move(name));
  co_return digest;
}

runtime::Task<net::HttpResponse> AdminDoor::CreateKeyspace(std::string body) {
  bool names_database = false;
  Result<keyspace::Promise> declared = ParsePromise(body, &names_database);
  if (!declared) co_return Refuse(declared.error());
  // To the control keyspace 0 is "any": who names it and cannot have it is told so here.
  const Keyspace* const owner = parts_.control->map()->FindDatabase(declared->redis_database);
  if (names_database && owner != nullptr) {
    co_return Refuse(ErrorCode::kPromiseContradiction,
                     fmt::format("redis database {} against keyspace '{}', which has it.",
                                 declared->redis_database, owner->promise.name));
  }
  // Refused here, a contradiction costs no round of agreement.
  Result<keyspace::Promise> promise = keyspace::Complete(std::move(*declared));
  if (!promise) co_return Refuse(promise.error());
  const std::string name = promise->name;
  Status created = co_await parts_.control->CreateKeyspace(std::move(*promise), Deadline());
  if (!created) co_return Refuse(created.error());
  const ClusterMapPtr map = parts_.control->map();
  const Keyspace* const keyspace = map->Find(name);
  // It may have been dropped since by somebody else.
  if (keyspace == nullptr) co_return JsonReply(fmt::format("{{\"name\":{}}}\n", Quote(name)));
  co_return JsonReply(KeyspaceJson(*map, *keyspace) + "\n");
}

runtime::Task<net::HttpResponse> AdminDoor::DropKeyspace(std::string name) {
  Status dropped = co_await parts_.control->DropKeyspace(name, Deadline());
  if (!dropped) co_return Refuse(dropped.error());
  co_return JsonReply(fmt::format("{{\"dropped\":{}}}\n", Quote(name)));
}

Result<const Keyspace*> AdminDoor::LeaderlessKeyspace(const placement::ClusterMap& map,
                                                      std::string_view name) const {
  const Keyspace* const keyspace = map.Find(name);
  if (keyspace == nullptr) return Fail(ErrorCode::kNoKeyspace, std::string(name));
  if (keyspace->promise.replication != keyspace::Replication::kLeaderless) {
    return Fail(ErrorCode::kUnimplemented,
                fmt::format("Keyspace '{}' is {}: digests and conflicts are of leaderless ones.",
                            name, ToText(keyspace->promise.replication)));
  }
  if (parts_.leaderless == nullptr) {
    return Fail(ErrorCode::kUnimplemented, "This node serves no leaderless keyspaces.");
  }
  return keyspace;
}

runtime::Task<net::HttpResponse> AdminDoor::Digest(std::string name) {
  const ClusterMapPtr map = parts_.control->map();  // holds the keyspace while others answer
  const auto keyspace = LeaderlessKeyspace(*map, name);
  if (!keyspace) co_return Refuse(keyspace.error());
  auto digests = co_await parts_.leaderless->Digests(**keyspace, Deadline());
  if (!digests) co_return Refuse(digests.error());
  co_return JsonReply(DigestJson(*map, **keyspace, *digests));
}

net::HttpResponse AdminDoor::Conflicts(std::string_view name) const {
  const ClusterMapPtr map = parts_.control->map();
  const auto keyspace = LeaderlessKeyspace(*map, name);
  if (!keyspace) return Refuse(keyspace.error());
  return JsonReply(
      ConflictsJson(node_.config().name, **keyspace, parts_.leaderless->conflicts(**keyspace)));
}

}  // namespace coterie::door::admin
