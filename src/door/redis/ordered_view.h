#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/random.h"
#include "door/redis/command.h"
#include "door/redis/ordered_cursors.h"
#include "door/redis/ordered_layout.h"
#include "door/redis/reply.h"

namespace coterie::door::redis::ordered {

class Objects;

/// The keys of a keyspace at one moment, as commands see and change them. What has expired is not
/// there.
class View {
 public:
  struct Object {
    ObjectType type = ObjectType::kNone;
    std::string value;                ///< of a string
    std::int64_t count = 0;           ///< elements of a collection
    std::uint64_t expires_at_ms = 0;  ///< 0: never
  };

  /// What commands need besides the keys; outlives the view.
  struct Surroundings {
    std::int64_t now_ms = 0;
    std::int64_t database = 0;  ///< the keyspace's
    Random& random;
    Cursors& cursors;
  };

  explicit View(Surroundings surroundings) : surroundings_(surroundings) {}
  View(const View&) = delete;
  virtual ~View() = default;

  /// Valid until the key changes.
  virtual const Object& Find(std::string_view key) = 0;
  /// Whatever the key held is replaced. `expires_at_ms` 0: never; in the past: it is removed.
  virtual void PutString(std::string_view key, std::string value, std::uint64_t expires_at_ms) = 0;
  /// Of a key that exists. In the past: it is removed.
  virtual void SetExpiry(std::string_view key, std::uint64_t expires_at_ms) = 0;
  virtual void Remove(std::string_view key) = 0;
  /// What only raft keyspaces have; null elsewhere.
  virtual Objects* objects() { return nullptr; }

  /// Milliseconds since the Unix epoch; the same for all of a transaction.
  std::int64_t now_ms() const { return surroundings_.now_ms; }
  std::int64_t database() const { return surroundings_.database; }
  Random& random() { return surroundings_.random; }
  Cursors& cursors() { return surroundings_.cursors; }
  bool Past(std::uint64_t at_ms) const {
    return at_ms != 0 && static_cast<std::int64_t>(at_ms) <= now_ms();
  }

 private:
  const Surroundings surroundings_;
};

/// One command on a view.
struct Call {
  View& view;
  const Command& command;
  Words words;
  Reply& reply;

  std::size_t size() const { return words.size(); }
  std::string_view operator[](std::size_t i) const { return words[i]; }
  /// Requires: a command that paxos keyspaces do not serve.
  Objects& objects() const { return *view.objects(); }

  void SyntaxError() const { reply.Error("ERR syntax error"); }
  void NotInteger() const { reply.Error("ERR value is not an integer or out of range"); }
  void NotFloat() const { reply.Error("ERR value is not a valid float"); }
  void WrongType() const {
    reply.Error("WRONGTYPE Operation against a key holding the wrong kind of value");
  }
  void WrongArity() const;
  /// Whether `object` is of the type or not there; answers the error if not.
  bool Accepts(const View::Object& object, ObjectType type) const {
    if (object.type == ObjectType::kNone || object.type == type) return true;
    if (IsOurs(object)) WrongType();
    return false;
  }
  /// Whether Redis commands made `object`; answers the error if not.
  bool IsOurs(const View::Object& object) const;
};

/// Writes exactly one reply; changes nothing if that is an error.
using Handler = void (*)(const Call& call);
/// nullptr: not a command of ordered keyspaces.
Handler HandlerOf(CommandId id);

// Families of commands.
Handler StringHandler(CommandId id);
Handler KeyHandler(CommandId id);
Handler BitHandler(CommandId id);
Handler HashHandler(CommandId id);
Handler SetHandler(CommandId id);
Handler SortedSetHandler(CommandId id);
Handler SortedRangeHandler(CommandId id);
/// SCAN, KEYS, DBSIZE, RANDOMKEY, FLUSHDB of raft keyspaces.
Handler KeyspaceHandler(CommandId id);

}  // namespace coterie::door::redis::ordered
