// Debian's etcdctl against the door and against Debian's etcd: the same commands in the same order
// must print the same. What differs by nature is masked: addresses, ids, terms, versions, sizes,
// hashes.
#include <gtest/gtest.h>

#include <regex>

#include "door/etcd/test_server.h"

namespace coterie::door::etcd {
namespace {

/// One server under test, and what its commands have printed that later ones need.
struct Peer {
  std::string endpoint;
  std::string lease;  // the last one granted

  std::string Run(std::string command) {
    const auto replace = [&](const std::string& what, const std::string& with) {
      for (std::size_t at = command.find(what); at != std::string::npos;
           at = command.find(what, at)) {
        command.replace(at, what.size(), with);
      }
    };
    replace("(exec CTL", "(exec etcdctl --endpoints " + endpoint);
    replace("CTL", "timeout 20 etcdctl --endpoints " + endpoint);
    replace("URL", "http://" + endpoint);
    replace("LEASE", lease);
    std::string output = Shell("export ETCDCTL_API=3; " + command);
    std::smatch granted;
    if (std::regex_search(output, granted, std::regex("lease ([0-9a-f]{16}) granted")))
      lease = granted[1];
    return output;
  }
};

/// Reads the first COUNT lines that a command which does not end by itself prints, then kills it:
/// asked to end, it might or might not find the time to release what it holds.
std::string FirstLines(int count, const std::string& command) {
  return "timeout 20 head -n " + std::to_string(count) + " < <(exec " + command +
         " 2>&1); kill -9 $!; wait $! 2>/dev/null";
}

std::string Mask(std::string text) {
  static const std::vector<std::pair<std::regex, std::string>> masks = {
      // The client's own log of a failed call; what it says is printed again as the error.
      {std::regex(R"re(\{"level":"warn"[^\n]*\n)re"), ""},
      {std::regex(R"re(127\.0\.0\.\d+:\d+)re"), "<address>"},
      {std::regex(R"re("(cluster_id|member_id|ID|leader)":\d+)re"), "\"$1\":<id>"},
      {std::regex(R"re("raft_term":\d+)re"), "\"raft_term\":<term>"},
      {std::regex(R"re(\b[0-9a-f]{15,16}\b)re"), "<hex>"},
      {std::regex(R"re(took = [^\s]+)re"), "took = <time>"},
      {std::regex(R"re("took":"[^"]+")re"), "\"took\":<time>"},
  };
  for (const auto& [pattern, with] : masks) text = std::regex_replace(text, pattern, with);
  return text;
}

class Etcdctl : public testing::Test {
 protected:
  static constexpr char kPeerAddress[] = "127.0.0.78:23790";
  static constexpr char kPeerRaftAddress[] = "127.0.0.78:23800";

  Etcdctl() : ours_server({SingleNodePath(), "127.0.0.1:0"}) {
    ours.endpoint = ours_server.FirstLine();
  }

  Peer ours;
  ServerProcess ours_server;
};

/// Every command of the comparison, in order: each may build on what the ones before it wrote.
std::vector<std::string> Commands() {
  return {
      "CTL get nothing",
      "CTL put a 1",
      "CTL put a 2 -w json",
      "CTL put a 3 --prev-kv",
      "CTL get a",
      "CTL get a -w json",
      "CTL get a --print-value-only",
      "CTL get a --rev 2",
      "CTL get a --rev 100",
      "CTL put b 1; CTL put ba 2; CTL put bb 3; CTL put c 1",
      "CTL get b --prefix",
      "CTL get b --prefix --keys-only",
      "CTL get b --prefix --limit 2 -w json",
      "CTL get b --prefix --count-only -w json",
      "CTL get b c",
      "CTL get b --from-key",
      "CTL get '' --prefix --sort-by MODIFY --order DESCEND",
      "CTL get '' --prefix --sort-by VALUE --order ASCEND",
      "CTL get '' --prefix --sort-by KEY --order DESCEND --limit 2 -w json",
      "CTL get a --consistency s",
      "CTL get ''",
      "CTL put '' 1",
      "printf 'with\\nnewline' | CTL put multi; CTL get multi",
      "CTL put a --ignore-value",
      "CTL put none --ignore-value",
      "CTL put none 1 --ignore-lease",
      "CTL put a 1 --lease 123",
      "CTL del none",
      "CTL del ba",
      "CTL del bb --prev-kv",
      "CTL put d1 1; CTL put d2 2; CTL del d --prefix -w json",
      "CTL put e1 1; CTL put e2 2; CTL del e --prefix --prev-kv",
      "CTL get a -w fields | grep -v -e ID -e RaftTerm",
      R"(printf 'value("a") = "3"\n\nput t 1\n\nput t 2\n\n' | CTL txn)",
      R"(printf 'value("a") = "none"\n\nput t 1\n\nput t 2\nget t\n\n' | CTL txn)",
      R"(printf 'mod("t") > "0"\nver("t") = "2"\n\nget t\ndel t\n\n\n' | CTL txn -w json)",
      R"(printf 'create("none") = "0"\n\nput created 1\n\n\n' | CTL txn)",
      R"(printf '\nput dup 1\nput dup 2\n\n\n' | CTL txn)",
      R"(printf 'val("a") != "3"\n\n\nget a\nget b\n\n' | CTL txn)",
      "CTL lease grant 60",
      "CTL lease grant 0",
      "CTL lease grant 9000000001",
      "CTL put leased 1 --lease LEASE; CTL get leased -w json | sed 's/\"lease\":[0-9]*/lease/'",
      "CTL lease list",
      "CTL lease timetolive LEASE --keys | sed 's/remaining([0-9]*s)/remaining/'",
      "CTL lease keep-alive LEASE --once",
      "CTL lease revoke LEASE; CTL get leased",
      "CTL lease revoke LEASE",
      "CTL lease timetolive LEASE",
      "CTL lease keep-alive LEASE --once",
      FirstLines(12, "CTL watch --rev 1 a"),
      FirstLines(8, "CTL watch --rev 1 --prev-kv a"),
      FirstLines(10, "CTL watch --rev 1 --prefix b"),
      FirstLines(1, "CTL watch --rev 2 a -w json"),
      FirstLines(6, "CTL watch --rev 1 e f"),
      "CTL compaction 5",
      "CTL compaction 5",
      "CTL compaction 1000",
      "CTL compaction 6 --physical",
      "CTL get a --rev 5",
      "CTL watch --rev 2 a",
      FirstLines(1, "CTL lock mutex") + "; CTL lock another echo locked",
      FirstLines(2, "CTL elect election me"),
      "CTL member list | cut -d, -f2,5-",
      "CTL endpoint health -w json",
      "CTL endpoint status -w json | sed -E 's/\"(version|dbSize|dbSizeInUse|raftIndex|raftTerm|"
      "raftAppliedIndex|revision)\":[\"0-9.]*/\\1/g'",
      "CTL endpoint hashkv -w json | sed -E 's/\"(hash|compact_revision)\":-?[0-9]*/\\1/g'",
      "CTL alarm list",
      "CTL alarm disarm",
      "CTL defrag",
      "CTL move-leader 1234",
      "CTL put x 1",
      "CTL user list; CTL role list",
      "CTL auth disable",
      "CTL auth enable",
      "CTL user get me; CTL user delete me; CTL user grant-role me us",
      "CTL role get us; CTL role delete us",
      "CTL --user root:secret get a",
      "curl -s -o /dev/null -w '%{content_type}' URL/health",
      "curl -s -o /dev/null -w '%{content_type}' URL/version",
      "head -c 1600000 /dev/zero | tr '\\0' v | CTL put big",
      "head -c 1500000 /dev/zero | tr '\\0' v | CTL put big; CTL get big | wc -c; CTL del big",
      "curl -s URL/health | sed 's/,\"reason\":\"\"//'",
      "curl -s -o /dev/null -w '%{http_code}' -X POST URL/version",
      "curl -s -o /dev/null -w '%{http_code}' URL/nothing",
      "CTL del election --prefix; CTL del mutex --prefix",
      "CTL get '' --prefix --keys-only",
      "CTL get '' --from-key -w json",
  };
}

// Claim: for every command, the door's answer through etcdctl is etcd's.
TEST_F(Etcdctl, PrintsWhatEtcdPrints) {
  ASSERT_FALSE(ours.endpoint.empty()) << "the door's test server did not start";
  const std::string dir = testing::TempDir() + "coterie_etcd_" + std::to_string(::getpid());
  const std::string client = std::string("http://") + kPeerAddress;
  const std::string raft = std::string("http://") + kPeerRaftAddress;
  ServerProcess peer({"etcd",
                      "--name",
                      "solo",
                      "--data-dir",
                      dir,
                      "--listen-client-urls",
                      client,
                      "--advertise-client-urls",
                      client,
                      "--listen-peer-urls",
                      raft,
                      "--initial-advertise-peer-urls",
                      raft,
                      "--initial-cluster",
                      "solo=" + raft,
                      "--log-level",
                      "fatal",
                      "--log-outputs",
                      "/dev/null",
                      "--logger",
                      "zap"});
  Peer etcd{kPeerAddress, ""};
  const std::string up = etcd.Run(
      "for i in {1..100}; do CTL endpoint health >/dev/null 2>&1 && echo up "
      "&& break; sleep 0.1; done");
  ASSERT_EQ(up, "up\n") << "etcd did not start";

  int compared = 0;
  for (const std::string& command : Commands()) {
    const std::string expected = Mask(etcd.Run(command));
    const std::string actual = Mask(ours.Run(command));
    EXPECT_EQ(actual, expected) << command;
    ++compared;
  }
  EXPECT_GE(compared, 70);
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace coterie::door::etcd
