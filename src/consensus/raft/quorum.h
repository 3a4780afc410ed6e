#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <vector>

#include "consensus/raft/messages.h"

namespace coterie::raft {

enum class VoteResult { kPending, kWon, kLost };
enum class Ballot { kNone, kGranted, kRefused };

/// How many of `n` make a majority: two of them always share a member.
std::size_t MajorityOf(std::size_t n);

/// The largest value that a majority of `voters` has reached, given each one's value. An empty set
/// binds nobody and so reaches everything: `Value`'s maximum.
template <class Value, class ValueOf>
Value MajorityValue(const std::vector<NodeId>& voters, Value top, ValueOf&& value_of) {
  if (voters.empty()) return top;
  std::vector<Value> values;
  values.reserve(voters.size());
  for (NodeId voter : voters) values.push_back(value_of(voter));
  const auto nth = values.begin() + static_cast<std::ptrdiff_t>(MajorityOf(values.size()) - 1);
  std::nth_element(values.begin(), nth, values.end(), [](Value a, Value b) { return b < a; });
  return *nth;
}

/// The same over both halves of a joint configuration: what both have reached [Raft §6].
template <class Value, class ValueOf>
Value QuorumValue(const Configuration& configuration, Value top, ValueOf&& value_of) {
  return std::min(MajorityValue(configuration.voters, top, value_of),
                  MajorityValue(configuration.outgoing, top, value_of));
}

/// Where an election stands, given each voter's ballot: lost as soon as it cannot be won any more.
VoteResult MajorityVote(std::size_t voters, std::size_t granted, std::size_t refused);

template <class BallotOf>
VoteResult MajorityVote(const std::vector<NodeId>& voters, BallotOf&& ballot_of) {
  std::size_t granted = 0;
  std::size_t refused = 0;
  for (NodeId voter : voters) {
    const Ballot ballot = ballot_of(voter);
    granted += ballot == Ballot::kGranted;
    refused += ballot == Ballot::kRefused;
  }
  return MajorityVote(voters.size(), granted, refused);
}

/// Won when both halves are won, lost when either is.
template <class BallotOf>
VoteResult QuorumVote(const Configuration& configuration, BallotOf&& ballot_of) {
  const VoteResult incoming = MajorityVote(configuration.voters, ballot_of);
  const VoteResult outgoing = MajorityVote(configuration.outgoing, ballot_of);
  if (incoming == VoteResult::kLost || outgoing == VoteResult::kLost) return VoteResult::kLost;
  if (incoming == VoteResult::kWon && outgoing == VoteResult::kWon) return VoteResult::kWon;
  return VoteResult::kPending;
}

}  // namespace coterie::raft
