#include "net/grpc_wire.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace coterie::net {
namespace {

using Event = GrpcMessageReader::Event;

std::string Prefixed(std::string_view body) {
  char prefix[kGrpcPrefixBytes];
  StoreGrpcPrefix(prefix, static_cast<std::uint32_t>(body.size()));
  return std::string(prefix, kGrpcPrefixBytes).append(body);
}

TEST(GrpcTimeout, ReadsEveryUnitAndRefusesTheRest) {
  EXPECT_EQ(ParseGrpcTimeout("1n"), Duration(1));
  EXPECT_EQ(ParseGrpcTimeout("20u"), Duration(20us));
  EXPECT_EQ(ParseGrpcTimeout("300m"), Duration(300ms));
  EXPECT_EQ(ParseGrpcTimeout("4S"), Duration(4s));
  EXPECT_EQ(ParseGrpcTimeout("2M"), Duration(120s));
  EXPECT_EQ(ParseGrpcTimeout("1H"), Duration(3600s));
  EXPECT_EQ(ParseGrpcTimeout("99999999H"), Duration(INT64_MAX));
  for (const char* bad : {"", "1", "m", "-1m", "1x", "123456789m", "1 m", "+1m"}) {
    EXPECT_FALSE(ParseGrpcTimeout(bad)) << bad;
  }
}

// What is written is read back, rounded up by a hundred-thousandth at most, never down.
TEST(GrpcTimeout, FormatRoundsUp) {
  Random random(3);
  for (int i = 0; i < 10000; ++i) {
    const Duration timeout(1 + static_cast<std::int64_t>(random.Next() >> (1 + random.Below(62))));
    const std::optional<Duration> back = ParseGrpcTimeout(FormatGrpcTimeout(timeout));
    ASSERT_TRUE(back) << FormatGrpcTimeout(timeout);
    EXPECT_GE(*back, timeout);
    EXPECT_LE((*back - timeout).count(), timeout.count() / 99999);
  }
}

TEST(PercentEncoding, GoldenAndRoundTrip) {
  EXPECT_EQ(PercentEncode("a b%c\n\xc3\xa9"), "a b%25c%0A%C3%A9");
  EXPECT_EQ(PercentDecode("%41%4a%zz%4"), "AJ%zz%4");
  std::string all;
  for (int c = 0; c < 256; ++c) all.push_back(static_cast<char>(c));
  EXPECT_EQ(PercentDecode(PercentEncode(all)), all);
}

// Messages come out whole and in order however the bytes are cut.
TEST(GrpcMessageReader, AnyCut) {
  Random random(11);
  for (int round = 0; round < 100; ++round) {
    std::string wire;
    std::vector<std::string> sent;
    for (int i = 0; i < 10; ++i) {
      sent.emplace_back(random.Below(50), static_cast<char>('a' + i));
      wire += Prefixed(sent.back());
    }
    GrpcMessageReader reader(100);
    std::vector<std::string> got;
    for (std::string_view rest = wire; !rest.empty();) {
      const std::size_t cut = std::min<std::size_t>(1 + random.Below(30), rest.size());
      std::string_view chunk = rest.substr(0, cut);
      rest.remove_prefix(cut);
      std::string message;
      while (!chunk.empty()) {
        if (reader.Next(chunk, message) == Event::kMessage) got.push_back(message);
      }
    }
    EXPECT_EQ(got, sent);
    EXPECT_TRUE(reader.between_messages());
  }
}

TEST(GrpcMessageReader, RefusesLargeAndCompressed) {
  std::string message;
  GrpcMessageReader reader(10);
  std::string wire = Prefixed("12345678901");
  std::string_view bytes = wire;
  EXPECT_EQ(reader.Next(bytes, message), Event::kTooLarge);
  EXPECT_EQ(reader.claimed_bytes(), 11u);
  GrpcMessageReader other(10);
  wire = Prefixed("1");
  wire[0] = 1;
  bytes = wire;
  EXPECT_EQ(other.Next(bytes, message), Event::kCompressed);
}

// Taken in any portions, the queue gives exactly what was put in.
TEST(OutQueue, GivesBytesInOrder) {
  Random random(5);
  for (int round = 0; round < 100; ++round) {
    OutQueue queue;
    std::string expected;
    std::string got;
    for (int i = 0; i < 200; ++i) {
      if (random.Chance(0.5)) {
        std::string body(random.Below(20), static_cast<char>('a' + i % 26));
        const bool raw = random.Chance(0.2);
        expected += raw ? body : Prefixed(body);
        raw ? queue.PushRaw(std::move(body)) : queue.PushMessage(std::move(body));
      } else {
        queue.Take(random.Below(queue.bytes() + 1), got);
      }
      ASSERT_EQ(queue.bytes(), expected.size() - got.size());
    }
    queue.Take(queue.bytes(), got);
    EXPECT_EQ(got, expected);
  }
}

}  // namespace
}  // namespace coterie::net
