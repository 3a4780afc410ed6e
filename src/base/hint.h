#pragma once

#include <string>

#include "base/status.h"

namespace coterie {

/// What helps with this failure: its code's hint, and before it what its outcome asks for. The
/// table's hints are worded so that they hold whatever the outcome.
std::string HintFor(const Error& error);

}  // namespace coterie
