#include "node/proposals.h"

#include <vector>

#include "base/assert.h"
#include "base/coding.h"

namespace coterie::node {

std::string WithHeader(ProposalId id, std::string_view command) {
  std::string payload;
  payload.reserve(kProposalHeaderBytes + command.size());
  PutFixed64(payload, id.node.value);
  PutFixed64(payload, id.number);
  payload.append(command);
  return payload;
}

std::optional<SplitPayload> Split(std::string_view payload) {
  const auto node = GetFixed64(payload);
  const auto number = GetFixed64(payload);
  if (!node || !number) return std::nullopt;
  return SplitPayload{{NodeId(*node), *number}, payload};
}

Proposals::Waiter::Waiter(Proposals& owner, runtime::Executor& executor, std::uint64_t number)
    : owner_(owner), number_(number), slot_(executor) {
  const bool added = owner_.by_number_.emplace(number, this).second;
  COT_ASSERT(added);
}

Proposals::Waiter::~Waiter() {
  Unplace();
  owner_.by_number_.erase(number_);
}

void Proposals::Waiter::PlacedAt(LogIndex index, Term term) {
  Unplace();
  if (slot_.set()) return;  // applied before the leader's word came back
  if (index <= owner_.skipped_) {
    slot_.Set(FailUnknown(ErrorCode::kLeaderChanged, "state came as a snapshot"));
    return;
  }
  if (index <= owner_.applied_) {  // while it waited, and it was not there
    slot_.Set(Fail(ErrorCode::kProposalDropped, "another leader's entry took its place"));
    return;
  }
  term_ = term;
  place_ = owner_.by_place_.emplace(index, this);
}

void Proposals::Waiter::Unplace() {
  if (place_) owner_.by_place_.erase(*place_);
  place_.reset();
}

void Proposals::Resolve(std::uint64_t number, Answer answer) {
  const auto found = by_number_.find(number);
  if (found == by_number_.end()) return;
  found->second->Unplace();
  found->second->slot_.Set(std::move(answer));
}

void Proposals::AnswerSentBefore(Term term, const Error& error) {
  std::vector<Waiter*> late;
  for (const auto& [number, waiter] : by_number_) {
    const bool open = !waiter->slot_.set() && !waiter->place_;
    if (open && waiter->sent_in_ && *waiter->sent_in_ < term) late.push_back(waiter);
  }
  for (Waiter* waiter : late) waiter->slot_.Set(std::unexpected(error));
}

void Proposals::OnApplied(LogIndex index, Term term) {
  COT_ASSERT(applied_term_ <= term);
  if (applied_term_ < term) {
    applied_term_ = term;
    // Terms never decrease along a log [Raft §5.4.1]: nothing of an earlier one comes any more.
    AnswerSentBefore(term, Error{ErrorCode::kProposalDropped, Outcome::kNotApplied,
                                 "its leader lost its term before it was committed"});
  }
  applied_ = std::max(applied_, index);
  while (!by_place_.empty() && by_place_.begin()->first <= index) {
    Waiter& waiter = *by_place_.begin()->second;
    // Right term at that index, yet unresolved: the entry was not the proposal's (its header
    // differs).
    const bool lost = waiter.term_ != term || waiter.place_.value()->first < index;
    waiter.Unplace();
    if (lost)
      waiter.slot_.Set(Fail(ErrorCode::kProposalDropped, "another leader's entry took its place"));
  }
}

void Proposals::OnSkipped(LogIndex index, Term term) {
  skipped_ = std::max(skipped_, index);
  while (!by_place_.empty() && by_place_.begin()->first <= index) {
    Waiter& waiter = *by_place_.begin()->second;
    waiter.Unplace();
    waiter.slot_.Set(FailUnknown(ErrorCode::kLeaderChanged, "state came as a snapshot"));
  }
  applied_term_ = std::max(applied_term_, term);
  // One that was sent in the snapshot's own term may be in it, too.
  AnswerSentBefore(term + 1,
                   Error{ErrorCode::kLeaderChanged, Outcome::kUnknown, "state came as a snapshot"});
}

void Proposals::Abandon() {
  by_place_.clear();
  for (const auto& [number, waiter] : by_number_) {
    waiter->place_.reset();
    waiter->slot_.Set(FailUnknown(ErrorCode::kStopped, "the replica has left this node"));
  }
}

}  // namespace coterie::node
