#include "consensus/paxos/text.h"

#include <fmt/format.h>

namespace coterie::paxos {
namespace {

struct Printer {
  std::string operator()(const Prepare& m) const { return "Prepare " + ToText(m.ballot); }
  std::string operator()(const Accept& m) const {
    return fmt::format("Accept {} \"{}\" next {}", ToText(m.ballot), ToText(m.value),
                       ToText(m.next));
  }
  std::string operator()(const Query& m) const {
    return fmt::format("Query {} epoch {}", m.number, m.epoch.value);
  }
  std::string operator()(const Promise& m) const {
    return fmt::format("Promise {} has {} \"{}\"", ToText(m.ballot), ToText(m.accepted),
                       ToText(m.value));
  }
  std::string operator()(const Accepted& m) const { return "Accepted " + ToText(m.ballot); }
  std::string operator()(const Refused& m) const {
    return fmt::format("Refused {} promised {}", ToText(m.ballot), ToText(m.promised));
  }
  std::string operator()(const Report& m) const {
    return fmt::format("Report {} has {} \"{}\"", m.number, ToText(m.accepted), ToText(m.value));
  }
  std::string operator()(const StaleEpoch& m) const {
    return fmt::format("StaleEpoch asked {} is {}", m.asked.value, m.epoch.value);
  }
};

}  // namespace

std::string ToText(const Ballot& ballot) {
  if (ballot == Ballot{}) return "-";
  return fmt::format("{}.{}.n{}", ballot.epoch.value, ballot.counter,
                     clock::NodeOf(ballot.proposer).value);
}

std::string ToText(const Value& value) { return value.bytes.value_or("nothing"); }
std::string ToText(const Request& request) { return std::visit(Printer{}, request); }
std::string ToText(const Reply& reply) { return std::visit(Printer{}, reply); }

}  // namespace coterie::paxos
