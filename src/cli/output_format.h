#pragma once

#include <map>
#include <string>

namespace coterie::cli {

enum class OutputFormat { kText, kJson };

/// For CLI11's transformer of `--output`.
inline const std::map<std::string, OutputFormat> kOutputFormats = {{"text", OutputFormat::kText},
                                                                   {"json", OutputFormat::kJson}};

}  // namespace coterie::cli
