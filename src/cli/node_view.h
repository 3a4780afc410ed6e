#pragma once

#include <string>

#include "cli/json.h"

namespace coterie::cli {

/// The rows of `node list`, of GET /nodes' "nodes". Pure.
std::string NodeTable(const Json& nodes);

/// "alive", "suspected for 4.2 s, by the word of n1"; "-" for null. Pure.
std::string HealthText(const std::string& state, std::int64_t since_ms, const std::string& by);

}  // namespace coterie::cli
