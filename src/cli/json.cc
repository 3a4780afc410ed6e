#include "cli/json.h"

#include <fmt/format.h>
#include <simdjson.h>

#include "base/assert.h"

namespace coterie::cli {
namespace {

const Json kNullJson;

Json Convert(const simdjson::dom::element& element) {
  using Type = simdjson::dom::element_type;
  switch (element.type()) {
    case Type::OBJECT: {
      Json object = Json::Object();
      for (const auto field : simdjson::dom::object(element)) {
        object.Set(std::string(field.key), Convert(field.value));
      }
      return object;
    }
    case Type::ARRAY: {
      Json array = Json::Array();
      for (const auto item : simdjson::dom::array(element)) array.Push(Convert(item));
      return array;
    }
    case Type::STRING:
      return Json(std::string_view(element));
    case Type::INT64:
      return Json(std::int64_t(element));
    case Type::UINT64:
      return Json(static_cast<double>(std::uint64_t(element)));
    case Type::DOUBLE:
      return Json(double(element));
    case Type::BOOL:
      return Json(bool(element));
    case Type::NULL_VALUE:
      return Json();
  }
  return Json();
}

void AppendQuoted(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

}  // namespace

Result<Json> Json::Parse(std::string_view text) {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  const auto error = parser.parse(text.data(), text.size()).get(root);
  if (error) return Fail(ErrorCode::kMalformed, simdjson::error_message(error));
  return Convert(root);
}

std::int64_t Json::Int() const {
  return kind_ == Kind::kDouble ? static_cast<std::int64_t>(double_) : int_;
}

double Json::Double() const { return kind_ == Kind::kDouble ? double_ : static_cast<double>(int_); }

const Json& Json::operator[](std::string_view name) const {
  for (std::size_t i = 0; i < names_.size(); ++i) {
    if (names_[i] == name) return items_[i];
  }
  return kNullJson;
}

const Json& Json::operator[](std::size_t position) const {
  return position < items_.size() ? items_[position] : kNullJson;
}

Json& Json::Set(std::string name, Json value) {
  COT_ASSERT(kind_ == Kind::kObject);
  names_.push_back(std::move(name));
  items_.push_back(std::move(value));
  return *this;
}

Json& Json::Push(Json value) {
  COT_ASSERT(kind_ == Kind::kArray);
  items_.push_back(std::move(value));
  return *this;
}

std::string Json::ToText(bool indented) const {
  std::string out;
  Append(out, indented ? 0 : -1);
  return out;
}

/// `depth` below zero: everything on one line.
void Json::Append(std::string& out, int depth) const {
  const int inner = depth < 0 ? -1 : depth + 1;
  const auto line = [&](int level) {
    if (level >= 0) out.append("\n").append(static_cast<std::size_t>(level) * 2, ' ');
  };
  switch (kind_) {
    case Kind::kNull:
      out += "null";
      return;
    case Kind::kBool:
      out += int_ != 0 ? "true" : "false";
      return;
    case Kind::kInt:
      out += fmt::to_string(int_);
      return;
    case Kind::kDouble:
      out += fmt::format("{:.6g}", double_);
      return;
    case Kind::kText:
      AppendQuoted(out, text_);
      return;
    case Kind::kArray:
    case Kind::kObject:
      break;
  }
  const bool object = kind_ == Kind::kObject;
  out += object ? '{' : '[';
  for (std::size_t i = 0; i < items_.size(); ++i) {
    if (i != 0) out += ',';
    line(inner);
    if (object) {
      AppendQuoted(out, names_[i]);
      out += depth < 0 ? ":" : ": ";
    }
    items_[i].Append(out, inner);
  }
  if (!items_.empty()) line(depth);
  out += object ? '}' : ']';
}

}  // namespace coterie::cli
