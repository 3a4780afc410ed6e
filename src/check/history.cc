#include "check/history.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace coterie::check {
namespace {

bool Writes(const std::vector<Step>& steps) {
  return std::ranges::any_of(steps, [](const Step& s) { return s.kind != Step::Kind::kGet; });
}

std::string_view Text(Compare::Target target) {
  switch (target) {
    case Compare::Target::kValue:
      return "value";
    case Compare::Target::kVersion:
      return "version";
    case Compare::Target::kCreate:
      return "create";
    case Compare::Target::kMod:
      return "mod";
  }
  return "?";
}

std::string_view Text(Compare::Relation relation) {
  switch (relation) {
    case Compare::Relation::kEqual:
      return "=";
    case Compare::Relation::kNotEqual:
      return "!=";
    case Compare::Relation::kLess:
      return "<";
    case Compare::Relation::kGreater:
      return ">";
  }
  return "?";
}

std::string KeyText(const Step& step) {
  if (step.range_end.empty()) return step.key;
  if (step.range_end == std::string(1, '\0')) return fmt::format("[{}, ..)", step.key);
  return fmt::format("[{}, {})", step.key, step.range_end);
}

std::string SeenText(const Step& step) {
  std::string out;
  for (const KeyValue& kv : step.seen) {
    if (!out.empty()) out += ' ';
    if (!step.range_end.empty()) out += kv.key + "=";
    out += kv.value;
    if (kv.mod_revision != 0) out += fmt::format("(mod {})", kv.mod_revision);
  }
  return out.empty() ? "nothing" : out;
}

std::string StepText(const Step& step, bool answered) {
  switch (step.kind) {
    case Step::Kind::kGet:
      return fmt::format("get {}", KeyText(step)) + (answered ? " saw " + SeenText(step) : "");
    case Step::Kind::kPut:
      return fmt::format("put {}={}", step.key, step.value) +
             (answered && step.prev_kv ? " over " + SeenText(step) : "");
    case Step::Kind::kDelete:
      return fmt::format("delete {}", KeyText(step)) +
             (answered ? fmt::format(" removed {}", step.count) : "");
  }
  return "?";
}

std::string BranchText(const std::vector<Step>& steps, bool answered) {
  std::string out;
  for (const Step& step : steps) out += (out.empty() ? "" : ", ") + StepText(step, answered);
  return out.empty() ? "nothing" : out;
}

}  // namespace

bool Operation::may_write() const { return Writes(success) || Writes(failure); }

bool Operation::wrote() const {
  if (outcome != Outcome::kOk) return false;
  return std::ranges::any_of(taken(), [](const Step& s) {
    return s.kind == Step::Kind::kPut || (s.kind == Step::Kind::kDelete && s.count > 0);
  });
}

Operation Get(std::uint64_t process, std::string key) {
  Operation op;
  op.process = process;
  op.success.push_back({.kind = Step::Kind::kGet, .key = std::move(key)});
  return op;
}

Operation Put(std::uint64_t process, std::string key, std::string value) {
  Operation op;
  op.process = process;
  op.success.push_back(
      {.kind = Step::Kind::kPut, .key = std::move(key), .value = std::move(value)});
  return op;
}

Operation Delete(std::uint64_t process, std::string key) {
  Operation op;
  op.process = process;
  op.success.push_back({.kind = Step::Kind::kDelete, .key = std::move(key)});
  return op;
}

Operation CompareAndSwap(std::uint64_t process, std::string key, std::string expected,
                         std::string value) {
  Operation op = Put(process, key, std::move(value));
  op.compares.push_back({.key = key, .value = std::move(expected)});
  op.failure.push_back({.kind = Step::Kind::kGet, .key = std::move(key)});
  return op;
}

bool InRange(std::string_view key, std::string_view begin, std::string_view range_end) {
  if (range_end.empty()) return key == begin;
  if (key < begin) return false;
  return range_end == std::string_view("\0", 1) || key < range_end;
}

std::string TimeText(std::int64_t ns) {
  if (ns == kNever) return "never";
  return fmt::format("{}.{:03} ms", ns / 1000000, ns / 1000 % 1000);
}

std::string Describe(const Operation& op) {
  const bool ok = op.outcome == Operation::Outcome::kOk;
  std::string what;
  for (const Compare& c : op.compares) {
    what += fmt::format("{}{}({}) {} {}", what.empty() ? "if " : " and ", Text(c.target), c.key,
                        Text(c.relation),
                        c.target == Compare::Target::kValue ? c.value : std::to_string(c.number));
  }
  if (!op.compares.empty()) what += " then ";
  what += BranchText(op.success, ok && op.succeeded);
  if (!op.failure.empty()) what += " else " + BranchText(op.failure, ok && !op.succeeded);
  std::string answer;
  switch (op.outcome) {
    case Operation::Outcome::kOk:
      answer = op.compares.empty() ? "ok" : op.succeeded ? "ok (then)" : "ok (else)";
      if (op.revision != 0) answer += fmt::format(" @{}", op.revision);
      break;
    case Operation::Outcome::kFailed:
      answer = "failed";
      break;
    case Operation::Outcome::kUnknown:
      answer = "unknown";
      break;
  }
  return fmt::format("client {} {}{} -> {} [{}, {}]", op.process, op.serializable ? "stale " : "",
                     what, answer, TimeText(op.invoke_ns), TimeText(op.return_ns));
}

Status Validate(const History& history) {
  std::map<std::uint64_t, std::int64_t> busy_until;
  std::int64_t last_invoke = std::numeric_limits<std::int64_t>::min();
  for (std::size_t i = 0; i < history.operations.size(); ++i) {
    const Operation& op = history.operations[i];
    const auto refuse = [&](std::string_view why) {
      return Fail(ErrorCode::kInvalidArgument,
                  fmt::format("operation {}: {}: {}", i, why, Describe(op)));
    };
    if (op.invoke_ns < last_invoke) return refuse("invoked before the one above it");
    last_invoke = op.invoke_ns;
    if (op.return_ns < op.invoke_ns) return refuse("returned before it was invoked");
    if (op.outcome == Operation::Outcome::kOk && op.return_ns == kNever) {
      return refuse("answered, but never returned");
    }
    auto [it, fresh] = busy_until.try_emplace(op.process, op.return_ns);
    if (!fresh) {
      // A client may go on after an operation whose answer never came; nothing else may overlap.
      if (it->second != kNever && op.invoke_ns < it->second) {
        return refuse("its client had another one under way");
      }
      it->second = op.return_ns;
    }
    for (const auto* branch : {&op.success, &op.failure}) {
      for (const Step& step : *branch) {
        if (step.key.empty()) return refuse("a step has no key");
      }
    }
  }
  return Ok();
}

}  // namespace coterie::check
