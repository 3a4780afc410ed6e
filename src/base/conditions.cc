#include "base/conditions.h"

#include <algorithm>
#include <array>

namespace coterie {
namespace {

constexpr auto kTable = std::to_array<ConditionInfo>({
#define COT_CONDITION(kind, name, severity, meaning, hint) \
  {ConditionKind::kind, name, Severity::severity, meaning, hint},
#include "base/condition_table.inc"
#undef COT_CONDITION
});

}  // namespace

const ConditionInfo& InfoOf(ConditionKind kind) { return kTable[static_cast<std::size_t>(kind)]; }

std::string_view NameOf(Severity severity) {
  switch (severity) {
    case Severity::kNotice:
      return "notice";
    case Severity::kWarning:
      return "warning";
    case Severity::kCritical:
      return "critical";
  }
  return "?";
}

bool Conditions::Raise(ConditionKind kind, std::string_view subject, std::string text,
                       Instant now) {
  const Key key(kind, subject);
  if (const auto found = all_.find(key); found != all_.end()) {
    found->second.text = std::move(text);
    return false;
  }
  const auto same_kind =
      std::ranges::count_if(all_, [kind](const auto& one) { return one.first.first == kind; });
  if (static_cast<std::size_t>(same_kind) >= kSubjectsMax) return false;
  all_.emplace(key, Condition{std::move(text), now});
  return true;
}

bool Conditions::Clear(ConditionKind kind, std::string_view subject) {
  return all_.erase(Key(kind, subject)) > 0;
}

bool Conditions::Holds(ConditionKind kind) const {
  const auto first = all_.lower_bound(Key(kind, ""));
  return first != all_.end() && first->first.first == kind;
}

const std::pair<const Conditions::Key, Condition>* Conditions::critical() const {
  for (const auto& one : all_) {
    if (InfoOf(one.first.first).severity == Severity::kCritical) return &one;
  }
  return nullptr;
}

}  // namespace coterie
