#pragma once

// What transport.cc and transport_accept.cc share.

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "node/transport.h"
#include "runtime/scope.h"
#include "runtime/sync.h"

namespace coterie::node {

/// The body of a kReply frame that says what went wrong.
std::string ErrorReply(std::uint64_t id, const Error& error);

/// Another node, and our connection to it.
struct Transport::Peer {
  Peer(runtime::Executor& executor, MemberConfig m) : member(std::move(m)), wake(executor) {}
  MemberConfig member;
  std::optional<runtime::Address> told;     // where it said to be
  std::uint32_t version = 1;                // what it said to know
  std::unique_ptr<runtime::Stream> stream;  // our connection to it, while it stands
  std::string queue;                        // encoded frames not yet given to the stream
  runtime::Notification wake;               // queue filled, or connection lost
  bool lost = false;
  bool refused = false;
  bool answered = false;         // a sign of life since the last ping
  Accepted* accepted = nullptr;  // its newest connection to us
  bool heard = false;
  Instant last_heard{};
  LinkFault fault;
  runtime::Scope reader;
  runtime::Scope loop;  // goes before the reader, whose tasks it starts
};

/// A connection that another made to us.
struct Transport::Accepted {
  Accepted(Transport& t, std::unique_ptr<runtime::Stream> s) : owner(t), stream(std::move(s)) {
    ++owner.accepted_;
  }
  ~Accepted() {
    --owner.accepted_;
    const auto peer = owner.peers_.find(from);
    if (peer != owner.peers_.end() && peer->second->accepted == this)
      peer->second->accepted = nullptr;
  }
  Accepted(const Accepted&) = delete;
  Accepted& operator=(const Accepted&) = delete;

  Transport& owner;
  std::unique_ptr<runtime::Stream> stream;
  NodeId from;  // 0 until its Hello came
  bool heard = false;
  runtime::Scope watch;
};

}  // namespace coterie::node
