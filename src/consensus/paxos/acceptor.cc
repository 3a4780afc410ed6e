#include "consensus/paxos/acceptor.h"

#include <algorithm>

#include "base/assert.h"
#include "consensus/paxos/mutants.h"

namespace coterie::paxos {

void Acceptor::Raise(Epoch epoch) {
  COT_ASSERT(epoch >= epoch_);
  epoch_ = epoch;
}

Acceptor::Answer Acceptor::Step(Register& state, const Request& request) const {
  COT_ASSERT(state.accepted <= state.promised);
  if (const auto* query = std::get_if<Query>(&request)) {
    if (query->epoch != epoch_) return {StaleEpoch{query->epoch, epoch_}};
    return {Report{query->number, state.accepted, state.value}};
  }
  const auto* prepare = std::get_if<Prepare>(&request);
  const Ballot ballot = prepare != nullptr ? prepare->ballot : std::get<Accept>(request).ballot;
  if (ballot.epoch != epoch_ && !COT_PAXOS_MUTANT(kAnyEpoch)) {
    return {StaleEpoch{ballot.epoch, epoch_}};
  }
  return prepare != nullptr ? OnPrepare(state, *prepare)
                            : OnAccept(state, std::get<Accept>(request));
}

Acceptor::Answer Acceptor::OnPrepare(Register& state, const Prepare& prepare) const {
  if (prepare.ballot < state.promised) return {Refused{prepare.ballot, state.promised}};
  // The same ballot again is its proposer asking once more.
  const bool changed = prepare.ballot > state.promised;
  state.promised = prepare.ballot;
  Promise promise{prepare.ballot, state.accepted, state.value};
  if (COT_PAXOS_MUTANT(kPromiseForgetsValue)) promise = {prepare.ballot, {}, {}};
  return {promise, changed && !COT_PAXOS_MUTANT(kPromiseNotPersisted)};
}

Acceptor::Answer Acceptor::OnAccept(Register& state, const Accept& accept) const {
  // Its own earlier acceptance asked for again: `next` was promised with it.
  if (accept.ballot == state.accepted) return {Accepted{accept.ballot}};
  if (accept.ballot < state.promised && !COT_PAXOS_MUTANT(kAcceptBelowPromise)) {
    return {Refused{accept.ballot, state.promised}};
  }
  state.accepted = accept.ballot;
  state.value = accept.value;
  const Ballot promised = COT_PAXOS_MUTANT(kNextNotStored) ? accept.ballot : accept.next;
  state.promised = std::max({state.promised, accept.ballot, promised});
  return {Accepted{accept.ballot}, !COT_PAXOS_MUTANT(kAcceptNotPersisted)};
}

}  // namespace coterie::paxos
