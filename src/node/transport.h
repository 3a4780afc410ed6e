#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "base/time.h"
#include "net/frame.h"
#include "node/config.h"
#include "node/peer_types.h"
#include "runtime/scope.h"
#include "runtime/sync.h"
#include "runtime/world.h"

namespace coterie::node {

/// A fault injected into what this node sends to one peer (demo clusters only).
struct LinkFault {
  bool cut = false;
  Duration delay{};
};

struct PeerStatus {
  NodeId id;
  std::string name;
  bool connected = false;  ///< our connection to it stands
  Duration silent_for{};   ///< since anything came from it; max() if never
  LinkFault fault;
  std::uint32_t version = 0;  ///< what it knows, while its connection stands; 0: it does not
  bool refused = false;       ///< it said that this node is not of its cluster (any more)
};

/// Messages to and from the other nodes. One connection per direction and peer; a node speaks only
/// on the one it made, and answers pings on the other's. Messages may be lost (no connection, a
/// full queue, a fault) but are whole, in order per connection, and come from a node of the same
/// cluster.
class Transport {
 public:
  using MessageHandler = std::function<void(NodeId from, std::string_view body)>;
  using CallHandler = std::function<runtime::Task<Result<std::string>>(
      NodeId from, std::string body, Instant deadline)>;

  struct Limits {
    std::size_t queue_bytes_max = 64u << 20;  ///< per peer; over it messages are dropped
    std::size_t calls_max = 65536;            ///< answers awaited at once; over it kOverloaded
    /// A connection is asked for a sign of life this often, and ended after so many in a row
    /// without one: a machine that lost power never says that its connections are gone.
    Duration ping_interval = 1s;
    int silent_pings_max = 5;
    std::size_t accepted_max = 256;  ///< connections from others at once; over it they are refused
  };

  /// `members` may include this node: what it tells strangers about itself.
  Transport(runtime::World& world, NodeId self, std::uint64_t cluster_id,
            const std::vector<MemberConfig>& members, Limits limits);
  ~Transport();

  /// From now on there is this peer, at this address; one that is known by another is connected
  /// anew. Itself is ignored, but for what it says when it introduces itself.
  void SetPeer(const MemberConfig& member);
  /// Ends all connections with it. Not from inside one of its handlers.
  void RemovePeer(NodeId id);

  /// Set before Start.
  void OnMessage(FrameType type, MessageHandler handler) { on_message_[type] = std::move(handler); }
  void OnCall(Method method, CallHandler handler) { on_call_[method] = std::move(handler); }
  /// For calls that name `shard`, before those of OnCall; may be set at any time.
  void OnShardCall(ShardId shard, Method method, CallHandler handler);
  /// Takes a shard's handlers away and ends the answers under way in them: their callers are not
  /// answered. Not from inside one of them.
  void RemoveShard(ShardId shard);
  /// Called when the connection to a peer is lost.
  void OnLost(std::function<void(NodeId)> handler) { on_lost_ = std::move(handler); }

  /// A node of this cluster that is no peer introduces itself: to become one, or to be refused with
  /// the answer.
  void OnStranger(std::function<Status(const MemberConfig&)> handler) {
    on_stranger_ = std::move(handler);
  }
  /// A call that a machine may make which is no node yet, and does not know the cluster's id:
  /// it names the cluster by `name_id`. `from` is 0.
  void OnGuest(Method method, CallHandler handler) { on_guest_[method] = std::move(handler); }
  void SetNameId(std::uint64_t name_id) { name_id_ = name_id; }
  /// What a node says of itself when it introduces itself.
  struct Manifest {
    std::uint64_t birth = 0;    ///< of its data directory
    std::uint32_t version = 1;  ///< the newest that it knows
  };
  void SetManifest(Manifest manifest) { manifest_ = manifest; }
  /// Judges what others say of themselves before anything else of them is heard; an error refuses
  /// the connection.
  using Acquaintance = std::function<runtime::Task<Status>(NodeId from, Manifest manifest)>;
  void OnIntroduced(Acquaintance handler) { on_introduced_ = std::move(handler); }
  /// A peer does not take this node's connection, and says why.
  void OnRefused(std::function<void(NodeId by, Error why)> handler) {
    on_refused_ = std::move(handler);
  }

  /// Accepts from `listener` and keeps connecting to every peer, until destroyed.
  void Start(std::shared_ptr<runtime::Listener> listener);

  /// Ends every connection and every answer under way. Before the objects that handlers use go.
  void Stop();

  /// Queues a message; it goes out at the end of this turn together with others, or is dropped.
  void Send(NodeId to, FrameType type, std::string_view body);

  /// Asks and awaits the answer. Errors: kConnectFailed, kOverloaded (not applied), kTimedOut,
  /// kConnectionClosed (unknown), and what the other side answered: kNotReplica (not applied) if
  /// the method is a shard's and the other has no replica of `shard`.
  runtime::Task<Result<std::string>> Call(NodeId to, Method method, std::string body,
                                          Instant deadline, ShardId shard = {});

  void SetFault(NodeId to, LinkFault fault);
  void Heal();
  std::vector<PeerStatus> peers() const;
  bool connected(NodeId peer) const;

 private:
  struct Peer;
  struct Accepted;
  struct ShardCalls {
    std::map<Method, CallHandler> handlers;
    runtime::Scope answers;
  };
  struct PendingCall {
    NodeId to;
    runtime::Slot<Result<std::string>>* slot;
  };

  runtime::Task<void> ConnectLoop(Peer* peer);
  runtime::Task<void> ReadUntilClosed(Peer* peer);
  runtime::Task<void> Ping(Peer* peer);
  runtime::Task<void> AcceptLoop(std::shared_ptr<runtime::Listener> listener);
  runtime::Task<void> ReadLoop(std::unique_ptr<runtime::Stream> stream);
  runtime::Task<void> CloseWhenSilent(Accepted* connection);
  /// Who `frame`, a connection's first, introduces.
  struct Introduction {
    enum class Kind : std::uint8_t { kNobody, kPeer, kGuest, kRefused };
    Kind kind = Kind::kNobody;
    NodeId from;
    Error refusal{};
    Manifest manifest{};
    runtime::Address address{};
  };
  Introduction Introduced(const net::Frame& frame);
  void Welcome(Accepted* connection, const Introduction& who);
  runtime::Task<void> Refuse(Accepted* connection, Error refusal);
  runtime::Task<void> ServeGuest(Accepted* connection, net::FrameDecoder* decoder);
  void OnRefusal(Peer* peer, std::string_view body);
  runtime::Task<void> Serve(NodeId from, std::uint64_t call_id, CallHandler* handler,
                            std::string body, Instant deadline);
  runtime::Task<void> SendLater(Peer* peer, FrameType type, std::string body,
                                std::uint32_t deadline_ms, Duration delay);
  /// False if the message was dropped for sure.
  bool Enqueue(NodeId to, FrameType type, std::string_view body, std::uint32_t deadline_ms);
  bool Push(Peer& peer, FrameType type, std::string_view body, std::uint32_t deadline_ms);
  void OnFrame(NodeId from, std::uint16_t type, std::uint32_t deadline_ms, std::string body);
  void OnCallFrame(NodeId from, std::uint32_t deadline_ms, std::string_view body);
  void OnReplyFrame(NodeId from, std::string_view body);
  void FailCalls(NodeId to);

  runtime::World& world_;
  const NodeId self_;
  const std::uint64_t cluster_id_;
  const Limits limits_;
  MemberConfig self_info_;
  bool started_ = false;
  std::map<NodeId, std::unique_ptr<Peer>> peers_;
  std::map<FrameType, MessageHandler> on_message_;
  std::map<Method, CallHandler> on_call_;
  std::map<ShardId, std::unique_ptr<ShardCalls>> on_shard_call_;
  std::function<void(NodeId)> on_lost_;
  std::function<Status(const MemberConfig&)> on_stranger_;
  std::map<Method, CallHandler> on_guest_;
  Acquaintance on_introduced_;
  std::function<void(NodeId, Error)> on_refused_;
  std::uint64_t name_id_;
  Manifest manifest_;
  std::uint64_t next_call_;  // begins anywhere: an answer may outlive the process that asked
  std::map<std::uint64_t, PendingCall> calls_;
  std::size_t accepted_ = 0;
  runtime::Scope scope_;  // last: its tasks use everything above
};

}  // namespace coterie::node
