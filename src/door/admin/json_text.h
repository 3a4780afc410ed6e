#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace coterie::door::admin {

/// `text` as a JSON string with its quotes. Total: bytes that are not UTF-8 stand as "\xNN" text.
std::string Quote(std::string_view text);

/// {"code":"COT-0011","outcome":"not applied","message":...,"hint":...}
std::string ErrorJson(const Error& error);
/// The HTTP status that says the same.
int HttpStatusOf(const Error& error);

}  // namespace coterie::door::admin
