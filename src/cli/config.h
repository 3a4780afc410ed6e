#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "node/config.h"

namespace coterie::cli {

using NamedTexts = std::vector<std::pair<std::string, std::string>>;

/// Where settings come from. A later one wins: default, file, environment, command line.
struct ConfigSources {
  std::optional<std::string> file_path;
  std::string file_text;   ///< TOML; read by the caller
  NamedTexts environment;  ///< the variables that start with COTERIE_, by their full names
  NamedTexts flags;        ///< settings named on the command line, by setting name
};

/// One setting in force and who said so.
struct SettingInForce {
  std::string name;
  std::string value;
  std::string origin;  ///< "default", "/etc/coterie.toml:3", "COTERIE_NAME", "--name"
};

struct Configuration {
  node::NodeConfig node;
  std::vector<SettingInForce> settings;  ///< every setting, in Settings() order
};

/// Puts the sources together and checks each value and their combination. Errors: kUnknownConfigKey
/// (naming the nearest key), kInvalidConfig (naming the setting, its origin and what is wrong).
Result<Configuration> Configure(const ConfigSources& sources);

/// The configuration file that says exactly `config`.
std::string ConfigFileText(const node::NodeConfig& config);

/// One setting as a file gave it; `where` is "path:line".
struct FileSetting {
  std::string name;
  std::string value;
  std::string where;
};
/// The settings in a TOML text, with `[[members]]` tables folded into one "members" value. Errors:
/// kInvalidConfig (not TOML), kUnknownConfigKey (in a member).
Result<std::vector<FileSetting>> ReadTomlSettings(const std::string& text, const std::string& path);

}  // namespace coterie::cli
