#pragma once

#include <algorithm>
#include <string>
#include <vector>

namespace coterie::cli {

/// "n1, n2, n3".
inline std::string Listed(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

/// `text` in lines of at most `width` characters, as far as its words allow; lines after the first
/// begin with `indent` blanks.
inline std::string Wrapped(const std::string& text, std::size_t indent = 2,
                           std::size_t width = 100) {
  std::string out;
  std::size_t column = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(' ', at + 1), text.size());
    const std::size_t length = end - at;
    if (column > indent && column + length > width) {
      out += "\n" + std::string(indent, ' ');
      column = indent;
      if (text[at] == ' ') ++at;
    }
    out += text.substr(at, end - at);
    column += end - at;
    at = end;
  }
  return out;
}

}  // namespace coterie::cli
