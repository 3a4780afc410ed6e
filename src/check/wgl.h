#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/assert.h"
#include "check/history.h"

namespace coterie::check {

/// 128 bits that stand for a set of operations and a state; two that differ collide with
/// probability 2^-128, which is taken as never.
struct Fingerprint {
  std::uint64_t a = 0;
  std::uint64_t b = 0;
  friend bool operator==(const Fingerprint&, const Fingerprint&) = default;
};

constexpr std::uint64_t Mix(std::uint64_t z) {
  z += 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

/// A sequential object. `Step` applies operation number `op` to `state` and says whether the
/// recorded answer is one the object could have given; after false the state is unspecified.
/// `Reads` says that the operation, answered as it was, writes nothing in any state.
template <class M>
concept SequentialModel = requires(const M& model, typename M::State& state, std::uint32_t op) {
  requires std::copyable<typename M::State>;
  requires std::equality_comparable<typename M::State>;
  { model.Initial() } -> std::same_as<typename M::State>;
  { model.Step(state, op) } -> std::same_as<bool>;
  { model.Reads(op) } -> std::same_as<bool>;
  { model.Hash(state) } -> std::same_as<Fingerprint>;
  { model.DescribeState(state) } -> std::same_as<std::string>;
};

/// When an operation was under way. `return_ns == kNever`: it need not have happened at all.
struct Interval {
  std::int64_t invoke_ns = 0;
  std::int64_t return_ns = kNever;
  bool must_change = false;  ///< somebody saw its effect: an order in which it has none is wrong
};

/// What the search remembers of failed branches: which required operations were linearized, in what
/// state, and which of the optional ones were spent. A branch that spent more is no better.
class WglMemo {
 public:
  explicit WglMemo(std::size_t entries_max) : entries_max_(entries_max), table_(1024) {}

  /// False if an entry makes this one pointless; else inserts it. `full()` says that it could not.
  bool Insert(Fingerprint key, std::uint64_t spent) {
    std::size_t at = key.a & (table_.size() - 1);
    for (; table_[at].used; at = (at + 1) & (table_.size() - 1)) {
      if (table_[at].key == key && (table_[at].spent & ~spent) == 0) return false;
    }
    if (count_ >= entries_max_) {
      full_ = true;
      return true;
    }
    table_[at] = {key, spent, true};
    if (++count_ * 2 > table_.size()) Grow();
    return true;
  }
  bool full() const { return full_; }

 private:
  struct Entry {
    Fingerprint key;
    std::uint64_t spent = 0;
    bool used = false;
  };
  void Grow() {
    std::vector<Entry> old(table_.size() * 2);
    old.swap(table_);
    for (const Entry& e : old) {
      if (!e.used) continue;
      std::size_t at = e.key.a & (table_.size() - 1);
      while (table_[at].used) at = (at + 1) & (table_.size() - 1);
      table_[at] = e;
    }
  }

  std::size_t entries_max_;
  std::size_t count_ = 0;
  bool full_ = false;
  std::vector<Entry> table_;
};

struct WglResult {
  enum class Answer : std::uint8_t { kLinearizable, kNotLinearizable, kBudgetSpent };
  Answer answer = Answer::kLinearizable;
  std::uint64_t steps = 0;
  /// If not linearizable: the operation whose return ends the shortest prefix of the history that
  /// no order explains, the last operations of a longest order that was found, and its state.
  std::uint32_t blocked = 0;
  std::vector<std::uint32_t> tail;
  std::string state;
};

/// Decides whether some order of the operations respects real time and the model: Wing and Gong's
/// search with Lowe's memo [Wing-Gong 1993; Lowe 2017, "Testing for linearizability" §4]. Three
/// cuts keep it near linear on real histories:
///  - a read that is legal and leaves the state as it is can be taken at once and for good;
///  - optional operations (unknown outcome) are tried only where the required ones are stuck;
///  - a memo entry covers every branch that spent more of the first 64 optional ones to get there.
template <SequentialModel M>
class WglSearch {
 public:
  WglSearch(const M& model, std::span<const Interval> intervals) : model_(model) {
    BuildEvents(intervals);
  }

  WglResult Run(std::uint64_t steps_max, std::size_t memo_entries_max) {
    WglMemo memo(memo_entries_max);
    State state = model_.Initial();
    State next = state;
    std::uint32_t at = next_[0];
    std::uint32_t optional = 0;  // the next one to try once the required ones are stuck
    WglResult result;
    for (std::uint32_t left = required_; left > 0;) {
      result.steps = ++steps_;
      if (steps_ > steps_max || memo.full()) {
        result.answer = WglResult::Answer::kBudgetSpent;
        return result;
      }
      COT_ASSERT(at != 0);
      if (events_[at].is_call) {
        next = state;
        if (model_.Step(next, events_[at].op)) {
          const bool inert = next == state;
          const bool for_good = inert && model_.Reads(events_[at].op);
          if (for_good || (!(inert && events_[at].must_change) &&
                           memo.Insert(Key(next, Element(at)), spent_))) {
            Lift(at, for_good, state);
            --left;
            state = next;
            at = next_[0];
            optional = 0;
            continue;
          }
        }
        at = next_[at];
        continue;
      }
      const std::uint32_t found = NextOptional(optional, at, state, next, memo);
      if (found < optional_.size()) {
        Spend(found, state);
        state = next;
        at = next_[0];
        optional = 0;
        continue;
      }
      NoteBlocked(at, state, result);
      if (!Back(at, optional, state, left)) {
        result.answer = WglResult::Answer::kNotLinearizable;
        return result;
      }
    }
    return result;
  }

 private:
  using State = typename M::State;
  struct Event {
    std::uint32_t op = 0;
    std::uint32_t match = 0;  // of a call: its return's position
    bool is_call = false;
    bool must_change = false;
  };
  struct Optional {
    std::uint32_t op = 0;
    std::uint32_t before = 0;  // it may be taken once no return below this position is left
    bool spent = false;
  };
  struct Frame {
    State before;
    std::uint32_t at = 0;  // the call's position, or the number of the optional operation
    bool is_optional = false;
    bool for_good = false;
  };

  void BuildEvents(std::span<const Interval> intervals) {
    struct Raw {
      std::int64_t time;
      bool is_return;
      std::uint32_t op;
    };
    std::vector<Raw> raw;
    for (std::uint32_t i = 0; i < intervals.size(); ++i) {
      raw.push_back({intervals[i].invoke_ns, false, i});
      if (intervals[i].return_ns != kNever) raw.push_back({intervals[i].return_ns, true, i});
    }
    // Calls before returns of the same instant: such operations count as concurrent.
    std::ranges::sort(raw, [](const Raw& x, const Raw& y) {
      if (x.time != y.time) return x.time < y.time;
      if (x.is_return != y.is_return) return y.is_return;
      return x.op < y.op;
    });
    events_.resize(1);
    std::vector<std::uint32_t> call(intervals.size());
    for (const Raw& r : raw) {
      const auto position = static_cast<std::uint32_t>(events_.size());
      if (!r.is_return && intervals[r.op].return_ns == kNever) {
        optional_.push_back({r.op, position, false});
        continue;
      }
      events_.push_back({r.op, 0, !r.is_return, intervals[r.op].must_change});
      if (r.is_return) {
        events_[call[r.op]].match = position;
      } else {
        call[r.op] = position;
        ++required_;
      }
    }
    next_.resize(events_.size());
    prev_.resize(events_.size());
    for (std::uint32_t i = 0; i < events_.size(); ++i) {
      next_[i] = i + 1 < events_.size() ? i + 1 : 0;
      prev_[i] = i == 0 ? 0 : i - 1;
    }
  }

  static Fingerprint Element(std::uint32_t at) { return {Mix(2ULL * at), Mix(2ULL * at + 1)}; }
  Fingerprint Key(const State& state, Fingerprint with) const {
    const Fingerprint s = model_.Hash(state);
    return {Mix(done_.a ^ with.a ^ Mix(s.a)), Mix(done_.b ^ with.b ^ Mix(s.b + 1))};
  }
  void Toggle(Fingerprint f) {
    done_.a ^= f.a;
    done_.b ^= f.b;
  }

  void Lift(std::uint32_t at, bool for_good, const State& before) {
    frames_.push_back({before, at, false, for_good});
    Toggle(Element(at));
    const std::uint32_t match = events_[at].match;
    for (const std::uint32_t e : {at, match}) {
      next_[prev_[e]] = next_[e];
      prev_[next_[e]] = prev_[e];
    }
  }
  void Unlift(std::uint32_t at) {
    Toggle(Element(at));
    const std::uint32_t match = events_[at].match;
    for (const std::uint32_t e : {match, at}) {
      next_[prev_[e]] = e;
      prev_[next_[e]] = e;
    }
  }

  /// Beyond the first 64, optional operations are part of the exact key.
  Fingerprint OptionalElement(std::uint32_t i) const {
    return i < 64 ? Fingerprint{} : Element(static_cast<std::uint32_t>(events_.size()) + i);
  }
  std::uint32_t NextOptional(std::uint32_t from, std::uint32_t stuck_at, const State& state,
                             State& next, WglMemo& memo) {
    for (std::uint32_t i = from; i < optional_.size(); ++i) {
      if (optional_[i].before > stuck_at) break;
      if (optional_[i].spent) continue;
      ++steps_;
      next = state;
      if (!model_.Step(next, optional_[i].op) || next == state) continue;
      const std::uint64_t spent = spent_ | (i < 64 ? 1ULL << i : 0);
      if (memo.Insert(Key(next, OptionalElement(i)), spent)) return i;
    }
    return static_cast<std::uint32_t>(optional_.size());
  }
  void Spend(std::uint32_t i, const State& before) {
    frames_.push_back({before, i, true, false});
    optional_[i].spent = true;
    if (i < 64) spent_ |= 1ULL << i;
    Toggle(OptionalElement(i));
  }

  /// Takes back the last choice that had an alternative; false if there is none.
  bool Back(std::uint32_t& at, std::uint32_t& optional, State& state, std::uint32_t& left) {
    while (!frames_.empty()) {
      Frame frame = std::move(frames_.back());
      frames_.pop_back();
      state = std::move(frame.before);
      if (frame.is_optional) {
        optional_[frame.at].spent = false;
        if (frame.at < 64) spent_ &= ~(1ULL << frame.at);
        Toggle(OptionalElement(frame.at));
        optional = frame.at + 1;
        at = FirstReturn();
        return true;
      }
      Unlift(frame.at);
      ++left;
      if (frame.for_good) continue;
      at = next_[frame.at];
      optional = 0;
      return true;
    }
    return false;
  }
  std::uint32_t FirstReturn() const {
    std::uint32_t at = next_[0];
    while (events_[at].is_call) at = next_[at];
    return at;
  }

  void NoteBlocked(std::uint32_t at, const State& state, WglResult& result) {
    constexpr std::size_t kTail = 12;
    if (at <= deepest_) return;
    deepest_ = at;
    result.blocked = events_[at].op;
    result.tail.clear();
    for (std::size_t i = frames_.size() - std::min(kTail, frames_.size()); i < frames_.size();
         ++i) {
      const Frame& f = frames_[i];
      result.tail.push_back(f.is_optional ? optional_[f.at].op : events_[f.at].op);
    }
    result.state = model_.DescribeState(state);
  }

  const M& model_;
  std::vector<Event> events_;  // position 0 is the list's head
  std::vector<std::uint32_t> next_;
  std::vector<std::uint32_t> prev_;
  std::vector<Optional> optional_;
  std::vector<Frame> frames_;
  Fingerprint done_;
  std::uint64_t spent_ = 0;
  std::uint64_t steps_ = 0;
  std::uint32_t required_ = 0;
  std::uint32_t deepest_ = 0;
};

}  // namespace coterie::check
