#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "model/cells/testing/naive_model.h"
#include "model/cells/testing/replica.h"

namespace coterie::cells::testing {
namespace {

using keyspace::Conflict;

const std::vector<std::string> kKeys = {"a", "bb", std::string("c\0d", 3), "", "operations"};
const std::vector<std::string> kElements = {"x", "y", "", std::string("z\0", 2)};

/// Three replicas under random edits, deliveries, crashes, writes and purges, and the model.
class Cluster {
 public:
  Cluster(std::uint64_t seed, Conflict policy, bool purges)
      : random_(seed), model_(policy), policy_(policy), purges_(purges) {
    const std::size_t cache_bytes = random_.Chance(0.5) ? 1 << 20 : random_.Below(8000);
    for (std::uint64_t n = 1; n <= 3; ++n) {
      replicas_.push_back(std::make_unique<Replica>(
          NodeId(n), policy,
          StoreOptions{.cache_bytes_max = cache_bytes,
                       .dirty_bytes_max = random_.Below(4000),
                       .whole_cells_max = random_.Chance(0.5) ? 1024 : random_.Below(6)}));
    }
  }

  void Run(int steps) {
    for (int step = 0; step < steps && !::testing::Test::HasFailure(); ++step) Step();
    Exchange();
    CheckConverged();
  }

 private:
  Replica& Any() { return *replicas_[random_.Below(3)]; }
  const std::string& AnyKey() { return kKeys[random_.Below(kKeys.size())]; }

  NaiveModel::At AtOf(Replica& replica) {
    return {.seen = replica.applied(),
            .dot = replica.NextDot(),
            .time = {},
            .sequence = 0,
            .wall_ms = wall_ms_};
  }
  void Check(Replica& replica, const std::string& key) {
    EXPECT_EQ(Show(*replica.store, kShard, key), model_.Show(AtOf(replica), key));
  }

  void Step() {
    Replica& replica = Any();
    const std::uint64_t dice = random_.Below(100);
    if (dice < 50) {
      EditSome(replica);
    } else if (dice < 75) {
      Deliver(replica, *replicas_[random_.Below(3)], 1 + random_.Below(8));
    } else if (dice < 80) {
      replica.WriteBack();
      if (random_.Chance(0.5)) replica.engine.FlushNow();
    } else if (dice < 84) {
      replica.Crash(random_);
    } else if (dice < 90 && purges_) {
      Purge(replica);
    } else if (dice < 94) {
      wall_ms_ += random_.Below(5);
      for (auto& each : replicas_) each->store->SetWallMs(each->wall_ms = wall_ms_);
      Expire(replica);
    } else if (dice < 96) {
      Exchange();
    }
    Check(replica, AnyKey());
    if (random_.Chance(0.05)) CheckKeys(replica);
  }

  void Deliver(Replica& to, Replica& from, std::uint64_t count) {
    const std::uint64_t have = to.applied().Get(from.actor);
    for (std::uint64_t i = have; i < from.made.size() && i < have + count; ++i) {
      to.Receive(from.made[i]);
      if (random_.Chance(0.05)) to.Receive(from.made[i]);
    }
  }
  void Exchange() {
    for (auto& to : replicas_) {
      for (auto& from : replicas_) Deliver(*to, *from, ~std::uint64_t{0} >> 1);
    }
  }

  void Purge(Replica& replica) {
    VersionVector stable = replicas_[0]->applied();
    for (auto& each : replicas_) {
      stable.Meet(each->applied());
      // Causally stable: nothing that was made before it was applied there is under way to here.
      if (replica.applied().Get(each->actor) < each->applied().Get(each->actor)) return;
    }
    while (true) {
      const auto more = replica.store->Purge(kShard, stable, 1 + random_.Below(3));
      ASSERT_TRUE(more.has_value());
      if (!*more) return;
    }
  }

  void Expire(Replica& replica) {
    const auto keys = replica.store->Expired(kShard, random_.Below(4));
    for (const auto& key : keys) {
      Do(replica, [&](Edit& edit, NaiveModel::At& at) {
        EXPECT_EQ(edit.RemoveKey(key), model_.RemoveKey(at, key));
      });
    }
  }

  template <class Make>
  void Do(Replica& replica, Make make) {
    NaiveModel::At at = AtOf(replica);
    at.time = clock::MakeHybridTime(++now_ + (random_.Chance(0.3) ? 1000 : 0), 1);
    now_ = clock::PhysicalMs(at.time);
    const std::string bytes = replica.Do(at.time, [&](Edit& edit) { make(edit, at); });
    EXPECT_EQ(bytes.empty(), at.sequence == 0);
  }

  void EditSome(Replica& replica) {
    Do(replica, [&](Edit& edit, NaiveModel::At& at) {
      const std::string& key = AnyKey();
      for (std::uint64_t n = 1 + random_.Below(3); n > 0; --n) {
        if (key == "operations") {
          EditOperations(edit, at, key);
        } else {
          EditOne(edit, at, random_.Chance(0.7) ? key : kKeys[random_.Below(4)], replica);
        }
      }
    });
  }

  void EditOperations(Edit& edit, NaiveModel::At& at, const std::string& key) {
    const std::int64_t amount = random_.Between(-50, 50);
    const std::string name = random_.Chance(0.3) ? "" : "op" + std::to_string(random_.Below(8));
    const auto got = edit.Increment(key, amount, name);
    EXPECT_EQ(got.value(), model_.Increment(at, key, amount, name));
  }

  void EditString(Edit& edit, NaiveModel::At& at, const std::string& key, Replica& replica) {
    const std::string value = random_.Chance(0.5) ? std::to_string(random_.Between(-99, 99))
                                                  : "v" + std::to_string(random_.Below(1000));
    const bool keep = random_.Chance(0.3);
    if (policy_ == Conflict::kSiblings && random_.Chance(0.6)) {
      if (random_.Chance(0.5)) context_ = replica.store->GetSiblings(kShard, key).context;
      // A client's knowledge is of earlier mutations.
      VersionVector context = context_;
      EXPECT_TRUE(edit.SetStringOver(key, context, value).has_value());
      model_.SetStringOver(at, key, context, value);
      return;
    }
    edit.SetString(key, value, keep);
    model_.SetString(at, key, value, keep);
  }

  void EditCollection(Edit& edit, NaiveModel::At& at, const std::string& key) {
    const std::string& element = kElements[random_.Below(kElements.size())];
    const std::string number = std::to_string(random_.Between(-20, 20));
    const std::int64_t amount = random_.Between(-9, 9);
    const auto index = static_cast<std::uint16_t>(random_.Below(2) * 16000 + 77);
    const auto rank = static_cast<std::uint8_t>(1 + random_.Below(20));
    switch (random_.Below(12)) {
      case 0:
        EXPECT_EQ(edit.HashSet(key, element, number), model_.Put(at, key, 'f', element, number));
        break;
      case 1: {
        const auto got = edit.HashIncrement(key, element, amount);
        const auto expected = model_.HashIncrement(at, key, element, amount);
        EXPECT_EQ(got ? std::optional(*got) : std::nullopt, expected);
        break;
      }
      case 2:
        EXPECT_EQ(edit.HashRemove(key, element), model_.Remove(at, key, 'f', element));
        break;
      case 3:
        EXPECT_EQ(edit.SetAdd(key, element), model_.Put(at, key, 'm', element, ""));
        break;
      case 4:
        EXPECT_EQ(edit.SetRemove(key, element), model_.Remove(at, key, 'm', element));
        break;
      case 5:
        EXPECT_EQ(edit.SortedSetAdd(key, element, std::stod(number)),
                  model_.Put(at, key, 'z', element, number));
        break;
      case 6:
        EXPECT_EQ(edit.SortedSetIncrement(key, element, static_cast<double>(amount)),
                  model_.ScoreIncrement(at, key, element, static_cast<double>(amount)));
        break;
      case 7:
        EXPECT_EQ(edit.SortedSetRemove(key, element), model_.Remove(at, key, 'z', element));
        break;
      case 8:
        EXPECT_EQ(edit.HllRaise(key, index, rank), model_.Raise(at, key, IndexText(index), rank));
        break;
      case 9:
        edit.HllCreate(key);
        model_.HllCreate(at, key);
        break;
      case 10: {
        const StreamId id = edit.StreamAdd(key, {{"f", number}});
        ids_.push_back(id);
        model_.Put(at, key, 's', IdText(id), number);
        break;
      }
      default:
        if (ids_.empty()) return;
        const StreamId id = ids_[random_.Below(ids_.size())];
        EXPECT_EQ(edit.StreamRemove(key, id), model_.Remove(at, key, 's', IdText(id)));
    }
  }

  void EditOne(Edit& edit, NaiveModel::At& at, const std::string& key, Replica& replica) {
    const std::uint64_t dice = random_.Below(100);
    if (dice < 15) {
      EditString(edit, at, key, replica);
    } else if (dice < 25) {
      const std::int64_t amount = random_.Between(-9, 9);
      const auto got = edit.Increment(key, amount);
      EXPECT_EQ(got ? std::optional(*got) : std::nullopt, model_.Increment(at, key, amount, ""));
    } else if (dice < 35) {
      EXPECT_EQ(edit.RemoveKey(key), model_.RemoveKey(at, key));
    } else if (dice < 43) {
      std::optional<std::uint64_t> deadline;
      if (random_.Chance(0.8)) deadline = wall_ms_ + random_.Below(20);
      edit.SetExpiry(key, deadline);
      model_.SetExpiry(at, key, deadline);
    } else {
      EditCollection(edit, at, key);
    }
  }

  void CheckKeys(Replica& replica) {
    std::vector<std::string> expected;
    for (const auto& key : kKeys) {
      if (model_.Show(AtOf(replica), key) != "none") expected.push_back(key);
    }
    std::sort(expected.begin(), expected.end());
    EXPECT_EQ(replica.store->Keys(kShard, "", 100), expected);
    EXPECT_GE(replica.store->KeyCount(kShard), expected.size());
    std::vector<std::string> paged;
    if (!expected.empty() && expected.front().empty()) paged.push_back("");
    while (true) {
      const auto page = replica.store->Keys(kShard, paged.empty() ? "" : paged.back(), 1);
      if (page.empty() || (!paged.empty() && page.back() <= paged.back())) break;
      paged.insert(paged.end(), page.begin(), page.end());
    }
    if (expected.empty() || !expected.front().empty()) EXPECT_EQ(paged, expected);
  }

  void CheckConverged() {
    const auto digest = replicas_[0]->store->Digest(kShard);
    ASSERT_TRUE(digest.has_value());
    for (auto& replica : replicas_) {
      EXPECT_EQ(replica->applied(), replicas_[0]->applied());
      EXPECT_EQ(replica->store->Digest(kShard).value(), *digest);
      for (const auto& key : kKeys) Check(*replica, key);
      CheckKeys(*replica);
      if (purges_) PurgeAll(*replica);
      EXPECT_EQ(replica->store->Digest(kShard).value(), *digest);
      replica->Crash(random_);
      EXPECT_EQ(replica->store->Digest(kShard).value(), *digest);
      for (const auto& key : kKeys) Check(*replica, key);
    }
  }
  /// With nothing under way, nothing that is dead is kept.
  void PurgeAll(Replica& replica) {
    replica.WriteBack();
    Purge(replica);
    EXPECT_EQ(replica.store->tombstones(kShard), 0u);
    replica.WriteBack();
    std::uint64_t live = 0;
    ASSERT_TRUE(replica.store
                    ->VisitCells(kShard, "", "",
                                 [&](std::string_view, std::string_view) {
                                   ++live;
                                   return true;
                                 })
                    .has_value());
    if (replica.store->KeyCount(kShard) == 0) EXPECT_LE(live, kKeys.size());  // deadlines only
  }

  Random random_;
  NaiveModel model_;
  const Conflict policy_;
  const bool purges_;
  std::vector<std::unique_ptr<Replica>> replicas_;
  std::uint64_t now_ = 1'000'000;
  std::uint64_t wall_ms_ = 0;
  VersionVector context_;
  std::vector<StreamId> ids_;
};

class Property : public ::testing::TestWithParam<Conflict> {};

// Whatever is made where, delivered when, evicted, written, lost in crashes and replayed: what
// readers see is at every moment what the definition says of the mutations applied; with equal
// vectors replicas are equal, and so are their digests.
TEST_P(Property, EveryReplicaIsWhatItHasApplied) {
  for (std::uint64_t seed = 1; seed <= 60 && !HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    Cluster(seed, GetParam(), false).Run(200);
  }
}

// The same while tombstones are forgotten at different times: nothing comes back.
TEST_P(Property, ForgettingTombstonesChangesNothing) {
  for (std::uint64_t seed = 1001; seed <= 1080 && !HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    Cluster(seed, GetParam(), true).Run(200);
  }
}

INSTANTIATE_TEST_SUITE_P(Policies, Property,
                         ::testing::Values(Conflict::kCrdt, Conflict::kLww, Conflict::kSiblings));

}  // namespace
}  // namespace coterie::cells::testing
