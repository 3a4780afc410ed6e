// Reading a range in steps gives what reading it in one turn gives, whatever happens between the
// steps.
#include "model/kv/range_reader.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "model/kv/test_support.h"

namespace coterie::kv::testing {
namespace {

using etcdserverpb::RangeRequest;
using etcdserverpb::RangeResponse;

std::string KeyOf(std::uint64_t i) { return "k" + std::to_string(i); }

RangeRequest RandomRequest(Random& random, Revision newest) {
  RangeRequest request;
  request.set_key(random.Chance(0.3) ? std::string(1, '\0') : KeyOf(random.Below(60)));
  if (random.Chance(0.9)) {
    request.set_range_end(random.Chance(0.5) ? std::string(1, '\0') : KeyOf(random.Below(60)));
  }
  if (random.Chance(0.5)) request.set_limit(static_cast<std::int64_t>(random.Below(20)));
  if (random.Chance(0.3)) {
    request.set_revision(1 +
                         static_cast<Revision>(random.Below(static_cast<std::uint64_t>(newest))));
  }
  request.set_keys_only(random.Chance(0.2));
  request.set_count_only(random.Chance(0.1));
  if (random.Chance(0.4)) {
    request.set_sort_order(static_cast<RangeRequest::SortOrder>(random.Below(3)));
    request.set_sort_target(static_cast<RangeRequest::SortTarget>(random.Below(5)));
  }
  if (random.Chance(0.2)) request.set_min_mod_revision(static_cast<Revision>(random.Below(50)));
  if (random.Chance(0.2)) request.set_max_create_revision(static_cast<Revision>(random.Below(99)));
  return request;
}

void Change(Kv& kv, Random& random) {
  const std::string key = KeyOf(random.Below(60));
  if (random.Chance(0.7)) {
    kv.Put(key, std::string(random.Below(40), 'v'));
  } else {
    EXPECT_TRUE(kv.Delete(key).has_value());
  }
}

class RangeReaderTest : public ::testing::TestWithParam<std::uint64_t> {};

// Also while keys change, history is compacted beyond the revision that is read and purged, and
// the state is loaded anew.
TEST_P(RangeReaderTest, EqualsOneTurn) {
  Random random(GetParam());
  Kv kv;
  for (int i = 0; i < 200; ++i) Change(kv, random);
  for (int round = 0; round < 300; ++round) {
    const RangeRequest request = RandomRequest(random, kv.store.revision());
    const auto expected = kv.store.Range(request);
    const RangeReaderOptions options{.records_per_step = 1 + random.Below(30),
                                     .bytes_per_step = 1 + random.Below(300),
                                     .held_bytes_max = random.Below(2000)};
    auto reader = RangeReader::Open(kv.store, request, options);
    ASSERT_EQ(reader.has_value(), expected.has_value());
    if (!reader) {
      EXPECT_EQ(reader.error().code, expected.error().code);
      continue;
    }
    const auto meddle = [&] {
      if (random.Chance(0.3)) Change(kv, random);
      if (random.Chance(0.01)) (void)kv.Compact(kv.store.revision());
      if (random.Chance(0.3)) (void)kv.store.PurgeSome(10);
    };
    for (bool measured = false; !measured; meddle()) {
      const auto step = (*reader)->Measure();
      ASSERT_TRUE(step.has_value()) << Describe(step.error());
      measured = *step;
    }
    if (const auto work = (*reader)->OrderWork()) work();
    std::string bytes;
    for (;; meddle()) {
      const auto part = (*reader)->NextPart();
      ASSERT_TRUE(part.has_value()) << Describe(part.error());
      if (!*part) break;
      bytes += **part;
    }
    EXPECT_EQ(bytes.size(), (*reader)->bytes());
    RangeResponse response;
    ASSERT_TRUE(response.ParseFromString(bytes));
    response.mutable_header()->set_revision((*reader)->store_revision());
    ASSERT_EQ(response.SerializeAsString(), expected->SerializeAsString())
        << request.ShortDebugString();
  }
}

// The bound on what is put in order, and no answer that differs from what was measured.
TEST(RangeReader, Bounds) {
  Kv kv;
  for (std::uint64_t i = 0; i < 100; ++i) kv.Put(KeyOf(i), std::string(100, 'v'));
  RangeRequest request;
  request.set_key(std::string(1, '\0'));
  request.set_range_end(std::string(1, '\0'));
  request.set_sort_order(RangeRequest::DESCEND);
  auto reader = RangeReader::Open(kv.store, request, {.ordered_bytes_max = 5000});
  ASSERT_TRUE(reader.has_value());
  EXPECT_EQ((*reader)->Measure().error().code, ErrorCode::kTooLarge);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RangeReaderTest, ::testing::Range<std::uint64_t>(1, 9));

}  // namespace
}  // namespace coterie::kv::testing
