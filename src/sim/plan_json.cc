#include <fmt/format.h>
#include <fmt/ranges.h>
#include <simdjson.h>

#include <optional>

#include "sim/plan.h"

namespace coterie::sim {
namespace {

using Element = simdjson::dom::element;
using Object = simdjson::dom::object;

template <class Kind>
std::optional<Kind> KindOf(std::string_view name, std::size_t kinds) {
  for (std::size_t k = 0; k < kinds; ++k) {
    if (NameOf(static_cast<Kind>(k)) == name) return static_cast<Kind>(k);
  }
  return std::nullopt;
}

/// Reads members strictly: a plan with a missing or wrong one is not what was run.
struct Reader {
  std::string problem;

  void Note(std::string_view name) {
    if (problem.empty()) problem = fmt::format("member \"{}\" is missing or not as expected", name);
  }
  template <class T>
  void Get(const Object& o, std::string_view name, T& to) {
    Element e;
    if (o[name].get(e) != simdjson::SUCCESS) return Note(name);
    if constexpr (std::is_same_v<T, bool>) {
      if (e.get(to) != simdjson::SUCCESS) Note(name);
    } else if constexpr (std::is_same_v<T, Duration>) {
      std::int64_t ns = 0;
      if (e.get(ns) != simdjson::SUCCESS) Note(name);
      to = Duration(ns);
    } else if constexpr (std::is_signed_v<T>) {
      std::int64_t v = 0;
      if (e.get(v) != simdjson::SUCCESS) Note(name);
      to = v;
    } else {
      std::uint64_t v = 0;
      if (e.get(v) != simdjson::SUCCESS || v > std::numeric_limits<T>::max()) Note(name);
      to = static_cast<T>(v);
    }
  }
  void GetList(const Object& o, std::string_view name, std::vector<std::uint32_t>& to) {
    simdjson::dom::array items;
    if (o[name].get(items) != simdjson::SUCCESS) return Note(name);
    for (Element item : items) {
      std::uint64_t v = 0;
      if (item.get(v) != simdjson::SUCCESS || v > UINT32_MAX) return Note(name);
      to.push_back(static_cast<std::uint32_t>(v));
    }
  }
  template <class Kind>
  void GetKind(const Object& o, std::size_t kinds, Kind& to) {
    std::string_view name;
    if (o["kind"].get(name) != simdjson::SUCCESS) return Note("kind");
    const std::optional<Kind> kind = KindOf<Kind>(name, kinds);
    if (!kind) return Note("kind");
    to = *kind;
  }
  template <class Read>
  void Each(const Object& o, std::string_view name, Read read) {
    simdjson::dom::array items;
    if (o[name].get(items) != simdjson::SUCCESS) return Note(name);
    for (Element item : items) {
      Object object;
      if (item.get(object) != simdjson::SUCCESS) return Note(name);
      read(object);
    }
  }
};

void ReadMembers(Reader& reader, const Object& o, Plan& plan) {
  reader.Get(o, "seed", plan.seed);
  reader.Get(o, "replicas", plan.replicas);
  reader.Get(o, "clients", plan.clients);
  reader.Get(o, "watchers", plan.watchers);
  reader.Get(o, "redis_clients", plan.redis_clients);
  reader.Get(o, "redis_ops", plan.redis_ops);
  reader.Get(o, "chaos", plan.chaos);
  reader.Get(o, "link_delay_max_us", plan.link_delay_max_us);
  reader.Get(o, "link_loss_permille", plan.link_loss_permille);
  reader.Get(o, "stream_split_permille", plan.stream_split_permille);
  reader.Get(o, "sync_max_us", plan.sync_max_us);
  reader.Get(o, "request_timeout_ns", plan.request_timeout);
  reader.Get(o, "safety_ns", plan.safety);
  reader.GetList(o, "core", plan.core);
  reader.Get(o, "rest_is_dead", plan.rest_is_dead);
  reader.Get(o, "liveness_ns", plan.liveness);
  reader.Get(o, "liveness_ops", plan.liveness_ops);
}

}  // namespace

std::string ToJson(const Plan& plan) {
  std::string out = fmt::format(
      "{{\"seed\": {},\n \"replicas\": {}, \"clients\": {}, \"watchers\": {},\n"
      " \"redis_clients\": {}, \"redis_ops\": {}, \"chaos\": {},\n"
      " \"link_delay_max_us\": {}, \"link_loss_permille\": {}, \"stream_split_permille\": {},\n"
      " \"sync_max_us\": {}, \"request_timeout_ns\": {}, \"safety_ns\": {},\n"
      " \"core\": [{}], \"rest_is_dead\": {}, \"liveness_ns\": {}, \"liveness_ops\": {},\n "
      "\"faults\": [",
      plan.seed, plan.replicas, plan.clients, plan.watchers, plan.redis_clients, plan.redis_ops,
      plan.chaos, plan.link_delay_max_us, plan.link_loss_permille, plan.stream_split_permille,
      plan.sync_max_us, plan.request_timeout.count(), plan.safety.count(),
      fmt::join(plan.core, ", "), plan.rest_is_dead, plan.liveness.count(), plan.liveness_ops);
  for (std::size_t i = 0; i < plan.faults.size(); ++i) {
    const FaultEvent& f = plan.faults[i];
    out += fmt::format(
        "{}\n  {{\"kind\": \"{}\", \"at_ns\": {}, \"length_ns\": {}, \"replicas\": [{}], "
        "\"amount\": {}}}",
        i == 0 ? "" : ",", NameOf(f.kind), f.at.count(), f.length.count(),
        fmt::join(f.replicas, ", "), f.amount);
  }
  out += "],\n \"ops\": [";
  for (std::size_t i = 0; i < plan.ops.size(); ++i) {
    const PlannedOp& op = plan.ops[i];
    out += fmt::format(
        "{}\n  {{\"id\": {}, \"client\": {}, \"kind\": \"{}\", \"key\": {}, \"other_key\": {}, "
        "\"at_ns\": {}}}",
        i == 0 ? "" : ",", op.id, op.client, NameOf(op.kind), op.key, op.other_key, op.at.count());
  }
  return out + "]}\n";
}

Result<Plan> PlanFromJson(std::string_view text) {
  simdjson::dom::parser parser;
  Object object;
  if (parser.parse(text.data(), text.size()).get(object) != simdjson::SUCCESS) {
    return Fail(ErrorCode::kMalformed, "the plan is not a JSON object");
  }
  Plan plan;
  Reader reader;
  ReadMembers(reader, object, plan);
  reader.Each(object, "faults", [&](const Object& o) {
    FaultEvent fault;
    reader.GetKind(o, kFaultKinds, fault.kind);
    reader.Get(o, "at_ns", fault.at);
    reader.Get(o, "length_ns", fault.length);
    reader.GetList(o, "replicas", fault.replicas);
    reader.Get(o, "amount", fault.amount);
    plan.faults.push_back(std::move(fault));
  });
  reader.Each(object, "ops", [&](const Object& o) {
    PlannedOp op;
    reader.Get(o, "id", op.id);
    reader.Get(o, "client", op.client);
    reader.GetKind(o, kOpKinds, op.kind);
    reader.Get(o, "key", op.key);
    reader.Get(o, "other_key", op.other_key);
    reader.Get(o, "at_ns", op.at);
    plan.ops.push_back(op);
  });
  if (!reader.problem.empty()) return Fail(ErrorCode::kMalformed, "the plan's " + reader.problem);
  if (const Status valid = Validate(plan); !valid) {
    return Fail(ErrorCode::kMalformed, "the plan cannot be run: " + valid.error().message);
  }
  return plan;
}

}  // namespace coterie::sim
