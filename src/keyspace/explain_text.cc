#include <fmt/format.h>

#include <algorithm>

#include "keyspace/explain.h"

namespace coterie::keyspace {
namespace {

/// `text` broken at spaces into lines of at most `width`, where words allow it.
std::vector<std::string> Wrapped(std::string_view text, std::size_t width) {
  std::vector<std::string> lines;
  std::string line;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    if (!line.empty() && line.size() + 1 + word.size() > width) {
      lines.push_back(std::move(line));
      line.clear();
    }
    if (!line.empty()) line += ' ';
    line += word;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  if (!line.empty()) lines.push_back(std::move(line));
  return lines;
}

}  // namespace

std::string ToText(const Explanation& explanation, std::size_t width) {
  constexpr std::size_t kLabelWidth = 26;
  std::string text = explanation.heading + "\n";
  const std::size_t answer_width = width > 2 * kLabelWidth ? width - kLabelWidth : kLabelWidth;
  for (const Explanation::Section& section : explanation.sections) {
    text += "\n" + section.title + "\n";
    for (const Explanation::Row& row : section.rows) {
      std::string label = row.what;
      for (const std::string& line : Wrapped(row.answer, answer_width)) {
        text += fmt::format("  {:<{}}{}\n", label, kLabelWidth - 2, line);
        label.clear();
      }
    }
  }
  if (!explanation.notes.empty()) text += "\nNotes\n";
  for (const std::string& note : explanation.notes) {
    for (const std::string& line : Wrapped(note, width - 2)) text += "  " + line + "\n";
  }
  return text;
}

}  // namespace coterie::keyspace
