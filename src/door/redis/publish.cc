#include "door/redis/publish.h"

#include <fmt/format.h>

#include <utility>

#include "base/coding.h"
#include "door/redis/door_state.h"
#include "door/redis/text.h"

namespace coterie::door::redis {
namespace {

void Remove(auto& from, Connection& connection, std::string_view name) {
  const auto found = from.find(name);
  if (found == from.end()) return;
  found->second.erase(connection.id);
  if (found->second.empty()) from.erase(found);
}

/// A message as it goes to one connection, in its protocol.
std::string Encoded(int protocol, std::initializer_list<std::string_view> parts) {
  std::string out;
  Reply reply(out, protocol);
  reply.Push(parts.size());
  for (const std::string_view part : parts) reply.Bulk(part);
  return out;
}

}  // namespace

Publisher::Publisher(NodeId self, node::Transport* transport,
                     std::function<std::vector<NodeId>()> other_nodes)
    : self_(self), transport_(transport), other_nodes_(std::move(other_nodes)) {
  if (transport_ == nullptr) return;
  transport_->OnMessage(node::FrameType::kPublish, [this](NodeId, std::string_view body) {
    const auto channel = GetLengthPrefixed(body);
    if (!channel) return;  // of a version that we do not know: at most once allows for it
    const auto message = GetLengthPrefixed(body);
    if (message) Deliver(*channel, *message);
  });
}

void Publisher::Subscribe(Connection& connection, std::string_view channel) {
  if (!connection.channels.emplace(channel).second) return;
  channels_[std::string(channel)].emplace(connection.id, &connection);
}
void Publisher::SubscribePattern(Connection& connection, std::string_view pattern) {
  if (!connection.patterns.emplace(pattern).second) return;
  patterns_[std::string(pattern)].emplace(connection.id, &connection);
}
void Publisher::Unsubscribe(Connection& connection, std::string_view channel) {
  const auto found = connection.channels.find(channel);
  if (found == connection.channels.end()) return;
  Remove(channels_, connection, channel);
  connection.channels.erase(found);
}
void Publisher::UnsubscribePattern(Connection& connection, std::string_view pattern) {
  const auto found = connection.patterns.find(pattern);
  if (found == connection.patterns.end()) return;
  Remove(patterns_, connection, pattern);
  connection.patterns.erase(found);
}

void Publisher::Forget(Connection& connection) {
  for (const std::string& channel : connection.channels) Remove(channels_, connection, channel);
  for (const std::string& pattern : connection.patterns) Remove(patterns_, connection, pattern);
  connection.channels.clear();
  connection.patterns.clear();
}

std::size_t Publisher::Deliver(std::string_view channel, std::string_view message) {
  ++messages_;
  std::size_t receivers = 0;
  if (const auto found = channels_.find(channel); found != channels_.end()) {
    for (const auto& [id, connection] : found->second) {
      connection->Push(Encoded(connection->context().protocol, {"message", channel, message}));
      ++receivers;
    }
  }
  for (const auto& [pattern, subscribed] : patterns_) {
    if (!GlobMatch(pattern, channel)) continue;
    for (const auto& [id, connection] : subscribed) {
      connection->Push(
          Encoded(connection->context().protocol, {"pmessage", pattern, channel, message}));
      ++receivers;
    }
  }
  return receivers;
}

std::size_t Publisher::Publish(std::string_view channel, std::string_view message) {
  if (transport_ != nullptr) {
    std::string body;
    PutLengthPrefixed(body, channel);
    PutLengthPrefixed(body, message);
    for (const NodeId node : other_nodes_())
      if (node != self_) transport_->Send(node, node::FrameType::kPublish, body);
  }
  return Deliver(channel, message);
}

std::vector<std::string> Publisher::Channels(std::string_view pattern) const {
  std::vector<std::string> found;
  for (const auto& [channel, subscribed] : channels_)
    if (pattern.empty() || GlobMatch(pattern, channel)) found.push_back(channel);
  return found;
}

std::size_t Publisher::Subscribers(std::string_view channel) const {
  const auto found = channels_.find(channel);
  return found == channels_.end() ? 0 : found->second.size();
}

std::size_t Publisher::Receivers(std::string_view channel) const {
  std::size_t receivers = Subscribers(channel);
  for (const auto& [pattern, subscribed] : patterns_)
    if (GlobMatch(pattern, channel)) receivers += subscribed.size();
  return receivers;
}

std::vector<std::string> Publisher::Patterns() const {
  std::vector<std::string> found;
  for (const auto& [pattern, subscribed] : patterns_) found.push_back(pattern);
  return found;
}

namespace {

/// One answer a channel, as SUBSCRIBE and its like give them.
void Told(Connection& connection, Reply& reply, std::string_view what, std::string_view name) {
  reply.Push(3);
  reply.Bulk(what);
  reply.Bulk(name);
  reply.Integer(static_cast<std::int64_t>(connection.channels.size() + connection.patterns.size()));
}

void Leave(Publisher& publisher, Connection& connection, Words words, bool patterns, Reply& reply) {
  const std::string_view what = patterns ? "punsubscribe" : "unsubscribe";
  const auto& all = patterns ? connection.patterns : connection.channels;
  std::vector<std::string> names(words.begin() + 1, words.end());
  if (names.empty()) names.assign(all.begin(), all.end());
  if (names.empty()) {
    reply.Push(3);
    reply.Bulk(what);
    reply.Null();
    reply.Integer(
        static_cast<std::int64_t>(connection.channels.size() + connection.patterns.size()));
  }
  for (const std::string& name : names) {
    if (patterns) {
      publisher.UnsubscribePattern(connection, name);
    } else {
      publisher.Unsubscribe(connection, name);
    }
    Told(connection, reply, what, name);
  }
}

/// What is not asked of the whole cluster (ClusterSubscribers).
void RunPubSub(DoorState& door, Words words, Reply& reply) {
  if (IsWord(words[1], "help")) return RunServerCommand(door, words, reply, CommandId::kPubsub);
  if (IsWord(words[1], "shardnumsub")) {
    reply.Array(2 * (words.size() - 2));
    for (const std::string_view channel : words.subspan(2)) {
      reply.Bulk(channel);
      reply.Integer(0);
    }
  } else if (IsWord(words[1], "shardchannels") && words.size() <= 3) {
    reply.Array(0);
  } else {
    reply.Error(
        fmt::format("ERR unknown subcommand or wrong number of arguments for '{:.128}'. Try PUBSUB "
                    "HELP.",
                    words[1]));
  }
}

}  // namespace

void RunPubSubCommand(DoorState& door, Connection& connection, Words words, Reply& reply) {
  Publisher& publisher = door.publisher;
  switch (connection.last_command->id) {
    case CommandId::kSubscribe:
      for (const std::string_view channel : words.subspan(1)) {
        publisher.Subscribe(connection, channel);
        Told(connection, reply, "subscribe", channel);
      }
      return;
    case CommandId::kPsubscribe:
      for (const std::string_view pattern : words.subspan(1)) {
        publisher.SubscribePattern(connection, pattern);
        Told(connection, reply, "psubscribe", pattern);
      }
      return;
    case CommandId::kUnsubscribe:
      return Leave(publisher, connection, words, false, reply);
    case CommandId::kPunsubscribe:
      return Leave(publisher, connection, words, true, reply);
    default:
      return RunPubSub(door, words, reply);
  }
}

}  // namespace coterie::door::redis
