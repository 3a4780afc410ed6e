#include "door/redis/request_parser.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/coding.h"
#include "base/random.h"
#include "door/redis/command_table.h"
#include "door/redis/reply.h"
#include "door/redis/text.h"

namespace coterie::door::redis {
namespace {

using State = RequestParser::State;

/// The requests in `input`, words joined by ',', fed `cut` bytes at a time; then the error, if any.
std::vector<std::string> Parse(std::string_view input, std::size_t cut, RequestLimits limits = {}) {
  RequestParser parser(limits);
  std::vector<std::string> found;
  std::string buffer;
  while (!input.empty()) {
    const std::size_t n = std::min(cut, input.size());
    buffer.append(input.substr(0, n));
    input.remove_prefix(n);
    for (State state; (state = parser.Next(buffer)) != State::kMore;) {
      if (state == State::kError) {
        found.emplace_back(parser.error());
        return found;
      }
      std::string text;
      for (const std::string_view word : parser.words()) text += std::string(word) + ",";
      found.push_back(text);
      buffer.erase(0, parser.consumed());
    }
  }
  return found;
}

std::vector<std::string> Parse(std::string_view input) { return Parse(input, input.size()); }

// Arrays of bulk strings and lines may follow each other in any mix; blank requests have no words.
TEST(RequestParser, FindsRequestsOfBothForms) {
  EXPECT_EQ(
      Parse("*2\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\nPING\r\n*0\r\n\r\n*-1\r\nset k \"a b\\x41\\n\" "
            "'it\\'s'\n"),
      (std::vector<std::string>{"GET,a\r\nb,", "PING,", "", "", "", "set,k,a bA\n,it's,"}));
}

// A break of the protocol is answered in Redis's words.
TEST(RequestParser, RefusesInRedissWords) {
  const auto error = [](std::string_view input) { return Parse(input).back(); };
  EXPECT_EQ(error("*x\r\n"), "ERR Protocol error: invalid multibulk length");
  EXPECT_EQ(error("*1048577\r\n"), "ERR Protocol error: invalid multibulk length");
  EXPECT_EQ(error("*1\r\n:1\r\n"), "ERR Protocol error: expected '$', got ':'");
  EXPECT_EQ(error("*1\r\n$-1\r\n"), "ERR Protocol error: invalid bulk length");
  EXPECT_EQ(error("*1\r\n$67108865\r\n"), "ERR Protocol error: invalid bulk length");
  EXPECT_EQ(error("*1\r\n$99999999999999999999\r\n"), "ERR Protocol error: invalid bulk length");
  EXPECT_EQ(error("set \"k\n"), "ERR Protocol error: unbalanced quotes in request");
  EXPECT_EQ(error("set \"k\"x\n"), "ERR Protocol error: unbalanced quotes in request");
  EXPECT_EQ(error(std::string(65537, 'a')), "ERR Protocol error: too big inline request");
  EXPECT_EQ(error("*" + std::string(65537, '1')), "ERR Protocol error: too big mbulk count string");
  EXPECT_EQ(error("*1\r\n$" + std::string(65537, '1')),
            "ERR Protocol error: too big bulk count string");
  EXPECT_EQ(
      Parse("*9\r\n$60\r\n" + std::string(60, 'a') + "\r\n$60\r\n", 10, {.request_bytes_max = 100})
          .back(),
      "ERR Protocol error: too big request");
}

// What is found does not depend on how the bytes were cut on the way.
TEST(RequestParser, CutsDoNotMatter) {
  Random random(1);
  for (int round = 0; round < 300; ++round) {
    std::string input;
    for (int i = 0; i < 8; ++i) {
      const std::uint64_t words = random.Below(5);
      if (random.Chance(0.2)) {
        input += "get  key'quoted' \r\n";
        continue;
      }
      input += "*" + std::to_string(words) + "\r\n";
      for (std::uint64_t w = 0; w < words; ++w) {
        std::string word;
        for (std::uint64_t n = random.Below(12); n > 0; --n)
          word += static_cast<char>(random.Below(256));
        input += "$" + std::to_string(word.size()) + "\r\n" + word + "\r\n";
      }
    }
    if (random.Chance(0.3))
      input[random.Below(input.size())] = static_cast<char>(random.Below(256));
    EXPECT_EQ(Parse(input), Parse(input, 1 + random.Below(9))) << Hex(input);
  }
}

// A length that was only claimed makes nothing grow: the parser asks for more and holds nothing.
TEST(RequestParser, ClaimsCostNothing) {
  RequestParser parser({});
  const std::string_view input = "*1048576\r\n$67108864\r\nabc";
  EXPECT_EQ(parser.Next(input), State::kMore);
  EXPECT_EQ(parser.wanted(), 21u + 67108864 + 2);
  EXPECT_TRUE(parser.words().empty());
}

// Each reply in both protocols; what RESP2 lacks is written as what Redis writes there.
TEST(Reply, BothProtocols) {
  const auto write = [](int protocol) {
    std::string out;
    Reply reply(out, protocol);
    reply.Ok();
    reply.Error("ERR bad\r\nnews");
    reply.Integer(-7);
    reply.Bulk("a\r\n");
    reply.Double(3.14);
    reply.Boolean(true);
    reply.Null();
    reply.NullArray();
    reply.Map(1);
    reply.Set(2);
    reply.Push(3);
    reply.Verbatim("hi");
    return out;
  };
  EXPECT_EQ(write(2),
            "+OK\r\n-ERR bad  news\r\n:-7\r\n$3\r\na\r\n\r\n$18\r\n3.1400000000000001\r\n:1\r\n"
            "$-1\r\n*-1\r\n*2\r\n*2\r\n*3\r\n$2\r\nhi\r\n");
  EXPECT_EQ(write(3),
            "+OK\r\n-ERR bad  news\r\n:-7\r\n$3\r\na\r\n\r\n,3.1400000000000001\r\n#t\r\n_\r\n_\r\n"
            "%1\r\n~2\r\n>3\r\n=6\r\ntxt:hi\r\n");
}

// Errors of ours keep their code, cause, outcome and hint, behind a word that clients know.
TEST(Reply, ErrorsSayWhetherItHappened) {
  std::string out;
  Reply(out).Error(Error{ErrorCode::kTimedOut, Outcome::kUnknown, "W=2, one answered"});
  EXPECT_TRUE(out.starts_with("-COT COT-1005 ")) << out;
  EXPECT_NE(out.find("outcome unknown"), std::string::npos);
  out.clear();
  Reply(out).Error(Error{ErrorCode::kTooFewReplicas, Outcome::kNotApplied, ""});
  EXPECT_TRUE(out.starts_with("-CLUSTERDOWN COT-1013 ")) << out;
  out.clear();
  Reply(out).Error(Error{ErrorCode::kNotAnInteger});
  EXPECT_EQ(out, "-ERR value is not an integer or out of range\r\n");
}

TEST(Text, NumbersAsRedisReadsThem) {
  EXPECT_EQ(ParseInteger("-9223372036854775808"), INT64_MIN);
  EXPECT_EQ(ParseInteger("0"), 0);
  for (const char* bad : {"", "+1", "007", "-0", "1 ", " 1", "9223372036854775808", "1.0", "-"})
    EXPECT_FALSE(ParseInteger(bad)) << bad;
  EXPECT_EQ(ParseDouble("+1.5e3"), 1500.0);
  EXPECT_EQ(ParseDouble("-inf"), -std::numeric_limits<double>::infinity());
  EXPECT_EQ(ParseDouble("0x10"), 16.0);
  EXPECT_EQ(ParseDouble("-0X1.8p1"), -3.0);
  for (const char* bad : {"", "nan", "+-1", "1x", " 1", "0x", "0x-1", "-0xg", "-"})
    EXPECT_FALSE(ParseDouble(bad)) << bad;
}

TEST(Text, Globs) {
  EXPECT_TRUE(GlobMatch("*", ""));
  EXPECT_TRUE(GlobMatch("h?llo", "hello"));
  EXPECT_TRUE(GlobMatch("h[ae]llo*", "hallo there"));
  EXPECT_TRUE(GlobMatch("h[^e]llo", "hallo"));
  EXPECT_FALSE(GlobMatch("h[^e]llo", "hello"));
  EXPECT_TRUE(GlobMatch("[a-c]*[x-z]", "b--y"));
  EXPECT_TRUE(GlobMatch("\\*", "*"));
  EXPECT_FALSE(GlobMatch("\\*", "a"));
  EXPECT_TRUE(GlobMatch("*ab*ab", "abab"));
  EXPECT_FALSE(GlobMatch("a*b", "ac"));
  EXPECT_FALSE(GlobMatch("", "a"));
  // Many stars against a long text end soon: the product of the lengths, not a power of them.
  EXPECT_FALSE(GlobMatch("a*a*a*a*a*a*a*a*a*a*b", std::string(2000, 'a')));
}

// The table finds each of its rows in any case, and only those.
TEST(CommandTable, FindsEveryName) {
  for (std::size_t i = 0; i < AllCommands().size(); ++i) {
    const Command& row = AllCommands()[i];
    EXPECT_EQ(static_cast<std::size_t>(row.id), i);
    EXPECT_EQ(FindCommand(row.name), &row);
    EXPECT_EQ(FindCommand(ToUpper(row.name)), &row);
  }
  EXPECT_EQ(FindCommand("nosuch"), nullptr);
  EXPECT_EQ(FindCommand(""), nullptr);
}

// Subcommands are told from unknown ones, and their words counted, in any case.
TEST(CommandTable, ChecksSubcommands) {
  const auto error = [](std::vector<std::string_view> words) {
    return SubcommandError(*FindCommand(words[0]), words);
  };
  EXPECT_EQ(error({"client", "ID"}), "");
  EXPECT_EQ(error({"client", "id", "a"}), "ERR wrong number of arguments for 'client|id' command");
  EXPECT_EQ(error({"pubsub", "x"}), "ERR unknown subcommand 'x'. Try PUBSUB HELP.");
  EXPECT_EQ(error({"get", "x"}), "");
  EXPECT_EQ(error({"config"}), "");
  for (const Command& row : AllCommands())
    for (const Subcommand& one : SubcommandsOf(row.id)) {
      EXPECT_EQ(one.command, row.id);
      EXPECT_EQ(one.name, ToLower(one.name));
      EXPECT_TRUE(row.AcceptsWords(static_cast<std::size_t>(std::abs(one.arity)))) << one.name;
    }
}

// A refusal names the command, the reason and where to go.
TEST(CommandTable, RefusesByName) {
  EXPECT_EQ(RefusalOf(RowOf(CommandId::kSpop), kCrdt, "use a raft keyspace (SELECT 1)"),
            "NOTCRDT SPOP gives out an element that another replica may be giving out at the same "
            "time; use a raft keyspace (SELECT 1)");
  EXPECT_EQ(RefusalOf(RowOf(CommandId::kSadd), kLww, ""),
            "NOTLWW SADD is refused: a lww keyspace keeps the last writer's string or hash field, "
            "and has no rule to merge this");
  EXPECT_EQ(RefusalOf(RowOf(CommandId::kBgsave), kRaft, "x").substr(0, 10), "ERR BGSAVE");
}

}  // namespace
}  // namespace coterie::door::redis
