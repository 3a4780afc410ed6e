#include "node/founding.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <set>

#include "coterie/peer.pb.h"
#include "node/join.h"
#include "node/transport.h"
#include "runtime/sync.h"

namespace coterie::node {

namespace {

constexpr Duration kAnswerPatience = 2s;
constexpr Duration kAskAgainMin = 20ms;
constexpr Duration kAskAgainMax = 500ms;
constexpr Duration kSayAgain = 10s;
constexpr std::size_t kAskedMax = 1000;

bool IsFinal(const Error& error) {
  switch (error.code) {
    case ErrorCode::kForgottenNode:
    case ErrorCode::kRemovedNode:
    case ErrorCode::kOtherFounders:
    case ErrorCode::kWrongCluster:
      return true;
    default:
      return false;
  }
}

/// What a founder that has not begun itself says to another one.
runtime::Task<Result<std::string>> AnswerAsFounder(const NodeConfig* config, std::uint64_t drawn,
                                                   std::string body) {
  peer::Founding asked;
  if (!asked.ParseFromString(body)) co_return Fail(ErrorCode::kMalformed);
  COT_CO_TRY(SameFounders(FoundersOf(*config), asked));
  peer::FoundingReply reply;
  reply.set_cluster_id(drawn);
  co_return reply.SerializeAsString();
}

/// nullopt: no answer yet. Errors: as FoundCluster.
runtime::Task<Result<std::optional<peer::FoundingReply>>> AskFounder(runtime::World* world,
                                                                     const NodeConfig* config,
                                                                     runtime::Address to,
                                                                     std::string body) {
  const Instant deadline = world->Now() + kAnswerPatience;
  auto answer = co_await runtime::WithDeadline(
      world->executor(), AskAsGuest(world, to, config->cluster, Method::kFounding, body), deadline);
  if (answer && !*answer && IsFinal(answer->error())) {
    co_return std::unexpected(std::move(answer->error()));
  }
  peer::FoundingReply reply;
  if (!answer || !*answer || !reply.ParseFromString(**answer)) co_return std::nullopt;
  co_return std::move(reply);
}

}  // namespace

std::vector<NodeId> FoundersOf(const NodeConfig& config) {
  std::vector<NodeId> founders;
  for (const MemberConfig& member : config.members) founders.push_back(member.id);
  std::sort(founders.begin(), founders.end());
  return founders;
}

Status SameFounders(const std::vector<NodeId>& founders, const peer::Founding& asked) {
  std::vector<NodeId> theirs;
  for (const std::uint64_t id : asked.founders()) theirs.push_back(NodeId(id));
  if (theirs == founders) return Ok();
  const auto names = [](const std::vector<NodeId>& ids) {
    std::string text;
    for (const NodeId id : ids) text += (text.empty() ? "" : ", ") + std::to_string(id.value);
    return text;
  };
  return Fail(ErrorCode::kOtherFounders,
              fmt::format("nodes {}, not nodes {}", names(founders), names(theirs)));
}

runtime::Task<Result<std::uint64_t>> FoundCluster(runtime::World* world, const NodeConfig* config,
                                                  std::shared_ptr<runtime::Listener> listener,
                                                  std::uint64_t drawn) {
  Transport answers(*world, config->id, NameIdOf(config->cluster), {}, Transport::Limits{});
  answers.OnGuest(Method::kFounding, [config, drawn](NodeId, std::string body, Instant) {
    return AnswerAsFounder(config, drawn, std::move(body));
  });
  answers.Start(std::move(listener));

  const std::vector<NodeId> founders = FoundersOf(*config);
  peer::Founding question;
  question.set_from(config->id.value);
  for (const NodeId id : founders) question.add_founders(id.value);
  const std::string body = question.SerializeAsString();

  std::deque<runtime::Address> pending;
  std::set<runtime::Address> asked;
  std::map<runtime::Address, NodeId> founder_at;
  for (const MemberConfig& member : config->members) {
    asked.insert(member.peer);
    founder_at[member.peer] = member.id;
    if (member.id != config->id) pending.push_back(member.peer);
  }
  std::uint64_t proposed = drawn;
  std::uint64_t begun = 0;
  Duration pause = kAskAgainMin;
  Instant say_at = world->Now() + kSayAgain;
  while (!pending.empty()) {
    const std::size_t round = pending.size();
    for (std::size_t i = 0; i < round; ++i) {
      const runtime::Address to = pending.front();
      pending.pop_front();
      COT_CO_ASSIGN(const auto heard, co_await AskFounder(world, config, to, body));
      if (!heard) {
        pending.push_back(to);
        continue;
      }
      const peer::FoundingReply& reply = *heard;
      if (!reply.begun()) {
        if (founder_at[to] == founders.front()) proposed = reply.cluster_id();
        continue;
      }
      if (begun != 0 && begun != reply.cluster_id()) {
        co_return Fail(ErrorCode::kWrongCluster, "the founders are of different clusters");
      }
      begun = reply.cluster_id();
      for (const std::string& text : reply.peers()) {
        const auto peer = runtime::ParseAddress(text);
        if (peer && asked.size() < kAskedMax && asked.insert(*peer).second) {
          pending.push_back(*peer);
        }
      }
    }
    if (pending.empty()) break;
    if (world->Now() >= say_at) {
      world->log().Warn("node",
                        "a new data directory: waiting for {} of the other nodes to say that they "
                        "never heard of this one, {} first",
                        pending.size(), ToText(pending.front()));
      say_at = world->Now() + kSayAgain;
    }
    co_await runtime::Sleep(world->executor(), pause);
    pause = std::min(pause * 2, kAskAgainMax);
  }
  co_return begun != 0 ? begun : proposed;
}

}  // namespace coterie::node
