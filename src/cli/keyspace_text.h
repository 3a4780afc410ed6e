#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "keyspace/promise.h"

namespace coterie::cli {

/// A keyspace as one word: "cart:replication=leaderless:replicas=3:read=1:write=1"; after the name
/// any of the parts of `keyspace create`, with '-' or '_'. What is left out has its default.
/// Errors: kInvalidConfig; kPromiseContradiction.
Result<keyspace::Promise> ParseKeyspace(std::string_view text);
/// The word that says `promise`. Parts that do not apply to its kind are left out.
std::string KeyspaceText(const keyspace::Promise& promise);

}  // namespace coterie::cli
