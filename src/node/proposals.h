#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/status.h"
#include "model/state_machine.h"
#include "runtime/sync.h"

namespace coterie::node {

/// Names one try to get a command into a log: 16 bytes in front of the command in the entry's
/// payload.
struct ProposalId {
  NodeId node;
  std::uint64_t number = 0;
};
inline constexpr std::size_t kProposalHeaderBytes = 16;
std::string WithHeader(ProposalId id, std::string_view command);
struct SplitPayload {
  ProposalId id;
  std::string_view command;
};
/// nullopt if `payload` is too short to be a proposal's.
std::optional<SplitPayload> Split(std::string_view payload);

/// The proposals made on this node that wait for their command to be applied here.
class Proposals {
 public:
  using Answer = Result<std::unique_ptr<model::StateMachine::Answer>>;

  /// One waiting proposal; lives in its request's frame and withdraws itself with it.
  class Waiter {
   public:
    Waiter(Proposals& owner, runtime::Executor& executor, std::uint64_t number);
    ~Waiter();
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;
    /// Where the leader appended it: from now on another entry there means that it is lost for
    /// sure.
    void PlacedAt(LogIndex index, Term term);
    /// Before it is passed to the leader of `term`, which takes it in that term only: once an entry
    /// of a later term was applied it is lost for sure, whether or not the leader's word came back.
    void SentIn(Term term) { sent_in_ = term; }
    runtime::Slot<Answer>& slot() { return slot_; }

   private:
    friend class Proposals;
    void Unplace();
    Proposals& owner_;
    const std::uint64_t number_;
    runtime::Slot<Answer> slot_;
    std::optional<std::multimap<LogIndex, Waiter*>::iterator> place_;
    Term term_;
    std::optional<Term> sent_in_;
  };

  bool Waiting(std::uint64_t number) const { return by_number_.contains(number); }
  void Resolve(std::uint64_t number, Answer answer);
  /// The entry at `index` was applied with `term`: proposals placed there in another term are lost,
  /// and so are those that were sent in an earlier term.
  void OnApplied(LogIndex index, Term term);
  /// State up to `index`, of `term`, came as a snapshot: what became of proposals placed there is
  /// unknown, also of those whose place is learned only later, and of those sent by `term`.
  void OnSkipped(LogIndex index, Term term);
  /// Nothing is applied here any more: what becomes of those that wait is unknown.
  void Abandon();
  std::size_t size() const { return by_number_.size(); }

 private:
  /// Answers every unplaced waiter that was sent before `term`, in the order of their numbers.
  void AnswerSentBefore(Term term, const Error& error);

  Term applied_term_;
  std::map<std::uint64_t, Waiter*> by_number_;
  std::multimap<LogIndex, Waiter*> by_place_;
  LogIndex applied_;  // entries up to here were applied one by one, or
  LogIndex skipped_;  // up to here came as a snapshot
};

}  // namespace coterie::node
