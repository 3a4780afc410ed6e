#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "door/redis/command.h"
#include "door/redis/publish.h"
#include "node/transport.h"
#include "runtime/world.h"

namespace coterie::door::redis {

/// What one node asks another about its subscribers, as Method::kSubscribers carries it.
struct SubscribersQuestion {
  enum class Kind : std::uint8_t {
    kReceivers = 1,    ///< who would take a message to each of `names`
    kSubscribers = 2,  ///< of each channel of `names`
    kChannels = 3,     ///< that match the one pattern of `names`
    kPatterns = 4,
  };
  Kind kind = Kind::kReceivers;
  std::vector<std::string> names;
};
std::string Encode(const SubscribersQuestion& question);
/// Error kMalformed. Total on any input; makes nothing larger than the input.
Result<SubscribersQuestion> DecodeQuestion(std::string_view body);

/// The subscribers of all nodes. Every other node that is connected is asked at once; one that does
/// not answer within kPatience counts as having none, and is not asked again for kPause.
class ClusterSubscribers final : public Executor {
 public:
  static constexpr Duration kPatience = 250ms;
  static constexpr Duration kPause = 5s;
  static constexpr std::size_t kAnswerBytesMax = 16u << 20;

  /// `transport` may be null: a node alone. Registers for Method::kSubscribers.
  ClusterSubscribers(runtime::World& world, NodeId self, node::Transport* transport,
                     const Publisher& publisher, std::function<std::vector<NodeId>()> nodes);

  /// There is no other node to ask now.
  bool alone() const;
  /// How many elsewhere would take a message to each of `channels`.
  runtime::Task<std::vector<std::uint64_t>> Receivers(std::vector<std::string> channels);

  /// PUBSUB CHANNELS, NUMSUB and NUMPAT.
  Step Begin(const Context&, Words, std::string&, node::WriteTicket&) override {
    return Step::kSuspend;
  }
  runtime::Task<std::string> Run(Context context, OwnedWords words) override;

  /// What this node answers. Errors: kMalformed, kTooLarge.
  Result<std::string> Answer(std::string_view body) const;

 private:
  runtime::Task<Result<std::string>> Serve(std::string body);
  std::vector<NodeId> Asked() const;
  runtime::Task<std::string> Ask(NodeId node, std::string body);
  /// The answers of those that gave one.
  runtime::Task<std::vector<std::string>> AskAll(SubscribersQuestion question);
  runtime::Task<std::vector<std::uint64_t>> Counts(SubscribersQuestion question);
  /// Names here and elsewhere, each once, in order.
  runtime::Task<std::vector<std::string>> Names(SubscribersQuestion question);

  runtime::World& world_;
  const NodeId self_;
  node::Transport* transport_;
  const Publisher& publisher_;
  std::function<std::vector<NodeId>()> nodes_;
  std::map<NodeId, Instant> paused_until_;
};

}  // namespace coterie::door::redis
