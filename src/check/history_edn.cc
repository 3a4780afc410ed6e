#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "check/history.h"

namespace coterie::check {
namespace {

/// An operation as Knossos's cas-register knows it.
struct RegisterOp {
  std::string_view f;  // read, write or cas
  std::string key;
  std::string invoked;  // EDN value at invocation
  std::string answered;
  std::string_view type = "ok";
};

std::string Quoted(std::string_view bytes) {
  std::string out;
  AppendJsonString(out, bytes);  // EDN strings take the same escapes
  return out;
}

bool IsOneKey(const std::vector<Step>& steps, Step::Kind kind, const std::string& key) {
  return steps.size() == 1 && steps[0].kind == kind && steps[0].range_end.empty() &&
         steps[0].key == key;
}

std::optional<RegisterOp> AsRegister(const Operation& op) {
  if (op.success.size() != 1 || !op.success[0].range_end.empty()) return std::nullopt;
  const Step& step = op.success[0];
  RegisterOp out{.key = step.key};
  if (op.outcome == Operation::Outcome::kFailed) out.type = "fail";
  if (op.outcome == Operation::Outcome::kUnknown) out.type = "info";
  if (op.compares.empty() && op.failure.empty()) {
    if (step.kind == Step::Kind::kGet) {
      out.f = "read";
      out.invoked = "nil";
      out.answered = step.seen.empty() ? "nil" : Quoted(step.seen[0].value);
    } else {
      out.f = "write";
      out.invoked = out.answered = step.kind == Step::Kind::kPut ? Quoted(step.value) : "nil";
    }
    return out;
  }
  if (op.compares.size() != 1 || step.kind != Step::Kind::kPut) return std::nullopt;
  const Compare& compare = op.compares[0];
  if (compare.key != step.key || compare.target != Compare::Target::kValue ||
      compare.relation != Compare::Relation::kEqual) {
    return std::nullopt;
  }
  if (!op.failure.empty() && !IsOneKey(op.failure, Step::Kind::kGet, step.key)) return std::nullopt;
  out.f = "cas";
  out.invoked = out.answered = fmt::format("[{} {}]", Quoted(compare.value), Quoted(step.value));
  // The register's cas fails without effect when the value is another one.
  if (op.outcome == Operation::Outcome::kOk && !op.succeeded) out.type = "fail";
  return out;
}

struct Event {
  std::int64_t time;
  std::size_t
      order;  // returns come after invocations of the same instant: they count as concurrent
  std::string row;
};

}  // namespace

EdnHistory ToEdn(const History& history) {
  EdnHistory out;
  std::vector<Event> events;
  std::map<std::uint64_t, std::uint64_t> names;  // a process whose outcome is unknown is retired
  std::uint64_t next_name = 0;
  for (const Operation& op : history.operations) next_name = std::max(next_name, op.process + 1);
  for (std::size_t i = 0; i < history.operations.size(); ++i) {
    const Operation& op = history.operations[i];
    const std::optional<RegisterOp> reg = AsRegister(op);
    if (!reg) {
      ++out.left_out;
      continue;
    }
    auto [name, fresh] = names.try_emplace(op.process, op.process);
    const auto row = [&](std::string_view type, const std::string& value, std::int64_t time) {
      return fmt::format("{{:process {}, :type :{}, :f :{}, :value [{} {}], :time {}", name->second,
                         type, reg->f, Quoted(reg->key), value, time);
    };
    events.push_back({op.invoke_ns, i, row("invoke", reg->invoked, op.invoke_ns)});
    const std::int64_t end = op.return_ns == kNever ? op.invoke_ns : op.return_ns;
    events.push_back({end, history.operations.size() + i, row(reg->type, reg->answered, end)});
    if (reg->type == "info") name->second = next_name++;
  }
  std::ranges::sort(events, [](const Event& a, const Event& b) {
    return a.time != b.time ? a.time < b.time : a.order < b.order;
  });
  for (std::size_t i = 0; i < events.size(); ++i) {
    out.text += events[i].row + fmt::format(", :index {}}}\n", i);
  }
  return out;
}

}  // namespace coterie::check
