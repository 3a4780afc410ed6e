#include "node/join.h"

#include <fmt/format.h>

#include <charconv>

#include "base/coding.h"
#include "coterie/peer.pb.h"
#include "net/frame.h"
#include "node/control_codec.h"
#include "node/peer_types.h"
#include "runtime/sync.h"

namespace coterie::node {

namespace {
constexpr Duration kConnectTimeout = 1s;
constexpr Duration kAnswerPatience = 6s;
constexpr Duration kAskAgain = 500ms;
constexpr std::size_t kBookBytesMax = 8u << 20;

std::string TextOf(const runtime::Address& address) {
  return address.port == 0 ? std::string() : ToText(address);
}

/// A door's address as others reach it: a listener on every interface is named by the peer one's.
runtime::Address Reachable(runtime::Address door, const runtime::Address& peer) {
  const bool anywhere = door.host.empty() || door.host == "0.0.0.0" || door.host == "::";
  if (anywhere) door.host = peer.host;
  return door;
}

void PutFrame(std::string& out, FrameType type, std::string_view body) {
  net::EncodeFrame({.type = static_cast<std::uint16_t>(type)}, body, out);
}
}  // namespace

placement::NodeInfo SelfInfo(const NodeConfig& config) {
  const runtime::Address& peer = config.peer_listen;
  return {.id = config.id,
          .name = config.name,
          .peer = TextOf(peer),
          .etcd = TextOf(Reachable(config.etcd_listen, peer)),
          .redis = TextOf(Reachable(config.redis_listen, peer)),
          .admin = TextOf(Reachable(config.admin_listen, peer)),
          .failure_domain = config.failure_domain};
}

placement::NodeInfo InfoOf(const MemberConfig& member) {
  return {.id = member.id,
          .name = member.name,
          .peer = TextOf(member.peer),
          .etcd = TextOf(member.etcd),
          .redis = TextOf(member.redis),
          .admin = TextOf(member.admin),
          .failure_domain = member.failure_domain};
}

std::optional<MemberConfig> MemberOf(const placement::NodeInfo& info) {
  const auto peer = runtime::ParseAddress(info.peer);
  if (!peer) return std::nullopt;
  MemberConfig member{.id = info.id, .name = info.name, .peer = *peer, .etcd = {}};
  member.etcd = runtime::ParseAddress(info.etcd).value_or(runtime::Address{});
  member.redis = runtime::ParseAddress(info.redis).value_or(runtime::Address{});
  member.admin = runtime::ParseAddress(info.admin).value_or(runtime::Address{});
  member.failure_domain = info.failure_domain;
  return member;
}

std::uint64_t NameIdOf(std::string_view cluster) {
  const std::uint64_t low = Crc32c(cluster);
  const std::uint64_t high = Crc32c(cluster, 0x636f7465);
  return (high << 32 | low) | 1;
}

runtime::Task<Result<std::uint64_t>> DrawnToken(runtime::World* world, std::string data_dir,
                                                std::string file) {
  const std::string path = data_dir + "/" + file;
  COT_CO_ASSIGN(const bool exists, co_await world->disk().Exists(path));
  if (!exists) {
    const std::uint64_t token = world->random().Next() | 1;
    COT_CO_TRY(co_await runtime::ReplaceFile(world->disk(), path, fmt::format("{:016x}\n", token)));
    co_return token;
  }
  COT_CO_ASSIGN(const std::string text, co_await runtime::ReadFile(world->disk(), path, 64));
  std::uint64_t token = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), token, 16);
  const bool sound = parsed.ec == std::errc() && token != 0 && text.size() == 17 &&
                     parsed.ptr == text.data() + 16 && text.back() == '\n';
  if (!sound) co_return Fail(ErrorCode::kCorruptState, path);
  // A process that died before the directory was synced left a name that may not last.
  COT_CO_TRY(co_await world->disk().SyncDir(data_dir));
  co_return token;
}

namespace {

Error ErrorOf(std::uint32_t code, bool unknown, std::string message) {
  return {static_cast<ErrorCode>(code), unknown ? Outcome::kUnknown : Outcome::kNotApplied,
          std::move(message)};
}

}  // namespace

runtime::Task<Result<std::string>> AskAsGuest(runtime::World* world, runtime::Address to,
                                              std::string cluster, Method method,
                                              std::string body) {
  COT_CO_ASSIGN(auto stream, co_await world->network().Connect(to, kConnectTimeout));
  peer::Hello hello;
  hello.set_cluster_id(NameIdOf(cluster));
  peer::Call call;
  call.set_id(1);
  call.set_method(static_cast<std::uint32_t>(method));
  call.set_body(std::move(body));
  std::string out;
  PutFrame(out, FrameType::kHello, hello.SerializeAsString());
  PutFrame(out, FrameType::kCall, call.SerializeAsString());
  COT_CO_TRY(co_await stream->Write(std::move(out)));
  net::FrameDecoder decoder;
  std::string bytes(4096, '\0');
  for (;;) {
    auto next = decoder.Next();
    if (!next) co_return std::unexpected(std::move(next.error()));
    if (*next && (*next)->type == static_cast<std::uint16_t>(FrameType::kRefusal)) {
      peer::Refusal refusal;
      if (!refusal.ParseFromString((*next)->body)) co_return Fail(ErrorCode::kMalformed);
      co_return std::unexpected(ErrorOf(refusal.error(), false, refusal.message()));
    }
    if (*next) {
      peer::Reply reply;
      if (!reply.ParseFromString((*next)->body)) co_return Fail(ErrorCode::kMalformed);
      if (reply.error() == 0) co_return std::move(*reply.mutable_body());
      co_return std::unexpected(
          ErrorOf(reply.error(), reply.outcome_unknown(), std::move(*reply.mutable_message())));
    }
    COT_CO_ASSIGN(const std::size_t read, co_await stream->Read(bytes));
    if (read == 0) co_return FailUnknown(ErrorCode::kConnectionClosed);
    decoder.Feed(std::string_view(bytes.data(), read));
  }
}

namespace {

/// Asking anybody again would be answered the same.
bool IsFinal(const Error& error) {
  return error.outcome == Outcome::kNotApplied &&
         (error.code == ErrorCode::kWrongCluster || error.code == ErrorCode::kNewerCommand ||
          error.code == ErrorCode::kInvalidArgument);
}

}  // namespace

runtime::Task<Result<Joined>> JoinCluster(runtime::World* world, const NodeConfig* config) {
  COT_CO_ASSIGN(const std::uint64_t token, co_await DrawnToken(world, config->data_dir, "joining"));
  control::AddNode request;
  ToProto(SelfInfo(*config), request.mutable_node());
  request.set_token(token);
  request.set_version(config->version);
  const std::string body = request.SerializeAsString();
  for (std::size_t i = 0;; ++i) {
    const runtime::Address to = config->join[i % config->join.size()];
    const Instant deadline = world->Now() + kAnswerPatience;
    auto asked = co_await runtime::WithDeadline(
        world->executor(), AskAsGuest(world, to, config->cluster, Method::kControl, body),
        deadline);
    const auto answer =
        asked ? std::move(*asked) : Result<std::string>(FailUnknown(ErrorCode::kTimedOut));
    if (answer) {
      control::JoinReply reply;
      if (!reply.ParseFromString(*answer)) co_return Fail(ErrorCode::kMalformed, "join reply");
      auto map = FromProto(reply.map());
      if (!map || reply.node() == 0) co_return Fail(ErrorCode::kMalformed, "join reply");
      // An earlier version's cluster goes by its name.
      const std::uint64_t cluster_id =
          reply.cluster_id() != 0 ? reply.cluster_id() : NameIdOf(config->cluster);
      co_return Joined{NodeId(reply.node()), cluster_id, std::move(*map)};
    }
    if (IsFinal(answer.error())) co_return std::unexpected(answer.error());
    world->log().Warn("node", "{} does not take this node in yet: {}", ToText(to),
                      Describe(answer.error()));
    co_await runtime::Sleep(world->executor(), kAskAgain);
  }
}

runtime::Task<Status> WriteBook(runtime::Disk& disk, std::string data_dir,
                                placement::ClusterMap map) {
  control::Map message;
  ToProto(map, &message);
  const std::string body = message.SerializeAsString();
  std::string content;
  PutFixed32(content, Crc32c(body));
  content += body;
  auto written = co_await runtime::ReplaceFile(disk, data_dir + "/book", std::move(content));
  co_return written;
}

runtime::Task<Result<placement::ClusterMap>> ReadBook(runtime::Disk& disk, std::string data_dir) {
  const std::string path = data_dir + "/book";
  COT_CO_ASSIGN(const bool exists, co_await disk.Exists(path));
  if (!exists) co_return placement::ClusterMap{};
  COT_CO_ASSIGN(const std::string content, co_await runtime::ReadFile(disk, path, kBookBytesMax));
  std::string_view body = content;
  const auto checksum = GetFixed32(body);
  control::Map message;
  const bool sound = checksum && *checksum == Crc32c(body) &&
                     message.ParseFromArray(body.data(), static_cast<int>(body.size()));
  auto map = sound ? FromProto(message) : std::nullopt;
  if (!map) co_return Fail(ErrorCode::kCorruptState, path);
  co_return std::move(*map);
}

}  // namespace coterie::node
