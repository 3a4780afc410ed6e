// The Store against the naive model: random commands, in random groups, with purges, reloads and
// watchers at random points.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

#include "model/kv/naive_model.h"
#include "model/kv/test_support.h"

namespace coterie::kv {
namespace {

using testing::Kv;
using testing::NaiveModel;
using testing::RequestMaker;

NaiveModel::Outcome OutcomeOf(const Result<Answer::Response>& answer) {
  if (!answer) return {answer.error().code, {}};
  return {std::nullopt, std::visit([](const auto& r) { return r.SerializeAsString(); }, *answer)};
}

StoreOptions SomeOptions(Random& random) {
  StoreOptions options;
  options.watch_ring_bytes_max = random.Chance(0.3) ? 0 : random.Below(4000);
  options.key_cache_bytes_max = random.Chance(0.3) ? 0 : random.Below(3000);
  return options;
}

void ExpectSameReads(RequestMaker& make, const NaiveModel& model, const Kv& kv) {
  for (int i = 0; i < 4; ++i) {
    const auto request = make.MakeRange(model);
    const auto response = kv.store.Range(request);
    const NaiveModel::Outcome outcome =
        response ? NaiveModel::Outcome{std::nullopt, response->SerializeAsString()}
                 : NaiveModel::Outcome{response.error().code, {}};
    ASSERT_EQ(outcome, model.Range(request)) << request.ShortDebugString();
  }
  etcdserverpb::RangeRequest page;
  page.set_key(make.Key());
  page.set_range_end(testing::kAll);
  page.set_limit(make.random().Between(1, 4));
  page.set_revision(
      make.random().Between(std::max<Revision>(1, model.compacted()), model.revision()));
  for (bool more = true; more;) {
    const auto response = kv.store.Range(page);
    ASSERT_TRUE(response);
    ASSERT_EQ(response->SerializeAsString(), model.Range(page).response) << page.ShortDebugString();
    more = response->more();
    if (more) page.set_key(response->kvs().rbegin()->key() + '\0');
  }
  ASSERT_EQ(kv.store.revision(), model.revision());
  ASSERT_EQ(kv.store.compact_revision(), model.compacted());
  std::vector<std::int64_t> ids;
  for (const auto& [id, ttl] : model.leases()) {
    ids.push_back(id);
    ASSERT_EQ(kv.store.FindLease(id, true)->keys, model.KeysOf(id));
  }
  ASSERT_EQ(kv.store.LeaseIds(), ids);
}

// Every answer and every read equals the model's, however commands are grouped, whatever is cached,
// and however far purging came.
TEST(StoreProperty, EqualsTheNaiveModel) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    RequestMaker make(seed);
    Kv kv(SomeOptions(make.random()));
    NaiveModel model;
    for (int round = 0; round < 60; ++round) {
      std::vector<std::string> payloads;
      std::vector<NaiveModel::Outcome> expected;
      std::string trace;
      for (auto n = make.random().Below(5) + 1; n > 0; --n) {
        const Command command = make.MakeCommand(model);
        trace += command.ShortDebugString() + "\n";
        payloads.push_back(command.SerializeAsString());
        expected.push_back(model.Apply(command));
      }
      const auto answers = kv.ApplyAll(payloads);
      ASSERT_EQ(answers.size(), expected.size());
      for (std::size_t i = 0; i < answers.size(); ++i) {
        ASSERT_EQ(OutcomeOf(answers[i]), expected[i]) << trace << "command " << i;
      }
      if (make.random().Chance(0.3)) ASSERT_TRUE(kv.store.PurgeSome(make.random().Below(9) + 1));
      if (make.random().Chance(0.1)) kv.Reload();
      ExpectSameReads(make, model, kv);
      if (HasFatalFailure()) return;
    }
  }
}

// Two replicas that apply the same commands hold the same bytes when both have purged, hash alike
// before, and it does not matter how commands were grouped, cached, watched or answered.
TEST(StoreProperty, ReplicasAreIdentical) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    RequestMaker make(seed);
    NaiveModel model;
    Kv one(SomeOptions(make.random()));
    Kv other(SomeOptions(make.random()));
    const auto watcher = other.Watch(testing::kAll, testing::kAll);
    std::vector<std::string> queue;
    for (int i = 0; i < 150; ++i) {
      const Command command = make.MakeCommand(model);
      model.Apply(command);
      queue.push_back(command.SerializeAsString());
      one.Apply(queue.back());
      if (make.random().Chance(0.2)) ASSERT_TRUE(one.store.PurgeSome(make.random().Below(5) + 1));
      if (!make.random().Chance(0.2)) continue;
      other.ApplyAll(queue, make.random().Chance(0.5));
      queue.clear();
      ASSERT_EQ(one.store.HashKv(0)->hash, other.store.HashKv(0)->hash);
    }
    if (!queue.empty()) other.ApplyAll(queue, false);
    one.PurgeAll(7);
    other.PurgeAll(100);
    ASSERT_EQ(one.engine.content(), other.engine.content());
  }
}

// Commands that no door has validated, and damaged ones, are refused or applied alike everywhere
// and never stop a replica; what they left makes sense to every reader.
TEST(StoreProperty, DamagedCommandsAreHarmless) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    RequestMaker make(seed);
    Random& random = make.random();
    NaiveModel model;
    Kv one(SomeOptions(random)), other(SomeOptions(random));
    std::vector<std::string> queue;
    for (int i = 0; i < 100; ++i) {
      std::string bytes = make.MakeCommand(model).SerializeAsString();
      for (auto n = random.Below(3); n > 0 && !bytes.empty(); --n) {
        const auto at = random.Below(bytes.size());
        if (random.Chance(0.3))
          bytes.erase(at, 1);
        else
          bytes[at] = static_cast<char>(random.Chance(0.5) ? random.Next()
                                                           : bytes[at] ^ 1 << random.Below(7));
      }
      Command parsed;
      const bool newer = parsed.ParseFromString(bytes) &&
                         !Command::GetReflection()->GetUnknownFields(parsed).empty();
      if (newer && parsed.operation_case() == Command::OPERATION_NOT_SET) continue;
      queue.push_back(bytes);
      one.Apply(bytes);
      if (random.Chance(0.1)) ASSERT_TRUE(one.store.PurgeSome(5));
    }
    other.ApplyAll(queue, false);
    one.PurgeAll();
    other.PurgeAll();
    ASSERT_EQ(one.engine.content(), other.engine.content());
    ASSERT_TRUE(one.Range(testing::kAll, testing::kAll));
    ASSERT_TRUE(one.store.HashKv(0));
    for (const auto id : one.store.LeaseIds()) {
      for (const auto& key : one.store.FindLease(id, true)->keys)
        ASSERT_EQ(one.Get(key).lease(), id);
    }
  }
}

struct Watching {
  WatchSpec spec;
  std::unique_ptr<Watcher> watcher;
  Revision from = 0;  // the first revision not yet compared
  bool refused = false;
};

// What a watcher delivers is the model's history from its start, in order, in whole revisions; it
// may end early only with kCompacted, and only when it was behind the compacted revision.
void PollAndCompare(Random& random, const NaiveModel& model, Watching& w) {
  const Revision synced_before = w.watcher->synced_to();
  const bool pending_before = w.watcher->pending();
  const auto polled = w.watcher->Poll(random.Below(200));
  if (!polled) {
    ASSERT_EQ(polled.error().code, ErrorCode::kCompacted);
    ASSERT_EQ(polled.error().message, std::to_string(model.compacted()));
    ASSERT_LT(synced_before + 1, model.compacted());
    w.refused = true;
    return;
  }
  ASSERT_EQ(polled->revision, model.revision());
  const Revision upto = w.watcher->synced_to();
  std::vector<std::string> expected, got;
  for (; w.from <= upto; ++w.from) {
    for (const auto& event : model.EventsOf(w.from, w.spec))
      expected.push_back(event.ShortDebugString());
  }
  for (const auto& event : polled->events) got.push_back(event.ShortDebugString());
  ASSERT_EQ(got, expected);
  if (got.empty()) ASSERT_FALSE(w.watcher->pending());
  if (!pending_before) ASSERT_TRUE(got.empty());
}

TEST(WatchProperty, EqualsTheModelsHistory) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    RequestMaker make(seed);
    Kv kv(SomeOptions(make.random()));
    NaiveModel model;
    std::deque<Watching> watching;
    for (int step = 0; step < 250; ++step) {
      const auto what = make.random().Below(10);
      if (what < 4) {
        std::vector<std::string> payloads;
        for (auto n = make.random().Below(4) + 1; n > 0; --n) {
          const Command command = make.MakeCommand(model);
          model.Apply(command);
          payloads.push_back(command.SerializeAsString());
        }
        kv.ApplyAll(payloads, false);
      } else if (what == 4 && watching.size() < 12) {
        Watching w{.spec = make.MakeWatch(model), .watcher = nullptr};
        w.watcher = kv.store.Watch(w.spec, kv.wake);
        w.from = w.spec.start > 0 ? w.spec.start : model.revision() + 1;
        watching.push_back(std::move(w));
      } else if (what == 5 && make.random().Chance(0.3) && !watching.empty()) {
        watching.erase(watching.begin() +
                       static_cast<std::ptrdiff_t>(make.random().Below(watching.size())));
      } else if (what == 6) {
        ASSERT_TRUE(kv.store.PurgeSome(make.random().Below(20) + 1));
        if (make.random().Chance(0.2)) kv.Reload();
      } else if (!watching.empty()) {
        Watching& w = watching[make.random().Below(watching.size())];
        if (!w.refused) PollAndCompare(make.random(), model, w);
        if (HasFatalFailure()) return;
      }
    }
  }
}

}  // namespace
}  // namespace coterie::kv
