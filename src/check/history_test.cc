#include "check/history.h"

#include <gtest/gtest.h>

#include "check/simulated_store.h"

namespace coterie::check {
namespace {

// What was written is read back, for every shape of operation.
TEST(HistoryJson, RoundTrip) {
  Random random(3);
  for (int i = 0; i < 200; ++i) {
    const History history =
        ValidHistory(random, {.operations = 20, .unknown = 0.2, .serializable = true});
    const Result<History> back = FromJsonLines(ToJsonLines(history));
    ASSERT_TRUE(back.has_value()) << Describe(back.error());
    ASSERT_EQ(back->operations.size(), history.operations.size());
    for (std::size_t j = 0; j < history.operations.size(); ++j) {
      EXPECT_EQ(back->operations[j], history.operations[j]) << ToJson(history.operations[j]);
    }
  }
}

// Keys and values are bytes: all 256 of them survive, and the text stays ASCII.
TEST(HistoryJson, EveryByteSurvives) {
  std::string bytes;
  for (int b = 0; b < 256; ++b) bytes += static_cast<char>(b);
  Operation op = Put(1, bytes, bytes);
  op.endpoint = "n1";
  op.error = "\"quoted\"\n";
  const std::string text = ToJsonLines({{op}});
  for (const char c : text) EXPECT_TRUE((c >= 0x20 && c < 0x7f) || c == '\n');
  const Result<History> back = FromJsonLines(text);
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->operations[0], op);
}

// Bad input is an error that names its line; members of later versions are let pass.
TEST(HistoryJson, BadInputIsRefused) {
  const std::string good = ToJsonLines({{Put(1, "x", "a")}});
  for (const std::string bad : {"nonsense", "[1]", R"({"type":"maybe"})", R"({"process":"one"})",
                                R"({"then":[{"f":"swap","key":"x"}]})", R"({"then":[1]})"}) {
    const Result<History> back = FromJsonLines(good + bad + "\n");
    ASSERT_FALSE(back.has_value()) << bad;
    EXPECT_EQ(back.error().code, ErrorCode::kMalformed);
    EXPECT_NE(back.error().message.find("line 2"), std::string::npos);
  }
  EXPECT_TRUE(FromJsonLines(R"({"process":1,"invoke":1,"later":{"a":[]}})").has_value());
}

// The Jepsen form: invocations and completions in time order, indexes dense, unknown processes
// retired.
TEST(HistoryEdn, Golden) {
  Operation write = Put(0, "x", "1");
  write.invoke_ns = 10;
  Operation read = Get(0, "x");
  read.invoke_ns = 20;
  read.return_ns = 30;
  read.outcome = Operation::Outcome::kOk;
  read.success[0].seen.push_back({"x", "1"});
  Operation swap = CompareAndSwap(1, "x", "2", "3");
  swap.invoke_ns = 25;
  swap.return_ns = 40;
  swap.outcome = Operation::Outcome::kOk;
  swap.succeeded = false;
  Operation range = Get(2, "a");
  range.success[0].range_end = "z";
  range.invoke_ns = 50;
  const EdnHistory edn = ToEdn({{write, read, swap, range}});
  EXPECT_EQ(edn.left_out, 1U);
  EXPECT_EQ(
      edn.text,
      "{:process 0, :type :invoke, :f :write, :value [\"x\" \"1\"], :time 10, :index 0}\n"
      "{:process 0, :type :info, :f :write, :value [\"x\" \"1\"], :time 10, :index 1}\n"
      "{:process 3, :type :invoke, :f :read, :value [\"x\" nil], :time 20, :index 2}\n"
      "{:process 1, :type :invoke, :f :cas, :value [\"x\" [\"2\" \"3\"]], :time 25, :index 3}\n"
      "{:process 3, :type :ok, :f :read, :value [\"x\" \"1\"], :time 30, :index 4}\n"
      "{:process 1, :type :fail, :f :cas, :value [\"x\" [\"2\" \"3\"]], :time 40, :index 5}\n");
}

// A record that no run can have produced is refused before anything is judged.
TEST(History, ValidateRefusesImpossibleRecords) {
  Operation first = Put(1, "x", "a");
  first.invoke_ns = 10;
  first.return_ns = 20;
  first.outcome = Operation::Outcome::kOk;
  Operation second = first;
  second.invoke_ns = 15;
  second.return_ns = 30;
  EXPECT_FALSE(Validate({{first, second}}).has_value());
  second.process = 2;
  EXPECT_TRUE(Validate({{first, second}}).has_value());
  EXPECT_FALSE(Validate({{second, first}}).has_value());
  second.return_ns = 14;
  EXPECT_FALSE(Validate({{first, second}}).has_value());
  first.outcome = Operation::Outcome::kUnknown;  // given up at 20; its client went on
  second.process = 1;
  second.invoke_ns = 21;
  second.return_ns = 22;
  EXPECT_TRUE(Validate({{first, second}}).has_value());
}

}  // namespace
}  // namespace coterie::check
