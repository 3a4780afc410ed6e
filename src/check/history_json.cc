#include <fmt/format.h>
#include <simdjson.h>

#include <array>

#include "check/history.h"

namespace coterie::check {
namespace {

using Element = simdjson::dom::element;
using Object = simdjson::dom::object;

constexpr std::array<std::string_view, 3> kOutcomes = {"ok", "fail", "info"};
constexpr std::array<std::string_view, 4> kTargets = {"value", "version", "create", "mod"};
constexpr std::array<std::string_view, 4> kRelations = {"=", "!=", "<", ">"};
constexpr std::array<std::string_view, 3> kKinds = {"get", "put", "delete"};

void AppendKeyValue(std::string& out, const KeyValue& kv) {
  out += "{\"key\":";
  AppendJsonString(out, kv.key);
  out += ",\"value\":";
  AppendJsonString(out, kv.value);
  if (kv.mod_revision != 0) {
    out += fmt::format(",\"create\":{},\"mod\":{},\"version\":{}", kv.create_revision,
                       kv.mod_revision, kv.version);
  }
  out += '}';
}

void AppendCompare(std::string& out, const Compare& compare) {
  out += "{\"key\":";
  AppendJsonString(out, compare.key);
  out += fmt::format(",\"target\":\"{}\",\"relation\":\"{}\"",
                     kTargets[static_cast<std::size_t>(compare.target)],
                     kRelations[static_cast<std::size_t>(compare.relation)]);
  if (compare.target == Compare::Target::kValue) {
    out += ",\"value\":";
    AppendJsonString(out, compare.value);
  } else {
    out += fmt::format(",\"number\":{}", compare.number);
  }
  out += '}';
}

void AppendStep(std::string& out, const Step& step) {
  out += fmt::format("{{\"f\":\"{}\",\"key\":", kKinds[static_cast<std::size_t>(step.kind)]);
  AppendJsonString(out, step.key);
  if (!step.range_end.empty()) {
    out += ",\"range_end\":";
    AppendJsonString(out, step.range_end);
  }
  if (step.kind == Step::Kind::kPut) {
    out += ",\"value\":";
    AppendJsonString(out, step.value);
  }
  if (step.lease != 0) out += fmt::format(",\"lease\":{}", step.lease);
  if (step.prev_kv) out += ",\"prev_kv\":true";
  if (!step.seen.empty()) {
    out += ",\"seen\":[";
    for (std::size_t i = 0; i < step.seen.size(); ++i) {
      if (i != 0) out += ',';
      AppendKeyValue(out, step.seen[i]);
    }
    out += ']';
  }
  if (step.count != 0) out += fmt::format(",\"count\":{}", step.count);
  out += '}';
}

void AppendSteps(std::string& out, std::string_view name, const std::vector<Step>& steps) {
  if (steps.empty()) return;
  out += fmt::format(",\"{}\":[", name);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (i != 0) out += ',';
    AppendStep(out, steps[i]);
  }
  out += ']';
}

/// Reads members leniently; the first member of a wrong type or with an unknown word is remembered.
struct Reader {
  std::string problem;

  void Note(std::string_view name) {
    if (problem.empty()) problem = fmt::format("member \"{}\" is not as expected", name);
  }
  std::int64_t Int(const Object& o, std::string_view name, std::int64_t absent) {
    Element e;
    if (o[name].get(e) != simdjson::SUCCESS) return absent;
    std::int64_t v = absent;
    if (e.get(v) != simdjson::SUCCESS) Note(name);
    return v;
  }
  bool Bool(const Object& o, std::string_view name, bool absent) {
    Element e;
    if (o[name].get(e) != simdjson::SUCCESS) return absent;
    bool v = absent;
    if (e.get(v) != simdjson::SUCCESS) Note(name);
    return v;
  }
  /// Turns the code points back into bytes; one over 255 cannot have been written here.
  std::string Bytes(const Object& o, std::string_view name) {
    Element e;
    std::string_view utf8;
    std::string out;
    if (o[name].get(e) != simdjson::SUCCESS) return out;
    if (e.get(utf8) != simdjson::SUCCESS) Note(name);
    for (std::size_t i = 0; i < utf8.size(); ++i) {
      const auto c = static_cast<unsigned char>(utf8[i]);
      if (c < 0x80) {
        out += static_cast<char>(c);
      } else if ((c == 0xc2 || c == 0xc3) && i + 1 < utf8.size()) {
        out += static_cast<char>(((c & 3U) << 6) | (static_cast<unsigned char>(utf8[++i]) & 0x3fU));
      } else {
        Note(name);
      }
    }
    return out;
  }
  template <std::size_t kSize>
  std::size_t Word(const Object& o, std::string_view name,
                   const std::array<std::string_view, kSize>& words, std::size_t absent) {
    Element e;
    if (o[name].get(e) != simdjson::SUCCESS) return absent;
    std::string_view text;
    if (e.get(text) == simdjson::SUCCESS) {
      for (std::size_t i = 0; i < kSize; ++i) {
        if (words[i] == text) return i;
      }
    }
    Note(name);
    return absent;
  }
  template <class Read>
  void Each(const Object& o, std::string_view name, Read read) {
    Element e;
    if (o[name].get(e) != simdjson::SUCCESS) return;
    simdjson::dom::array items;
    if (e.get(items) != simdjson::SUCCESS) return Note(name);
    for (Element item : items) {
      Object object;
      if (item.get(object) != simdjson::SUCCESS) return Note(name);
      read(object);
    }
  }

  KeyValue ReadKeyValue(const Object& o) {
    return {Bytes(o, "key"), Bytes(o, "value"), Int(o, "create", 0), Int(o, "mod", 0),
            Int(o, "version", 0)};
  }
  Compare ReadCompare(const Object& o) {
    Compare c;
    c.key = Bytes(o, "key");
    c.target = static_cast<Compare::Target>(Word(o, "target", kTargets, 0));
    c.relation = static_cast<Compare::Relation>(Word(o, "relation", kRelations, 0));
    c.value = Bytes(o, "value");
    c.number = Int(o, "number", 0);
    return c;
  }
  std::vector<Step> ReadSteps(const Object& o, std::string_view name) {
    std::vector<Step> steps;
    Each(o, name, [&](const Object& s) {
      Step step;
      step.kind = static_cast<Step::Kind>(Word(s, "f", kKinds, 0));
      step.key = Bytes(s, "key");
      step.range_end = Bytes(s, "range_end");
      step.value = Bytes(s, "value");
      step.lease = Int(s, "lease", 0);
      step.prev_kv = Bool(s, "prev_kv", false);
      Each(s, "seen", [&](const Object& kv) { step.seen.push_back(ReadKeyValue(kv)); });
      step.count = Int(s, "count", 0);
      steps.push_back(std::move(step));
    });
    return steps;
  }
  Operation ReadOperation(const Object& o) {
    Operation op;
    op.process = static_cast<std::uint64_t>(Int(o, "process", 0));
    op.invoke_ns = Int(o, "invoke", 0);
    op.return_ns = Int(o, "return", kNever);
    op.outcome = static_cast<Operation::Outcome>(Word(o, "type", kOutcomes, 2));
    op.serializable = Bool(o, "serializable", false);
    Each(o, "if", [&](const Object& c) { op.compares.push_back(ReadCompare(c)); });
    op.success = ReadSteps(o, "then");
    op.failure = ReadSteps(o, "else");
    op.succeeded = Bool(o, "succeeded", true);
    op.revision = Int(o, "revision", 0);
    op.endpoint = Bytes(o, "endpoint");
    op.error = Bytes(o, "error");
    return op;
  }
};

}  // namespace

void AppendJsonString(std::string& out, std::string_view bytes) {
  out += '"';
  for (const char c : bytes) {
    const auto u = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (u < 0x20 || u > 0x7e) {
      out += fmt::format("\\u{:04x}", u);
    } else {
      out += c;
    }
  }
  out += '"';
}

std::string ToJson(const Operation& op) {
  std::string out = fmt::format("{{\"process\":{},\"type\":\"{}\",\"invoke\":{}", op.process,
                                kOutcomes[static_cast<std::size_t>(op.outcome)], op.invoke_ns);
  if (op.return_ns != kNever) out += fmt::format(",\"return\":{}", op.return_ns);
  if (op.serializable) out += ",\"serializable\":true";
  if (!op.compares.empty()) {
    out += ",\"if\":[";
    for (std::size_t i = 0; i < op.compares.size(); ++i) {
      if (i != 0) out += ',';
      AppendCompare(out, op.compares[i]);
    }
    out += ']';
  }
  AppendSteps(out, "then", op.success);
  AppendSteps(out, "else", op.failure);
  if (!op.succeeded) out += ",\"succeeded\":false";
  if (op.revision != 0) out += fmt::format(",\"revision\":{}", op.revision);
  if (!op.endpoint.empty()) {
    out += ",\"endpoint\":";
    AppendJsonString(out, op.endpoint);
  }
  if (!op.error.empty()) {
    out += ",\"error\":";
    AppendJsonString(out, op.error);
  }
  out += '}';
  return out;
}

std::string ToJsonLines(const History& history) {
  std::string out;
  for (const Operation& op : history.operations) {
    out += ToJson(op);
    out += '\n';
  }
  return out;
}

Result<History> FromJsonLines(std::string_view text) {
  History history;
  simdjson::dom::parser parser;
  for (std::size_t line = 1; !text.empty(); ++line) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view row = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (row.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    Object object;
    if (parser.parse(row.data(), row.size()).get(object) != simdjson::SUCCESS) {
      return Fail(ErrorCode::kMalformed, fmt::format("line {} is not a JSON object", line));
    }
    Reader reader;
    Operation op = reader.ReadOperation(object);
    if (!reader.problem.empty()) {
      return Fail(ErrorCode::kMalformed, fmt::format("line {}: {}", line, reader.problem));
    }
    history.operations.push_back(std::move(op));
  }
  return history;
}

}  // namespace coterie::check
