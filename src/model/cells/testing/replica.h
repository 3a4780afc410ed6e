#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/cells/store.h"
#include "model/cells/testing/map_engine.h"

namespace coterie::cells::testing {

constexpr ShardId kShard{0x100};

/// One node's store with an engine that can crash and a journal that cannot.
struct Replica {
  Replica(NodeId node, keyspace::Conflict p, StoreOptions o)
      : actor(clock::MakeActor(node, 0)), policy(p), options(o) {
    engine.crashes = true;
    Start();
  }

  void Start() {
    store = std::make_unique<Store>(options);
    COT_ASSERT(store->Load(engine).has_value());
    store->OpenShard(kShard, policy);
    store->SetWallMs(wall_ms);
    store->OnConflict([this](Conflict conflict) { conflicts.push_back(std::move(conflict)); });
    for (std::size_t i = store->journal_position().value; i < journal.size(); ++i) {
      COT_ASSERT(Apply(journal[i]));
    }
  }
  void Crash(Random& random) {
    store.reset();
    engine.Crash(random);
    Start();
  }
  bool Apply(const std::string& bytes) {
    const auto view = leaderless::DecodeMutation(bytes);
    return view && store->Apply(*view).has_value();
  }
  void Receive(const std::string& bytes) {
    COT_ASSERT(Apply(bytes));
    journal.push_back(bytes);
  }
  void WriteBack() { COT_ASSERT(store->WriteBack(LogIndex(journal.size())).has_value()); }
  const VersionVector& applied() const { return store->Applied(kShard); }

  Dot NextDot() const { return {.actor = actor, .counter = applied().Get(actor) + 1}; }
  /// Runs `make` on an edit; the mutation's bytes, "" if it stayed empty.
  template <class Make>
  std::string Do(HybridTime time, Make make) {
    Edit edit(*store, kShard, NextDot(), time);
    make(edit);
    if (edit.empty()) return {};
    std::string bytes;
    leaderless::Encode(edit.Take(), bytes);
    journal.push_back(bytes);
    made.push_back(bytes);
    return bytes;
  }

  const clock::Actor actor;
  const keyspace::Conflict policy;
  const StoreOptions options;
  MapEngine engine;
  std::vector<std::string> journal;
  std::vector<std::string> made;
  std::vector<Conflict> conflicts;
  std::uint64_t wall_ms = 0;
  std::unique_ptr<Store> store;
};

}  // namespace coterie::cells::testing
