#include "net/grpc.h"

#include "base/assert.h"

namespace coterie::net {

std::string_view GrpcContext::Header(std::string_view name) const {
  if (headers == nullptr) return "";
  for (const auto& [key, value] : *headers) {
    if (key == name) return value;
  }
  return "";
}

void GrpcMethods::Unary(std::string path, UnaryHandler handler) {
  COT_ASSERT(path.starts_with('/'));
  COT_ASSERT(FindStreaming(path) == nullptr);
  const bool fresh = unary_.emplace(std::move(path), std::move(handler)).second;
  COT_ASSERT(fresh);
}

void GrpcMethods::Streaming(std::string path, StreamHandler handler) {
  COT_ASSERT(path.starts_with('/'));
  COT_ASSERT(FindUnary(path) == nullptr);
  const bool fresh = streaming_.emplace(std::move(path), std::move(handler)).second;
  COT_ASSERT(fresh);
}

bool GrpcMethods::HasService(std::string_view service) const {
  const std::string prefix = "/" + std::string(service) + "/";
  const auto in = [&](const auto& methods) {
    const auto at = methods.lower_bound(prefix);
    return at != methods.end() && at->first.starts_with(prefix);
  };
  return in(unary_) || in(streaming_);
}

const UnaryHandler* GrpcMethods::FindUnary(std::string_view path) const {
  const auto found = unary_.find(path);
  return found == unary_.end() ? nullptr : &found->second;
}

const StreamHandler* GrpcMethods::FindStreaming(std::string_view path) const {
  const auto found = streaming_.find(path);
  return found == streaming_.end() ? nullptr : &found->second;
}

}  // namespace coterie::net
