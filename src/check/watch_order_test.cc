#include "check/watch_order.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "check/simulated_store.h"

namespace coterie::check {
namespace {

Operation At(Operation op, std::int64_t invoke, std::int64_t back, std::int64_t revision) {
  op.invoke_ns = invoke;
  op.return_ns = back;
  op.revision = revision;
  op.outcome = Operation::Outcome::kOk;
  return op;
}
WatchEvent PutEvent(std::string key, std::string value, std::int64_t mod, std::int64_t create,
                    std::int64_t version) {
  return {.kv = {std::move(key), std::move(value), create, mod, version}};
}

/// Three writes (x, a transaction of x and y, a deletion of x) and a watch that was told of all.
struct Golden {
  Golden() {
    Operation both = Put(1, "x", "b");
    both.success.push_back({.kind = Step::Kind::kPut, .key = "y", .value = "c"});
    Operation gone = Delete(1, "x");
    gone.success[0].count = 1;
    history.operations = {At(Put(1, "x", "a"), 1, 2, 2), At(both, 3, 4, 3), At(gone, 5, 6, 4)};
    WatchAttempt attempt{.created_ns = 0, .start_revision = 0, .created_revision = 1};
    attempt.responses = {
        {.time_ns = 2, .revision = 2, .events = {PutEvent("x", "a", 2, 2, 1)}},
        {.time_ns = 4,
         .revision = 3,
         .events = {PutEvent("x", "b", 3, 2, 2), PutEvent("y", "c", 3, 3, 1)}},
        {.time_ns = 6, .revision = 4, .events = {{.deleted = true, .kv = {"x", "", 0, 4, 0}}}},
        {.time_ns = 7, .revision = 4, .progress = true}};
    watch = {.name = "w", .key = "a", .range_end = "z", .attempts = {attempt}};
  }
  std::vector<WatchResponse>& responses() { return watch.attempts[0].responses; }
  Verdict Judge(WatchOptions options = {}) { return CheckWatchOrder(history, {watch}, options); }

  History history;
  Watch watch;
};

TEST(WatchOrder, GoldenIsFine) {
  Golden golden;
  const Verdict verdict = golden.Judge({.must_reach = 4});
  EXPECT_TRUE(verdict.ok()) << verdict.explanation;
  EXPECT_EQ(verdict.checked, 4U);
}

TEST(WatchOrder, MissedEvent) {
  Golden golden;
  golden.responses().erase(golden.responses().begin());
  EXPECT_NE(golden.Judge().explanation.find("missed put x at 2"), std::string::npos);
}

TEST(WatchOrder, SplitRevision) {
  Golden golden;
  auto& responses = golden.responses();
  WatchResponse second = responses[1];
  second.events.erase(second.events.begin());
  responses[1].events.pop_back();
  responses.insert(responses.begin() + 2, second);
  EXPECT_NE(golden.Judge().explanation.find("revision 3 is split"), std::string::npos);
  responses[1].fragment = true;
  EXPECT_TRUE(golden.Judge().ok());
}

TEST(WatchOrder, HalfOfARevision) {
  Golden golden;
  golden.responses()[1].events.pop_back();
  EXPECT_NE(golden.Judge().explanation.find("missed put y at 3"), std::string::npos);
}

TEST(WatchOrder, OutOfOrderAndTwice) {
  Golden golden;
  std::swap(golden.responses()[0], golden.responses()[1]);
  EXPECT_NE(golden.Judge().explanation.find("came after an event of 3"), std::string::npos);
  Golden twice;
  twice.responses().push_back(twice.responses()[2]);
  twice.responses()[4].revision = 9;
  EXPECT_EQ(twice.Judge().answer, Answer::kViolation);
}

TEST(WatchOrder, BookmarkAheadOfItsEvents) {
  Golden golden;
  std::swap(golden.responses()[2], golden.responses()[3]);
  EXPECT_NE(golden.Judge().explanation.find("after the bookmark 4"), std::string::npos);
  golden.responses().pop_back();  // now the event never comes, though it was covered
  EXPECT_NE(golden.Judge().explanation.find("missed delete x at 4"), std::string::npos);
}

// A resumption after the last event loses nothing; one that skips a revision does; one that starts
// too early repeats.
TEST(WatchOrder, Resumption) {
  const auto resumed = [](std::int64_t from, int drop) {
    Golden golden;
    WatchAttempt second{.created_ns = 5, .start_revision = from, .created_revision = 4};
    auto& responses = golden.responses();
    second.responses.assign(responses.begin() + 1 + drop, responses.end());
    responses.resize(1);
    golden.watch.attempts.push_back(second);
    return golden.Judge({.must_reach = 4}).answer;
  };
  EXPECT_EQ(resumed(3, 0), Answer::kOk);
  EXPECT_EQ(resumed(4, 1), Answer::kViolation);
  EXPECT_EQ(resumed(2, -1), Answer::kViolation);
}

TEST(WatchOrder, MustReachTheEnd) {
  Golden golden;
  golden.responses().resize(2);
  EXPECT_TRUE(golden.Judge().ok());
  EXPECT_EQ(golden.Judge({.must_reach = 4}).answer, Answer::kViolation);
}

TEST(WatchOrder, EventsNobodyWrote) {
  Golden golden;
  golden.responses()[0].events[0].kv.value = "z";
  EXPECT_EQ(golden.Judge().answer, Answer::kViolation);
  Golden extra;
  extra.responses().push_back(
      {.time_ns = 8, .revision = 5, .events = {PutEvent("q", "?", 5, 5, 1)}});
  EXPECT_EQ(extra.Judge().answer, Answer::kViolation);
  Operation lost = Put(2, "q", "?");
  lost.invoke_ns = 7;
  extra.history.operations.push_back(lost);
  EXPECT_TRUE(extra.Judge().ok());
}

TEST(WatchOrder, PreviousValues) {
  Golden golden;
  golden.watch.prev_kv = true;
  EXPECT_EQ(golden.Judge().answer, Answer::kViolation);
  golden.responses()[1].events[0].prev_kv = KeyValue{"x", "a", 2, 2, 1};
  golden.responses()[2].events[0].prev_kv = KeyValue{"x", "b", 2, 3, 2};
  EXPECT_TRUE(golden.Judge().ok());
  golden.responses()[2].events[0].prev_kv.reset();
  EXPECT_EQ(golden.Judge().answer, Answer::kViolation);
  EXPECT_TRUE(golden.Judge({.compacted = 4}).ok());
  golden.responses()[2].events[0].prev_kv = KeyValue{"x", "a", 2, 2, 1};
  EXPECT_EQ(golden.Judge().answer, Answer::kViolation);
}

/// What a faultless server would send for `history` to a watch of everything from the start.
std::vector<WatchResponse> Responses(const History& history) {
  std::vector<const Operation*> writes;
  for (const Operation& op : history.operations) {
    if (op.wrote()) writes.push_back(&op);
  }
  std::ranges::sort(writes, {}, &Operation::revision);
  SimulatedStore store;
  std::vector<WatchResponse> out;
  for (const Operation* op : writes) {
    const auto before = store.live();
    Operation copy = *op;
    store.Apply(copy);
    WatchResponse response{.time_ns = op->return_ns, .revision = op->revision};
    for (const auto& [key, kv] : before) {
      if (!store.live().contains(key)) {
        response.events.push_back(
            {.deleted = true, .kv = {key, "", 0, op->revision, 0}, .prev_kv = kv});
      }
    }
    for (const auto& [key, kv] : store.live()) {
      if (kv.mod_revision != op->revision) continue;
      WatchEvent event{.kv = kv};
      if (before.contains(key)) event.prev_kv = before.at(key);
      response.events.push_back(std::move(event));
    }
    out.push_back(std::move(response));
  }
  return out;
}

// Against what a faultless server sends: accepted as it is, split by a resumption anywhere, or cut
// off; any event dropped, repeated, moved or altered is a violation.
TEST(WatchOrder, RandomWatches) {
  Random random(9);
  int judged = 0;
  for (int i = 0; i < 20000; ++i) {
    History history = ValidHistory(random, {.operations = 8, .keys = 3, .values = 0, .unknown = 0});
    std::vector<WatchResponse> responses = Responses(history);
    if (responses.size() < 2) continue;
    const std::int64_t last = responses.back().revision;
    Watch watch{.name = "w", .key = "a", .range_end = "z", .prev_kv = true};
    const std::size_t cut = random.Below(responses.size());
    const auto middle = responses.begin() + static_cast<std::ptrdiff_t>(cut);
    watch.attempts.push_back(
        {.start_revision = 2, .created_revision = 1, .responses = {responses.begin(), middle}});
    watch.attempts.push_back({.start_revision = cut == 0 ? 2 : responses[cut - 1].revision + 1,
                              .created_revision = last,
                              .responses = {middle, responses.end()}});
    const Verdict fine = CheckWatchOrder(history, {watch}, {.must_reach = last});
    ASSERT_TRUE(fine.ok()) << fine.explanation << "\n" << ToJsonLines(history);
    Watch broken = watch;
    auto& hit = broken.attempts[1].responses[random.Below(broken.attempts[1].responses.size())];
    WatchEvent& event = hit.events[random.Below(hit.events.size())];
    switch (random.Below(4)) {
      case 0:
        hit.events.erase(hit.events.begin() + (&event - hit.events.data()));
        break;
      case 1:
        hit.events.push_back(WatchEvent(event));
        break;
      case 2:
        event.kv.mod_revision += 1;
        break;
      default:
        if (event.deleted) {
          event.kv.key = "other";
        } else {
          event.kv.value += "!";
        }
        break;
    }
    ++judged;
    ASSERT_EQ(CheckWatchOrder(history, {broken}, {.must_reach = last}).answer, Answer::kViolation)
        << ToJsonLines(history);
  }
  EXPECT_GT(judged, 10000);
}

}  // namespace
}  // namespace coterie::check
