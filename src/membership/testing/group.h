#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "membership/swim.h"

namespace coterie::membership::testing {

/// A group of members on virtual time, and a network that loses, delays and is cut.
class Group {
 public:
  struct Network {
    double loss = 0;
    Duration delay_min = 1ms;
    Duration delay_max = 5ms;
  };
  struct Event {
    Instant at;
    NodeId observer;
    Member member;
  };

  Group(std::uint64_t seed, std::uint64_t size, Config config = {});

  Network network;
  void RunFor(Duration span);
  Instant now() const { return now_; }

  /// No message passes in this direction.
  void Cut(std::uint64_t from, std::uint64_t to) { cut_.emplace(from, to); }
  void Isolate(std::uint64_t node);
  void HealAll() { cut_.clear(); }
  /// It neither sends, receives nor ticks; messages for it wait (a stopped process) or are lost (a
  /// dead one).
  void Pause(std::uint64_t node) { paused_.insert(node); }
  void Resume(std::uint64_t node);
  void Kill(std::uint64_t node);
  void Restart(std::uint64_t node);

  Swim& operator[](std::uint64_t node) { return *nodes_.at(NodeId(node)); }
  State StateOf(std::uint64_t node, std::uint64_t at) {
    return (*this)[at].Find(NodeId(node))->state;
  }
  /// Whether every running member believes `state` of `node`.
  bool AllBelieve(std::uint64_t node, State state);
  const std::vector<Event>& events() const { return events_; }
  std::string EventsText() const;  ///< a line each: "1750ms n1: n3 suspect by n1"
  std::uint64_t messages() const { return messages_; }

 private:
  struct Flight {
    NodeId from;
    NodeId to;
    std::string bytes;
  };
  void Create(NodeId node);
  void Drain(NodeId node);
  void Deliver(const Flight& flight);

  Config config_;
  Random random_;
  Instant now_{};
  std::map<NodeId, std::unique_ptr<Random>> randoms_;
  std::map<NodeId, std::unique_ptr<Swim>> nodes_;
  std::vector<NodeId> ids_;
  std::multimap<Instant, Flight> flying_;
  std::map<std::uint64_t, std::vector<Flight>> waiting_;
  std::set<std::pair<std::uint64_t, std::uint64_t>> cut_;
  std::set<std::uint64_t> paused_;
  std::set<std::uint64_t> dead_;
  std::vector<Event> events_;
  std::uint64_t messages_ = 0;
};

}  // namespace coterie::membership::testing
