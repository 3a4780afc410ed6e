#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace coterie::cli {

/// One direction of one link, by node names.
struct Link {
  std::string from;
  std::string to;
  friend bool operator==(const Link&, const Link&) = default;
};

/// The links that a partition cuts, both ways between every two groups. "n1,n2|n3" names all nodes
/// in groups; "n3" or "n2,n3" is that group against the rest. Error kInvalidArgument, naming the
/// mistake.
Result<std::vector<Link>> PartitionLinks(std::string_view text,
                                         const std::vector<std::string>& nodes);

}  // namespace coterie::cli
