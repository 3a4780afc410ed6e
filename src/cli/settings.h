#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "node/config.h"

namespace coterie::cli {

/// One thing a node can be told: `name` in the file, `--name` with '-' for '_' on the command line,
/// COTERIE_NAME in the environment.
struct Setting {
  std::string_view name;
  std::string_view form;  ///< what a value looks like, for help and messages: "HOST:PORT"
  std::string_view help;  ///< one line
  /// Checks `text` and puts it into `config`. The error's message says what is wrong with the value
  /// alone; the caller adds name and origin.
  Status (*set)(std::string_view text, node::NodeConfig& config);
  /// The value in force, in the form `set` takes.
  std::string (*get)(const node::NodeConfig& config);
};

/// Every setting, in the order they are shown.
std::span<const Setting> Settings();
const Setting* FindSetting(std::string_view name);

/// The name among `names` that is the fewest edits (insert, delete, replace, swap of neighbours)
/// away from `wrong`, or "" if none is within a third of its length.
std::string_view NearestName(std::string_view wrong, std::span<const std::string_view> names);
/// The names of Settings().
std::vector<std::string_view> SettingNames();

/// "64MiB", "1536KiB", "65536". Error kInvalidConfig.
Result<std::uint64_t> ParseBytes(std::string_view text);
/// "100ms", "7s", "250us", "2m". Error kInvalidConfig.
Result<Duration> ParseDuration(std::string_view text);
std::string BytesText(std::uint64_t bytes);
std::string DurationText(Duration duration);

/// "ID/NAME/PEER/ETCD", "1/n1/127.0.0.1:7071/127.0.0.1:2379", and after it "/REDIS/ADMIN/DOMAIN" as
/// far as they are known, each of which may be empty. Error kInvalidConfig.
Result<node::MemberConfig> ParseMember(std::string_view text);
std::string MemberText(const node::MemberConfig& member);

}  // namespace coterie::cli
