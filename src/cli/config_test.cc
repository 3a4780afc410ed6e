#include "cli/config.h"

#include <gtest/gtest.h>

#include "cli/settings.h"

namespace coterie::cli {
namespace {

ConfigSources FileSources(std::string text) {
  ConfigSources sources;
  sources.file_path = "n.toml";
  sources.file_text = "data_dir = \"/d\"\n" + std::move(text);
  return sources;
}

std::string OriginOf(const Configuration& configuration, std::string_view name) {
  for (const SettingInForce& setting : configuration.settings) {
    if (setting.name == name) return setting.origin;
  }
  return "no such setting";
}

/// The code and message with which a file's text is refused.
Error Refusal(std::string text) {
  Result<Configuration> configuration = Configure(FileSources(std::move(text)));
  return configuration ? Error{ErrorCode::kStopped, Outcome::kNotApplied, "it was accepted"}
                       : configuration.error();
}

// Claim: a later source wins, and every setting in force tells who set it, down to the file's line.
TEST(Config, LaterSourceWinsAndOriginIsKept) {
  ConfigSources sources =
      FileSources("name = \"file\"\ncluster = \"file\"\nlog_level = \"warn\"\n");
  sources.environment = {{"COTERIE_CLUSTER", "environment"}, {"COTERIE_LOG_LEVEL", "error"}};
  sources.flags = {{"log_level", "debug"}};
  const Result<Configuration> configuration = Configure(sources);
  ASSERT_TRUE(configuration) << configuration.error().message;
  EXPECT_EQ(configuration->node.name, "file");
  EXPECT_EQ(configuration->node.cluster, "environment");
  EXPECT_EQ(configuration->node.log_level, LogLevel::kDebug);
  EXPECT_EQ(OriginOf(*configuration, "name"), "n.toml:2");
  EXPECT_EQ(OriginOf(*configuration, "cluster"), "COTERIE_CLUSTER");
  EXPECT_EQ(OriginOf(*configuration, "log_level"), "--log-level");
  EXPECT_EQ(OriginOf(*configuration, "peer_listen"), "default");
}

// Claim: a setting of several takes a list or one text with commas, and only such a setting does.
TEST(Config, ListsInTheFile) {
  const auto list = Configure(FileSources("join = [\"127.0.0.1:7071\", \"127.0.0.2:7071\"]\n"));
  ASSERT_TRUE(list) << list.error().message;
  const auto text = Configure(FileSources("join = \"127.0.0.1:7071,127.0.0.2:7071\"\n"));
  ASSERT_TRUE(text) << text.error().message;
  EXPECT_EQ(list->node.join.size(), 2u);
  EXPECT_EQ(list->node.join, text->node.join);
  EXPECT_TRUE(Configure(FileSources("default_keyspaces = [\"a:replication=raft\"]\n")));
  EXPECT_TRUE(Configure(FileSources("members = [\"1/n1/127.0.0.1:7071/127.0.0.1:2379\"]\n")));
  EXPECT_NE(Refusal("join = [1]\n").message.find("a text without commas"), std::string::npos);
  EXPECT_NE(Refusal("join = [\"a,b\"]\n").message.find("a text without commas"), std::string::npos);
  EXPECT_NE(Refusal("name = [\"n1\"]\n").message.find("must be a text"), std::string::npos);
}

// Claim: a key that does not exist is refused, naming its line and the key that was probably meant.
TEST(Config, UnknownKeyNamesTheNearest) {
  const Error error = Refusal("hearbeat_interval = \"50ms\"\n");
  EXPECT_EQ(error.code, ErrorCode::kUnknownConfigKey);
  EXPECT_NE(error.message.find("n.toml:2"), std::string::npos) << error.message;
  EXPECT_NE(error.message.find("did you mean 'heartbeat_interval'"), std::string::npos)
      << error.message;
  EXPECT_EQ(Refusal("[section]\nx = 1\n").code, ErrorCode::kUnknownConfigKey);

  ConfigSources sources = FileSources("");
  sources.environment = {{"COTERIE_DATADIR", "/x"}};
  const Result<Configuration> configuration = Configure(sources);
  ASSERT_FALSE(configuration);
  EXPECT_NE(configuration.error().message.find("'data_dir'"), std::string::npos);
}

// Claim: a value that cannot be used is refused with its place and what is wrong with it.
TEST(Config, BadValuesAreRefused) {
  struct Case {
    std::string text;
    std::string says;
  };
  const Case cases[] = {
      {"id = 0", "from 1 to"},
      {"id = \"x\"", "start with a number"},
      {"id = 3.5", "whole number"},
      {"name = \"a b\"", "only letters"},
      {"etcd_listen = \"2379\"", "127.0.0.1:2379"},
      {"demo = \"yes\"", "true or false"},
      {"heartbeat_interval = 100", "needs a unit"},
      {"request_bytes_max = \"1TB\"", "unit must be"},
      {"request_bytes_max = \"1GiB\"", "from 1KiB to 32MiB"},
      {"wal_segment_bytes = 99999999999999999999", "n.toml:2"},
      {"engine_cache_bytes = \"18446744073709551615GiB\"", "too large"},
      {"log_level = \"loud\"", "debug, info, warn or error"},
      {"election_timeout = \"200ms\"", "at least 3 times heartbeat_interval"},
      {"admin_listen = \"127.0.0.1:2379\"", "the same address"},
      {"members = [1]", "is a table"},
      {"[[members]]\nid = 1\nname = \"n1\"\npeer = \"127.0.0.1:7071\"", "needs 'etcd'"},
      {"redis_listen = \"127.0.0.1:2379\"", "the same address"},
      {"redis_listen = \"no\"", "127.0.0.1:2379"},
      {"redis_listen = \"10.0.0.1:6379\"", "neither TLS nor authentication"},
      {"join = \"127.0.0.2\"", "an address and a port"},
      {"id = 2\njoin = \"127.0.0.2:7071\"", "given its id by the cluster"},
      {"join = \"127.0.0.2:7071\"\nmembers = \"1/n1/127.0.0.1:1/127.0.0.1:2\"",
       "learns the members"},
      {"join = \"127.0.0.2:7071\"\ndefault_keyspaces = \"a\"", "finds the keyspaces"},
      {"failure_domain = \"a b\"", "only letters"},
      {"failure_domain = \"a\"\nmembers = \"1/n1/127.0.0.1:1/127.0.0.1:2///b\"",
       "puts node 1 into 'b'"},
      {"default_keyspaces = \"a:replication=raft:write=2\"", "replication raft against write 2"},
      {"default_keyspaces = \"a:colour=red\"", "no 'colour'"},
      {"[[members]]\nid = 2\nname = \"n2\"\npeer = \"127.0.0.1:7071\"\netcd = \"127.0.0.1:1\"",
       "id 1, is missing"},
      {"members = \"1/n1/127.0.0.1:1/127.0.0.1:2,1/n2/127.0.0.1:3/127.0.0.1:4\"", "have id 1"},
      {"members = \"1/n1/127.0.0.1:1/127.0.0.1:2,2/n2/127.0.0.1:1/127.0.0.1:4\"", "there twice"},
      {"members = \"1/other/127.0.0.1:1/127.0.0.1:2\"", "names node 1 'other'"},
      {"name = ", "not TOML"},
      {"\xc6\xa5+", "2: not TOML"},
      {"[ \x01\r", "2: not TOML"},
      {"[\\", "not TOML"},
      {"name = \"n\" # \xc6\xa5\nn\xc3\xa4me = 1", "3: not TOML"},
  };
  for (const Case& c : cases) {
    const Error error = Refusal(c.text + "\n");
    EXPECT_EQ(error.code, ErrorCode::kInvalidConfig) << c.text << ": " << error.message;
    EXPECT_NE(error.message.find(c.says), std::string::npos) << c.text << ": " << error.message;
  }
  EXPECT_EQ(Refusal("[[members]]\nid = 1\nnmae = \"n1\"\n").code, ErrorCode::kUnknownConfigKey);
}

// Claim: without TLS a node listens on loopback only; a name that merely looks like it does not
// pass.
TEST(Config, ListensOnLoopbackOnly) {
  for (const char* address :
       {"0.0.0.0:2379", "10.0.0.1:2379", "[::]:2379", "127.0.0.1.example:1"}) {
    const Error error = Refusal(std::string("etcd_listen = \"") + address + "\"\n");
    EXPECT_EQ(error.code, ErrorCode::kInvalidConfig) << address;
    EXPECT_NE(error.message.find("neither TLS nor authentication"), std::string::npos) << address;
  }
  EXPECT_TRUE(Configure(FileSources("etcd_listen = \"[::1]:2379\"\n")));
  EXPECT_TRUE(Configure(FileSources("etcd_listen = \"127.9.9.9:2379\"\n")));
}

// Claim: a node that joins has no id and no members of its own; its file says so again.
TEST(Config, JoiningNode) {
  const Result<Configuration> joining = Configure(FileSources(
      "name = \"n4\"\nfailure_domain = \"r2\"\njoin = \"127.0.0.2:7071,[::1]:7071\"\n"));
  ASSERT_TRUE(joining) << joining.error().message;
  EXPECT_EQ(joining->node.id, NodeId());
  EXPECT_TRUE(joining->node.members.empty());
  ASSERT_EQ(joining->node.join.size(), 2u);
  EXPECT_EQ(joining->node.join[1], (runtime::Address{"::1", 7071}));
  ConfigSources again;
  again.file_path = "again.toml";
  again.file_text = ConfigFileText(joining->node);
  const Result<Configuration> second = Configure(again);
  ASSERT_TRUE(second) << second.error().message << "\n" << again.file_text;
  EXPECT_EQ(ConfigFileText(second->node), again.file_text);
}

// Claim: what a member may have beside its addresses is read from a table and from a word alike,
// and a node finds its own failure domain there.
TEST(Config, MembersTellMore) {
  const Result<Configuration> table = Configure(
      FileSources("[[members]]\nid = 1\nname = \"n1\"\npeer = \"127.0.0.1:1\"\n"
                  "etcd = \"127.0.0.1:2\"\nredis = \"127.0.0.1:3\"\nfailure_domain = \"r1\"\n"));
  ASSERT_TRUE(table) << table.error().message;
  EXPECT_EQ(MemberText(table->node.members[0]), "1/n1/127.0.0.1:1/127.0.0.1:2/127.0.0.1:3//r1");
  EXPECT_EQ(table->node.failure_domain, "r1");
  for (const char* text : {"1/a/h:1/h:2", "1/a/h:1/h:2/h:3", "1/a/h:1/h:2//h:4", "1/a/h:1/h:2///d",
                           "1/a/h:1/h:2/h:3/h:4/d"}) {
    const auto member = ParseMember(text);
    ASSERT_TRUE(member) << text;
    EXPECT_EQ(MemberText(*member), text);
  }
  for (const char* text : {"", "1/a/h:1", "1/a/h:1/h:2/h:3/h:4/d/e", "1/a/h:1/h:2/x"}) {
    EXPECT_FALSE(ParseMember(text)) << text;
  }
}

// Claim: the Redis door can be left closed.
TEST(Config, NoRedisDoor) {
  const Result<Configuration> closed = Configure(FileSources("redis_listen = \"none\"\n"));
  ASSERT_TRUE(closed) << closed.error().message;
  EXPECT_EQ(closed->node.redis_listen, runtime::Address{});
  EXPECT_EQ(Configure(FileSources(""))->node.redis_listen, (runtime::Address{"127.0.0.1", 6379}));
}

// Claim: a node needs a data directory, and alone it is a cluster of one.
TEST(Config, AloneIsAClusterOfOne) {
  const Result<Configuration> without = Configure({});
  ASSERT_FALSE(without);
  EXPECT_NE(without.error().message.find("--data-dir"), std::string::npos);
  const Result<Configuration> alone = Configure(FileSources("id = 4\nname = \"x\"\n"));
  ASSERT_TRUE(alone);
  ASSERT_EQ(alone->node.members.size(), 1u);
  EXPECT_EQ(alone->node.members[0].id, NodeId(4));
  EXPECT_EQ(alone->node.members[0].peer, alone->node.peer_listen);
}

// Claim: the file written for a configuration reads back as the same configuration.
TEST(Config, FileTextRoundTrips) {
  ConfigSources sources = FileSources(
      "id = 2\nname = \"n2\"\ndemo = true\nheartbeat_interval = \"1500us\"\n"
      "request_bytes_max = 70001\nengine_cache_bytes = \"3GiB\"\n"
      "members = \"1/n1/127.0.0.1:1/127.0.0.1:2,2/n2/[::1]:1/127.0.0.2:2\"\n");
  sources.flags = {{"data_dir", "/a \"quoted\\path\""}};
  const Result<Configuration> first = Configure(sources);
  ASSERT_TRUE(first) << first.error().message;
  ConfigSources again;
  again.file_path = "again.toml";
  again.file_text = ConfigFileText(first->node);
  const Result<Configuration> second = Configure(again);
  ASSERT_TRUE(second) << second.error().message << "\n" << again.file_text;
  for (std::size_t i = 0; i < first->settings.size(); ++i) {
    EXPECT_EQ(first->settings[i].value, second->settings[i].value) << first->settings[i].name;
  }
}

// Claim: each setting's value in force is accepted by that setting again, defaults included.
TEST(Settings, GetAndSetAreInverse) {
  const Result<Configuration> defaults = Configure(FileSources(""));
  ASSERT_TRUE(defaults);
  for (const Setting& setting : Settings()) {
    node::NodeConfig config;
    const std::string value = setting.get(defaults->node);
    ASSERT_TRUE(setting.set(value, config)) << setting.name << " = " << value;
    EXPECT_EQ(setting.get(config), value) << setting.name;
  }
}

// Claim: the nearest name is the one with the fewest edits, a swap of neighbours being one, and
// nothing is suggested for a word that resembles none.
TEST(Settings, NearestName) {
  const std::string_view names[] = {"status", "start", "demo", "fault"};
  EXPECT_EQ(NearestName("statsu", names), "status");
  EXPECT_EQ(NearestName("strat", names), "start");
  EXPECT_EQ(NearestName("dmeo", names), "demo");
  EXPECT_EQ(NearestName("keyspace", names), "");
  EXPECT_EQ(NearestName(std::string(1'000'000, 'x'), names), "");
}

}  // namespace
}  // namespace coterie::cli
