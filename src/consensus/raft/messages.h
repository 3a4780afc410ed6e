#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/ids.h"

namespace coterie::raft {

enum class EntryKind : std::uint8_t {
  kNoop = 0,           ///< a leader's first entry of its term [Raft §5.4.2, §8]
  kCommand = 1,        ///< for the state machine
  kConfiguration = 2,  ///< a Configuration, in force from the moment it is appended [Raft §6]
};

/// One entry of the replicated log. Shared between the log, messages and the driver; never changed.
struct Entry {
  Term term;
  LogIndex index;
  EntryKind kind = EntryKind::kCommand;
  std::string payload;
};
using EntryPtr = std::shared_ptr<const Entry>;

/// Who votes and who only learns. While `outgoing` is not empty the configuration is joint:
/// agreement needs a majority of both sets [Raft §6].
struct Configuration {
  std::vector<NodeId> voters;
  std::vector<NodeId> outgoing;
  std::vector<NodeId> learners;
  friend bool operator==(const Configuration&, const Configuration&) = default;
};
std::string Encode(const Configuration& configuration);
/// nullopt if `bytes` is not an encoded Configuration.
std::optional<Configuration> DecodeConfiguration(std::string_view bytes);

/// Asks for a vote, or with `pre_vote` whether one would be given [Raft §5.2, §9.6].
struct RequestVote {
  Term term;
  LogIndex last_log_index;
  Term last_log_term;
  bool pre_vote = false;
  bool leadership_transfer =
      false;  ///< set after TimeoutNow: voters do not wait for a silent leader
};
struct RequestVoteReply {
  Term term;
  bool pre_vote = false;
  bool granted = false;
};

/// Replicates entries and, empty, keeps leadership; carries the newest read round [Raft §5.3,
/// §6.4].
struct AppendEntries {
  Term term;
  LogIndex prev_log_index;
  Term prev_log_term;
  LogIndex leader_commit;
  std::uint64_t read_round = 0;
  std::vector<EntryPtr> entries;
  /// Says the same from the same log: entries are compared by identity.
  friend bool operator==(const AppendEntries&, const AppendEntries&) = default;
};
struct AppendEntriesReply {
  Term term;
  bool success = false;
  LogIndex match_index;     ///< success: the log agrees up to here and is durable
  LogIndex rejected_index;  ///< failure: the prev_log_index that did not match
  LogIndex hint_index;      ///< failure: where the follower's log may agree
  Term hint_term;
  std::uint64_t read_round = 0;
  bool recovering = false;  ///< counts for nothing: see Restored::forgotten
};

/// The driver has streamed a state up to `last_index` to the receiver, which has it complete beside
/// its own state and now asks its core whether to take it [Raft §7].
struct InstallSnapshot {
  Term term;
  LogIndex last_index;
  Term last_term;
  Configuration configuration;
};

/// "Campaign now": leadership transfer [Raft §3.10 of the thesis].
struct TimeoutNow {
  Term term;
};

using Message = std::variant<RequestVote, RequestVoteReply, AppendEntries, AppendEntriesReply,
                             InstallSnapshot, TimeoutNow>;

struct Envelope {
  NodeId to;
  Message message;
};

}  // namespace coterie::raft
