#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace coterie::cli {

/// A JSON value as the command reads and prints it. Reading what is not there gives a null value,
/// so that `v["peers"][0]["id"].Int()` is safe on any document: an old node may lack a new field.
class Json {
 public:
  enum class Kind { kNull, kBool, kInt, kDouble, kText, kArray, kObject };

  Json() = default;
  Json(bool v) : kind_(Kind::kBool), int_(v) {}
  template <std::integral T>
  Json(T v) : kind_(Kind::kInt), int_(static_cast<std::int64_t>(v)) {}
  Json(double v) : kind_(Kind::kDouble), double_(v) {}
  Json(std::string v) : kind_(Kind::kText), text_(std::move(v)) {}
  Json(std::string_view v) : Json(std::string(v)) {}
  Json(const char* v) : Json(std::string(v)) {}
  static Json Array() { return Json(Kind::kArray); }
  static Json Object() { return Json(Kind::kObject); }

  /// Errors: kMalformed, also for a nesting over 1024.
  static Result<Json> Parse(std::string_view text);

  Kind kind() const { return kind_; }
  bool IsNull() const { return kind_ == Kind::kNull; }
  bool Bool() const { return kind_ == Kind::kBool && int_ != 0; }
  std::int64_t Int() const;
  double Double() const;
  const std::string& Text() const { return text_; }
  const std::vector<Json>& items() const { return items_; }

  const Json& operator[](std::string_view name) const;
  const Json& operator[](std::size_t position) const;

  /// Adds a member; members print in the order they were added. Returns *this for chaining.
  Json& Set(std::string name, Json value);
  Json& Push(Json value);

  /// One line, or indented by two spaces a level.
  std::string ToText(bool indented = false) const;

 private:
  explicit Json(Kind kind) : kind_(kind) {}
  void Append(std::string& out, int depth) const;

  Kind kind_ = Kind::kNull;
  std::int64_t int_ = 0;
  double double_ = 0;
  std::string text_;
  std::vector<std::string> names_;  // of items_, in an object
  std::vector<Json> items_;
};

}  // namespace coterie::cli
