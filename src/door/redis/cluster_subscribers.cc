#include "door/redis/cluster_subscribers.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/coding.h"
#include "door/redis/gather.h"
#include "door/redis/reply.h"
#include "door/redis/text.h"

namespace coterie::door::redis {
namespace {

using Kind = SubscribersQuestion::Kind;

constexpr std::uint64_t kVersion = 1;

bool IsCount(Kind kind) { return kind == Kind::kReceivers || kind == Kind::kSubscribers; }

}  // namespace

std::string Encode(const SubscribersQuestion& question) {
  std::string out;
  PutVarint(out, kVersion);
  PutVarint(out, static_cast<std::uint64_t>(question.kind));
  PutVarint(out, question.names.size());
  for (const std::string& name : question.names) PutLengthPrefixed(out, name);
  return out;
}

Result<SubscribersQuestion> DecodeQuestion(std::string_view body) {
  const auto version = GetVarint(body);
  const auto kind = version ? GetVarint(body) : std::nullopt;
  const auto count = kind ? GetVarint(body) : std::nullopt;
  const bool known = count && *version == kVersion && *kind >= 1 && *kind <= 4;
  if (!known) return Fail(ErrorCode::kMalformed, "question about subscribers");
  SubscribersQuestion question{.kind = static_cast<Kind>(*kind), .names = {}};
  for (std::uint64_t i = 0; i < *count; ++i) {
    const auto name = GetLengthPrefixed(body);
    if (!name) return Fail(ErrorCode::kMalformed, "question about subscribers: names");
    question.names.emplace_back(*name);
  }
  if (question.kind == Kind::kChannels && question.names.size() != 1)
    return Fail(ErrorCode::kMalformed, "question about subscribers: pattern");
  if (!body.empty()) return Fail(ErrorCode::kMalformed, "question about subscribers: length");
  return question;
}

ClusterSubscribers::ClusterSubscribers(runtime::World& world, NodeId self,
                                       node::Transport* transport, const Publisher& publisher,
                                       std::function<std::vector<NodeId>()> nodes)
    : world_(world),
      self_(self),
      transport_(transport),
      publisher_(publisher),
      nodes_(std::move(nodes)) {
  if (transport_ == nullptr) return;
  transport_->OnCall(node::Method::kSubscribers,
                     [this](NodeId, std::string body, Instant) { return Serve(std::move(body)); });
}

runtime::Task<Result<std::string>> ClusterSubscribers::Serve(std::string body) {
  Result<std::string> answer = Answer(body);
  co_return answer;
}

Result<std::string> ClusterSubscribers::Answer(std::string_view body) const {
  COT_ASSIGN(SubscribersQuestion question, DecodeQuestion(body));
  std::string out;
  if (IsCount(question.kind)) {
    for (const std::string& name : question.names) {
      const bool receivers = question.kind == Kind::kReceivers;
      PutVarint(out, receivers ? publisher_.Receivers(name) : publisher_.Subscribers(name));
    }
    return out;
  }
  const auto names = question.kind == Kind::kChannels ? publisher_.Channels(question.names.front())
                                                      : publisher_.Patterns();
  for (const std::string& name : names) PutLengthPrefixed(out, name);
  if (out.size() > kAnswerBytesMax) return Fail(ErrorCode::kTooLarge, "names of channels");
  return out;
}

std::vector<NodeId> ClusterSubscribers::Asked() const {
  std::vector<NodeId> asked;
  if (transport_ == nullptr) return asked;
  for (const NodeId node : nodes_()) {
    const auto paused = paused_until_.find(node);
    const bool waits = paused != paused_until_.end() && world_.Now() < paused->second;
    if (node != self_ && !waits && transport_->connected(node)) asked.push_back(node);
  }
  return asked;
}

bool ClusterSubscribers::alone() const { return Asked().empty(); }

runtime::Task<std::string> ClusterSubscribers::Ask(NodeId node, std::string body) {
  const Instant deadline = world_.Now() + kPatience;
  Result<std::string> answer =
      co_await transport_->Call(node, node::Method::kSubscribers, std::move(body), deadline);
  if (answer) co_return std::move(*answer);
  if (answer.error().code == ErrorCode::kTimedOut) paused_until_[node] = world_.Now() + kPause;
  co_return "";
}

runtime::Task<std::vector<std::string>> ClusterSubscribers::AskAll(SubscribersQuestion question) {
  const std::string body = Encode(question);
  std::erase_if(paused_until_, [this](const auto& one) { return one.second <= world_.Now(); });
  std::vector<runtime::Task<std::string>> tasks;
  for (const NodeId node : Asked()) tasks.push_back(Ask(node, body));
  if (tasks.empty()) co_return std::vector<std::string>();
  co_return co_await All(world_.executor(), std::move(tasks));
}

runtime::Task<std::vector<std::uint64_t>> ClusterSubscribers::Counts(SubscribersQuestion question) {
  std::vector<std::uint64_t> counts(question.names.size());
  const std::vector<std::string> answers = co_await AskAll(std::move(question));
  for (std::string_view answer : answers) {
    for (std::uint64_t& count : counts) {
      const auto more = GetVarint(answer);
      if (!more) break;
      count += *more;
    }
  }
  co_return counts;
}

runtime::Task<std::vector<std::string>> ClusterSubscribers::Names(SubscribersQuestion question) {
  const auto here = question.kind == Kind::kChannels ? publisher_.Channels(question.names.front())
                                                     : publisher_.Patterns();
  std::set<std::string> names(here.begin(), here.end());
  const std::vector<std::string> answers = co_await AskAll(std::move(question));
  for (std::string_view answer : answers)
    while (const auto name = GetLengthPrefixed(answer)) names.emplace(*name);
  co_return std::vector<std::string>(names.begin(), names.end());
}

runtime::Task<std::vector<std::uint64_t>> ClusterSubscribers::Receivers(
    std::vector<std::string> channels) {
  co_return co_await Counts({.kind = Kind::kReceivers, .names = std::move(channels)});
}

runtime::Task<std::string> ClusterSubscribers::Run(Context context, OwnedWords words) {
  std::string out;
  Reply reply(out, context.protocol);
  if (IsWord(words[1], "channels")) {
    const std::string pattern = words.size() == 3 ? words[2] : std::string();
    const auto names = co_await Names({.kind = Kind::kChannels, .names = {pattern}});
    reply.Array(names.size());
    for (const std::string& name : names) reply.Bulk(name);
  } else if (IsWord(words[1], "numpat")) {
    const auto names = co_await Names({.kind = Kind::kPatterns, .names = {}});
    reply.Integer(static_cast<std::int64_t>(names.size()));
  } else {
    const std::vector<std::string> channels(words.begin() + 2, words.end());
    const auto elsewhere = co_await Counts({.kind = Kind::kSubscribers, .names = channels});
    reply.Array(2 * channels.size());
    for (std::size_t i = 0; i < channels.size(); ++i) {
      reply.Bulk(channels[i]);
      reply.Integer(static_cast<std::int64_t>(publisher_.Subscribers(channels[i]) + elsewhere[i]));
    }
  }
  co_return out;
}

}  // namespace coterie::door::redis
