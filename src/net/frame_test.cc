#include "net/frame.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/coding.h"
#include "base/random.h"

namespace coterie::net {
namespace {

std::string Encode(const Frame& frame) {
  std::string out;
  EncodeFrame(frame, frame.body, out);
  return out;
}

Frame Sample(std::uint64_t i, std::size_t size) {
  return {{static_cast<std::uint16_t>(i * 257), Epoch(i << 40 | 7), static_cast<std::uint32_t>(i)},
          std::string(size, static_cast<char>('a' + i % 26))};
}

void ExpectSame(const Frame& a, const Frame& b) {
  EXPECT_EQ(a.type, b.type);
  EXPECT_EQ(a.epoch, b.epoch);
  EXPECT_EQ(a.deadline_ms, b.deadline_ms);
  EXPECT_EQ(a.body, b.body);
}

// The bytes of the README's worked example: the format may not change by accident.
TEST(Frame, WorkedExample) {
  const std::string bytes = Encode({{0x0102, Epoch(3), 250}, "hi"});
  EXPECT_EQ(Hex(bytes.substr(0, 4)), "02000000");
  EXPECT_EQ(Hex(bytes.substr(8)),
            "01000201"
            "0300000000000000"
            "fa000000"
            "6869");
  EXPECT_EQ(Hex(bytes.substr(4, 4)), "e21ac317");
}

// Whatever way a stream is cut into reads, the same frames come out.
TEST(FrameDecoder, AnyCutGivesTheSameFrames) {
  Random random(7);
  for (int round = 0; round < 50; ++round) {
    std::vector<Frame> sent;
    std::string wire;
    for (std::uint64_t i = 0; i < 20; ++i) {
      sent.push_back(Sample(i, random.Below(300)));
      EncodeFrame(sent.back(), sent.back().body, wire);
    }
    FrameDecoder decoder;
    std::size_t received = 0;
    for (std::string_view rest = wire; !rest.empty();) {
      const std::size_t cut = std::min<std::size_t>(1 + random.Below(200), rest.size());
      decoder.Feed(rest.substr(0, cut));
      rest.remove_prefix(cut);
      for (;;) {
        auto frame = decoder.Next();
        ASSERT_TRUE(frame);
        if (!*frame) break;
        ASSERT_LT(received, sent.size());
        ExpectSame(**frame, sent[received++]);
      }
    }
    EXPECT_EQ(received, sent.size());
  }
}

// A frame with flags, which no version defines yet, is passed over; those around it come.
TEST(FrameDecoder, PassesFlaggedFramesOver) {
  std::string wire;
  for (std::uint64_t i = 0; i < 3; ++i) {
    std::string one = Encode(Sample(i, 40));
    if (i == 1) {
      one[9] = 4;
      const std::string_view all(one);
      const std::uint32_t crc = Crc32c(all.substr(8), Crc32c(all.substr(0, 4)));
      StoreFixed32(one.data() + 4, crc);
    }
    wire += one;
  }
  FrameDecoder decoder;
  decoder.Feed(wire);
  for (const std::uint64_t i : {0, 2}) {
    auto frame = decoder.Next();
    ASSERT_TRUE(frame && *frame);
    ExpectSame(**frame, Sample(i, 40));
  }
  auto end = decoder.Next();
  ASSERT_TRUE(end);
  EXPECT_FALSE(*end);
}

// Any changed bit of a whole frame is found, or makes the decoder wait for bytes that never come;
// no damaged frame is delivered.
TEST(FrameDecoder, NoFlippedBitGetsThrough) {
  const std::string good = Encode(Sample(5, 40));
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
    FrameDecoder decoder;
    decoder.Feed(bad);
    const auto frame = decoder.Next();
    EXPECT_TRUE(!frame || !*frame) << "bit " << bit;
  }
}

TEST(FrameDecoder, RefusesALengthOverItsBoundFromTheHeaderAlone) {
  FrameDecoder decoder(100);
  decoder.Feed(Encode(Sample(1, 101)).substr(0, kFrameHeaderBytes));
  const auto frame = decoder.Next();
  ASSERT_FALSE(frame);
  EXPECT_EQ(frame.error().code, ErrorCode::kTooLarge);
  decoder.Feed(Encode(Sample(1, 3)));
  EXPECT_FALSE(decoder.Next()) << "a dead stream stays dead";
}

TEST(FrameDecoder, TakesABodyOfExactlyItsBound) {
  FrameDecoder decoder(100);
  decoder.Feed(Encode(Sample(1, 100)));
  const auto frame = decoder.Next();
  ASSERT_TRUE(frame && *frame);
  ExpectSame(**frame, Sample(1, 100));
}

}  // namespace
}  // namespace coterie::net
