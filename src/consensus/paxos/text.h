#pragma once

#include <string>

#include "consensus/paxos/messages.h"

namespace coterie::paxos {

std::string ToText(const Ballot& ballot);  ///< "1.7.n2": epoch, counter, node; "-" for none
std::string ToText(const Value& value);    ///< its bytes; "nothing"
std::string ToText(const Request& request);
std::string ToText(const Reply& reply);

}  // namespace coterie::paxos
