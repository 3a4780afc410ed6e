#include "cli/config.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "base/assert.h"
#include "cli/settings.h"

namespace coterie::cli {
namespace {

constexpr std::string_view kPrefix = "COTERIE_";
constexpr std::size_t kMembersMax = 100;

/// Builds a configuration one layer at a time.
class Layers {
 public:
  Layers() {
    config_.id = NodeId(1);
    config_.name = "n1";
    config_.etcd_listen = {"127.0.0.1", 2379};
    config_.redis_listen = {"127.0.0.1", 6379};
    config_.admin_listen = {"127.0.0.1", 7070};
    config_.peer_listen = {"127.0.0.1", 7071};
    for (const Setting& setting : Settings()) origins_[std::string(setting.name)] = "default";
  }

  Status Set(const std::string& name, const std::string& value, const std::string& origin) {
    const Setting* setting = FindSetting(name);
    if (setting == nullptr) {
      const std::string_view nearest = NearestName(name, SettingNames());
      return Fail(ErrorCode::kUnknownConfigKey,
                  fmt::format("{}: there is no setting '{}'{}.", origin, name,
                              nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest)));
    }
    const Status taken = setting->set(value, config_);
    if (!taken) return Complaint(name, value, origin, taken.error().message);
    origins_[name] = origin;
    return Ok();
  }

  /// Complains about the value in force of one setting.
  std::unexpected<Error> Refuse(std::string_view name, std::string_view why) const {
    const Setting* setting = FindSetting(name);
    COT_ASSERT(setting != nullptr);
    return Complaint(name, setting->get(config_), origins_.at(std::string(name)), why);
  }

  node::NodeConfig& config() { return config_; }
  const std::string& origin(std::string_view name) const { return origins_.at(std::string(name)); }

 private:
  static std::unexpected<Error> Complaint(std::string_view name, std::string_view value,
                                          std::string_view origin, std::string_view why) {
    return Fail(ErrorCode::kInvalidConfig,
                fmt::format("{}: {} = '{}': {}.", origin, name, value, why));
  }

  node::NodeConfig config_;
  std::map<std::string, std::string> origins_;
};

bool IsLoopback(const std::string& host) {
  in_addr v4;
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
  in6_addr v6;
  return inet_pton(AF_INET6, host.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

Status CheckListen(const Layers& layers, std::string_view name, const runtime::Address& address) {
  if (IsLoopback(address.host)) return Ok();
  return layers.Refuse(name,
                       "this version has neither TLS nor authentication, so a node serves its own "
                       "machine only; listen on 127.0.0.x or [::1]");
}

/// Of a node that joins, the cluster tells who it is and who the others are.
Status CheckJoin(Layers& layers) {
  node::NodeConfig& config = layers.config();
  if (!config.members.empty()) {
    return layers.Refuse("members", "a node that joins learns the members from the cluster");
  }
  if (layers.origin("id") != "default") {
    return layers.Refuse("id", "a node that joins is given its id by the cluster");
  }
  if (!config.default_keyspaces.empty()) {
    return layers.Refuse("default_keyspaces", "a node that joins finds the keyspaces there are");
  }
  config.id = NodeId();
  return Ok();
}

Status CheckMembers(Layers& layers) {
  node::NodeConfig& config = layers.config();
  if (config.members.empty()) {
    config.members.push_back({config.id, config.name, config.peer_listen, config.etcd_listen,
                              config.redis_listen, config.admin_listen, config.failure_domain});
  }
  if (config.members.size() > kMembersMax) {
    return layers.Refuse("members", fmt::format("a cluster has at most {} nodes", kMembersMax));
  }
  std::set<NodeId> ids;
  std::set<std::string> names;
  std::set<runtime::Address> addresses;
  node::MemberConfig* self = nullptr;
  for (node::MemberConfig& member : config.members) {
    if (!ids.insert(member.id).second) {
      return layers.Refuse("members", fmt::format("two nodes have id {}", member.id.value));
    }
    if (!names.insert(member.name).second) {
      return layers.Refuse("members", fmt::format("two nodes have the name {}", member.name));
    }
    for (const runtime::Address& address : {member.peer, member.etcd, member.redis, member.admin}) {
      if (address.port != 0 && !addresses.insert(address).second) {
        return layers.Refuse("members", fmt::format("{} is there twice", ToText(address)));
      }
    }
    if (member.id == config.id) self = &member;
  }
  if (self == nullptr) {
    return layers.Refuse("members", fmt::format("this node, id {}, is missing", config.id.value));
  }
  if (self->name != config.name) {
    return layers.Refuse("name",
                         fmt::format("'members' names node {} '{}'", config.id.value, self->name));
  }
  if (config.failure_domain.empty()) config.failure_domain = self->failure_domain;
  if (self->failure_domain.empty()) self->failure_domain = config.failure_domain;
  if (self->failure_domain == config.failure_domain) return Ok();
  return layers.Refuse("failure_domain", fmt::format("'members' puts node {} into '{}'",
                                                     config.id.value, self->failure_domain));
}

Status CheckTogether(Layers& layers) {
  const node::NodeConfig& config = layers.config();
  if (config.data_dir.empty()) {
    return layers.Refuse("data_dir", "it is needed; name a directory with --data-dir");
  }
  const std::array listens = {std::pair("etcd_listen", &config.etcd_listen),
                              std::pair("redis_listen", &config.redis_listen),
                              std::pair("admin_listen", &config.admin_listen),
                              std::pair("peer_listen", &config.peer_listen)};
  for (std::size_t i = 0; i < listens.size(); ++i) {
    const auto& [name, address] = listens[i];
    if (*address == runtime::Address{}) continue;
    COT_TRY(CheckListen(layers, name, *address));
    for (std::size_t j = 0; j < i; ++j) {
      if (*address == *listens[j].second && address->port != 0) {
        return layers.Refuse(name, fmt::format("{} is the same address", listens[j].first));
      }
    }
  }
  // Fewer, and one lost heartbeat starts an election [Raft §5.6].
  if (config.election_timeout < 3 * config.heartbeat_interval) {
    return layers.Refuse("election_timeout",
                         fmt::format("it must be at least 3 times heartbeat_interval, which is {}",
                                     DurationText(config.heartbeat_interval)));
  }
  return config.join.empty() ? CheckMembers(layers) : CheckJoin(layers);
}

std::string SettingOfVariable(std::string_view variable) {
  std::string name(variable.substr(kPrefix.size()));
  std::ranges::transform(name, name.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return name;
}

std::string FlagOfSetting(std::string name) {
  std::ranges::replace(name, '_', '-');
  return "--" + name;
}

std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

}  // namespace

Result<Configuration> Configure(const ConfigSources& sources) {
  Layers layers;
  if (sources.file_path) {
    COT_ASSIGN(const std::vector<FileSetting> settings,
               ReadTomlSettings(sources.file_text, *sources.file_path));
    for (const FileSetting& setting : settings) {
      COT_TRY(layers.Set(setting.name, setting.value, setting.where));
    }
  }
  for (const auto& [variable, value] : sources.environment) {
    COT_ASSERT(variable.starts_with(kPrefix));
    COT_TRY(layers.Set(SettingOfVariable(variable), value, variable));
  }
  for (const auto& [name, value] : sources.flags) {
    COT_TRY(layers.Set(name, value, FlagOfSetting(name)));
  }
  COT_TRY(CheckTogether(layers));

  Configuration configuration;
  for (const Setting& setting : Settings()) {
    configuration.settings.push_back(
        {std::string(setting.name), setting.get(layers.config()), layers.origin(setting.name)});
  }
  configuration.node = std::move(layers.config());
  return configuration;
}

std::string ConfigFileText(const node::NodeConfig& config) {
  std::string text;
  for (const Setting& setting : Settings()) {
    if (setting.name == "members") continue;
    if (setting.name == "id" && config.id == NodeId()) continue;  // it joins
    const bool bare = setting.name == "demo" || setting.form == "NUMBER" || setting.form == "COUNT";
    const std::string value = setting.get(config);
    text += fmt::format("{} = {}\n", setting.name, bare ? value : Quoted(value));
  }
  for (const node::MemberConfig& member : config.members) {
    text +=
        fmt::format("\n[[members]]\nid = {}\nname = {}\npeer = {}\netcd = {}\n", member.id.value,
                    Quoted(member.name), Quoted(ToText(member.peer)), Quoted(ToText(member.etcd)));
    const auto optional = [&](std::string_view name, const std::string& value) {
      if (!value.empty()) text += fmt::format("{} = {}\n", name, Quoted(value));
    };
    const auto address = [](const runtime::Address& a) {
      return a.host.empty() ? std::string() : ToText(a);
    };
    optional("redis", address(member.redis));
    optional("admin", address(member.admin));
    optional("failure_domain", member.failure_domain);
  }
  return text;
}

}  // namespace coterie::cli
