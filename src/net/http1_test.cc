#include "net/http1.h"

#include <gtest/gtest.h>

#include "net/http1_server.h"
#include "net/test_world.h"

namespace coterie::net {
namespace {

std::string Show(const std::expected<std::optional<Http1Message>, int>& next) {
  if (!next) return "refused " + std::to_string(next.error());
  if (!*next) return "more";
  const Http1Message& m = **next;
  std::string text = m.method + " " + m.target + (m.keep_alive ? " keep" : " close");
  for (const auto& [name, value] : m.headers) text += " [" + name + "=" + value + "]";
  return text + " '" + m.body + "'";
}

std::string ParseOne(std::string_view bytes, std::size_t cut) {
  Http1Parser parser(Http1Parser::Role::kServer, 1000, 100);
  std::string shown = "more";
  while (!bytes.empty() && shown == "more") {
    const std::size_t take = std::min(cut, bytes.size());
    parser.Feed(bytes.substr(0, take));
    bytes.remove_prefix(take);
    shown = Show(parser.Next());
  }
  return shown;
}

struct Case {
  std::string bytes;
  std::string shown;
};

// Golden requests, each read whole and byte by byte.
TEST(Http1Parser, Golden) {
  const Case cases[] = {
      {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET / keep [host=x] ''"},
      {"\r\n\r\nGET /a?b=c HTTP/1.1\r\nHOST:x \r\n\r\n", "GET /a?b=c keep [host=x] ''"},
      {"GET http://x:1/p HTTP/1.1\r\nhost: x\r\nConnection: Close\r\n\r\n",
       "GET /p close [host=x] [connection=Close] ''"},
      {"GET / HTTP/1.0\r\n\r\n", "GET / close ''"},
      {"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc",
       "POST / keep [host=x] [content-length=3] 'abc'"},
      {"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: "
       "chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nt: v\r\n\r\n",
       "POST / keep [host=x] [transfer-encoding=chunked] 'abcde'"},
      {"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 101\r\n\r\n", "refused 413"},
      {"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n",
       "refused 413"},
      {"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n10000000000000000\r\n",
       "refused 400"},
      {"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcd\r\n",
       "refused 400"},
      {"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n",
       "refused 400"},
      {"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\n",
       "refused 400"},
      {"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -3\r\n\r\n", "refused 400"},
      {"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n", "refused 501"},
      {"GET / HTTP/1.1\r\n\r\n", "refused 400"},
      {"GET / HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n", "refused 400"},
      {"GET / HTTP/1.1\r\nhost : x\r\n\r\n", "refused 400"},
      {"GET / HTTP/1.1\r\nhost: x\r\n folded\r\n\r\n", "refused 400"},
      {"GET / HTTP/1.1\nhost: x\n\n", "refused 400"},
      {"GET / HTTP/2.0\r\n\r\n", "refused 505"},
      {"GET / FTP/1.0\r\n\r\n", "refused 400"},
      {"GET  / HTTP/1.1\r\n\r\n", "refused 400"},
      {"nonsense\r\n", "refused 400"},
      {"GET /" + std::string(1000, 'a') + " HTTP/1.1\r\n", "refused 431"},
      {"GET / HTTP/1.1\r\nx: " + std::string(1000, 'a'), "refused 431"},
      {"GET / HTTP/1.1\r\nhost: x\r\n", "more"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(ParseOne(c.bytes, c.bytes.size()), c.shown) << c.bytes;
    EXPECT_EQ(ParseOne(c.bytes, 1), c.shown) << c.bytes;
  }
}

TEST(Http1Parser, AnswersWithEveryWayToEndABody) {
  const auto parse = [](std::string_view bytes, bool head) {
    Http1Parser parser(Http1Parser::Role::kClient, 1000, 100);
    if (head) parser.ExpectNoBody();
    parser.Feed(bytes);
    parser.End();
    const auto next = parser.Next();
    return next && *next ? std::to_string((*next)->status) + "'" + (*next)->body + "'" : Show(next);
  };
  EXPECT_EQ(parse("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", false), "200'hi'");
  EXPECT_EQ(parse("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 \r\ncontent-length: 0\r\n\r\n", false),
            "404''");
  EXPECT_EQ(parse("HTTP/1.0 200 OK\r\n\r\nuntil the end", false), "200'until the end'");
  EXPECT_EQ(
      parse("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", false),
      "200'hi'");
  EXPECT_EQ(parse("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", true), "200''");
  EXPECT_EQ(parse("HTTP/1.1 204 No Content\r\n\r\n", false), "204''");
  EXPECT_EQ(parse("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhi", false), "more");
}

runtime::Task<HttpResponse> AnswerAfter(runtime::Executor* executor, HttpRequest request) {
  if (request.path == "/slow") co_await runtime::Sleep(*executor, 10ms);
  co_return HttpResponse{200, "t", request.path};
}

class Http1Server : public testing::Test {
 protected:
  test::TestWorld world_;
  GrpcMethods methods_;
  ServerShared shared_{world_, {}, methods_, [this](HttpRequest request) {
                         return AnswerAfter(&world_.executor(), std::move(request));
                       }};
  Http1ServerConnection connection_{shared_, [] {}};

  std::string Output() {
    std::string out;
    connection_.Produce(out);
    return out;
  }
};

// Pipelined requests are answered in order although a later one is quicker.
TEST_F(Http1Server, PipelinesInOrder) {
  EXPECT_TRUE(
      connection_.OnInput("GET /slow HTTP/1.1\r\nhost:x\r\n\r\nGET /b HTTP/1.1\r\nhost:x\r\n"
                          "connection: close\r\n\r\nGET /c HTTP/1.1\r\nhost:x\r\n\r\n"));
  EXPECT_EQ(Output(), "");
  world_.executor().RunFor(20ms);
  EXPECT_EQ(
      Output(),
      "HTTP/1.1 200 OK\r\ncontent-type: t\r\ncontent-length: 5\r\n\r\n/slow"
      "HTTP/1.1 200 OK\r\ncontent-type: t\r\ncontent-length: 2\r\nconnection: close\r\n\r\n/b");
  EXPECT_TRUE(connection_.finished());
}

TEST_F(Http1Server, ContinuesAndAnswersHeadWithoutBody) {
  EXPECT_TRUE(connection_.OnInput(
      "POST /p HTTP/1.1\r\nhost:x\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n"));
  EXPECT_EQ(Output(), "HTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_TRUE(connection_.OnInput("x"));
  EXPECT_EQ(Output(), "HTTP/1.1 200 OK\r\ncontent-type: t\r\ncontent-length: 2\r\n\r\n/p");
  EXPECT_TRUE(connection_.OnInput("HEAD /h HTTP/1.1\r\nhost:x\r\n\r\n"));
  EXPECT_EQ(Output(), "HTTP/1.1 200 OK\r\ncontent-type: t\r\ncontent-length: 2\r\n\r\n");
}

TEST_F(Http1Server, RefusesWithAnAnswerAndEnds) {
  EXPECT_FALSE(connection_.OnInput("GET / HTTP/3.0\r\n\r\n"));
  EXPECT_TRUE(Output().starts_with("HTTP/1.1 505 HTTP Version Not Supported\r\n"));
  EXPECT_TRUE(connection_.finished());
}

// A client that has ended its side still gets the answer to what it asked.
TEST_F(Http1Server, AnswersAfterHalfClose) {
  EXPECT_TRUE(connection_.OnInput("GET /slow HTTP/1.1\r\nhost:x\r\n\r\n"));
  EXPECT_TRUE(connection_.OnEof());
  EXPECT_FALSE(connection_.finished());
  world_.executor().RunFor(20ms);
  EXPECT_TRUE(Output().ends_with("/slow"));
  EXPECT_TRUE(connection_.finished());
}

}  // namespace
}  // namespace coterie::net
