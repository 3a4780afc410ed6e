#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "node/transport.h"

namespace coterie::door::redis {

class Connection;

/// Channels and their subscribers on this node, and the way of a message to those of the others:
/// at most once, as in Redis. Order per publisher and channel is kept.
class Publisher {
 public:
  /// `transport` may be null: a node alone. Registers for FrameType::kPublish.
  Publisher(NodeId self, node::Transport* transport,
            std::function<std::vector<NodeId>()> other_nodes);

  void Subscribe(Connection& connection, std::string_view channel);
  void Unsubscribe(Connection& connection, std::string_view channel);
  void SubscribePattern(Connection& connection, std::string_view pattern);
  void UnsubscribePattern(Connection& connection, std::string_view pattern);
  /// Ends every subscription of a connection.
  void Forget(Connection& connection);

  /// To the subscribers here and to every other node; answers how many took it here.
  std::size_t Publish(std::string_view channel, std::string_view message);
  /// Channels with subscribers here, in order, that match `pattern` ("": all).
  std::vector<std::string> Channels(std::string_view pattern) const;
  std::size_t Subscribers(std::string_view channel) const;
  /// Connections here that a message to `channel` would go to, those by patterns included.
  std::size_t Receivers(std::string_view channel) const;
  std::vector<std::string> Patterns() const;
  std::size_t patterns() const { return patterns_.size(); }
  std::uint64_t messages() const { return messages_; }

 private:
  using Subscribed = std::map<std::string, std::map<std::uint64_t, Connection*>, std::less<>>;
  std::size_t Deliver(std::string_view channel, std::string_view message);

  NodeId self_;
  node::Transport* transport_;
  std::function<std::vector<NodeId>()> other_nodes_;
  Subscribed channels_, patterns_;
  std::uint64_t messages_ = 0;
};

}  // namespace coterie::door::redis
