#pragma once

#include <string>
#include <vector>

namespace coterie::cli {

/// "n1, n2, n3".
inline std::string Listed(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

}  // namespace coterie::cli
