#pragma once

#include <string>
#include <utility>

#include "door/admin/json_text.h"
#include "net/http.h"

namespace coterie::door::admin {

inline constexpr std::string_view kJsonType = "application/json";

inline net::HttpResponse JsonReply(std::string body) {
  return {.content_type = std::string(kJsonType), .body = std::move(body)};
}
inline net::HttpResponse Refuse(const Error& error) {
  return {.status = HttpStatusOf(error),
          .content_type = std::string(kJsonType),
          .body = ErrorJson(error)};
}
inline net::HttpResponse Refuse(ErrorCode code, std::string message) {
  return Refuse(Error{code, Outcome::kNotApplied, std::move(message)});
}
inline net::HttpResponse WrongMethod(std::string allowed) {
  return {.status = 405, .body = std::move(allowed) + " only\n"};
}

}  // namespace coterie::door::admin
