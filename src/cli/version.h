#pragma once

#include <string_view>

namespace coterie::cli {

/// The release, from the build's project version.
inline constexpr std::string_view kVersion = COTERIE_VERSION;

}  // namespace coterie::cli
