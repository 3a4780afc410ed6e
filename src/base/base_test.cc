#include <gtest/gtest.h>

#include <set>

#include "base/coding.h"
#include "base/conditions.h"
#include "base/ids.h"
#include "base/random.h"
#include "base/status.h"

namespace coterie {
namespace {

// Every row of the error table has a cause, a hint and a number of its own.
TEST(ErrorTable, EveryRowIsWhole) {
  std::set<unsigned> numbers;
  for (unsigned number = 0; number < 10000; ++number) {
    const ErrorInfo* info = FindError(CodeText(static_cast<ErrorCode>(number)));
    if (info == nullptr) continue;
    EXPECT_TRUE(numbers.insert(number).second);
    EXPECT_FALSE(info->cause.empty());
    EXPECT_FALSE(info->hint.empty());
  }
  EXPECT_GT(numbers.size(), 30U);
  EXPECT_EQ(FindError("COT-9999"), nullptr);
}

TEST(ErrorTable, DescribeNamesCodeOutcomeAndHint) {
  const std::string text = Describe(Error{ErrorCode::kTimedOut, Outcome::kUnknown, "after 5 s"});
  EXPECT_NE(text.find("COT-1005"), std::string::npos);
  EXPECT_NE(text.find("outcome unknown"), std::string::npos);
  EXPECT_NE(text.find("after 5 s"), std::string::npos);
}

// RFC 3720 B.4: 32 bytes of zeros and "123456789".
TEST(Crc32c, MatchesPublishedVectors) {
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aaU);
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283U);
  EXPECT_EQ(Crc32c("6789", Crc32c("12345")), 0xe3069283U);
}

// What is put comes back, and every proper prefix of it is refused.
TEST(Coding, RoundTripsAndRefusesPrefixes) {
  Random random(7);
  for (int i = 0; i < 2000; ++i) {
    const std::uint64_t v = random.Next() >> random.Below(64);
    std::string out;
    PutVarint(out, v);
    PutBigEndian64(out, v);
    PutLengthPrefixed(out, "abc");
    std::string_view in = out;
    EXPECT_EQ(GetVarint(in), v);
    EXPECT_EQ(GetBigEndian64(in), v);
    EXPECT_EQ(GetLengthPrefixed(in), "abc");
    EXPECT_TRUE(in.empty());
    std::string_view cut = std::string_view(out).substr(0, out.size() - 1);
    EXPECT_TRUE(GetVarint(cut).has_value());
    EXPECT_TRUE(GetBigEndian64(cut).has_value());
    EXPECT_FALSE(GetLengthPrefixed(cut).has_value());
  }
  std::string_view overlong = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02";
  EXPECT_FALSE(GetVarint(overlong).has_value());
}

TEST(Random, SameSeedSameDrawsAndBoundsHold) {
  Random a(42);
  Random b(42);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(a.Next(), b.Next());
    const std::int64_t v = a.Between(-3, 3);
    EXPECT_EQ(v, b.Between(-3, 3));
    EXPECT_GE(v, -3);
    EXPECT_LE(v, 3);
  }
}

/// One message never contradicts itself: no hint of the table speaks of what may have happened, and
/// only an unknown outcome adds it.
TEST(Errors, HintsAgreeWithOutcomes) {
  constexpr ErrorCode kAll[] = {
#define COT_ERROR(name, number, cause, hint) ErrorCode::name,
#include "base/error_table.inc"
#undef COT_ERROR
  };
  for (const ErrorCode code : kAll) {
    const std::string refused = Describe({code, Outcome::kNotApplied, {}});
    const std::string unknown = Describe({code, Outcome::kUnknown, {}});
    for (const char* words : {"may have happened", "been applied", "be applied"}) {
      EXPECT_EQ(refused.find(words), std::string::npos) << refused;
    }
    EXPECT_NE(unknown.find("may have happened: read before"), std::string::npos) << unknown;
    EXPECT_EQ(unknown.find("Send it again"), std::string::npos) << unknown;
  }
}

/// A condition holds from Raise to Clear; raising it again keeps its beginning; the bound on
/// subjects holds.
TEST(Conditions, RaisedHoldUntilCleared) {
  Conditions conditions;
  const Instant first{1s};
  EXPECT_TRUE(conditions.Raise(ConditionKind::kClockSkew, "", "3 s", first));
  EXPECT_FALSE(conditions.Raise(ConditionKind::kClockSkew, "", "4 s", first + 1s));
  ASSERT_EQ(conditions.all().size(), 1u);
  EXPECT_EQ(conditions.all().begin()->second.text, "4 s");
  EXPECT_EQ(conditions.all().begin()->second.since, first);
  EXPECT_EQ(conditions.critical(), nullptr);
  for (int i = 0; i < 100; ++i) {
    conditions.Raise(ConditionKind::kContradiction, std::to_string(i), "", first);
  }
  EXPECT_EQ(conditions.all().size(), 1 + Conditions::kSubjectsMax);
  ASSERT_NE(conditions.critical(), nullptr);
  EXPECT_EQ(conditions.critical()->first.first, ConditionKind::kContradiction);
  EXPECT_TRUE(conditions.Clear(ConditionKind::kClockSkew));
  EXPECT_FALSE(conditions.Clear(ConditionKind::kClockSkew));
  EXPECT_FALSE(conditions.Holds(ConditionKind::kClockSkew));
  EXPECT_TRUE(conditions.Holds(ConditionKind::kContradiction));
}

}  // namespace
}  // namespace coterie
