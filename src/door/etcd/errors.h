#pragma once

#include <string_view>

#include "base/status.h"
#include "net/grpc.h"

namespace coterie::door::etcd {

/// The rows of error_texts.inc.
enum class EtcdError {
#define COT_ETCD_ERROR(name, code, text) name,
#include "door/etcd/error_texts.inc"
#undef COT_ETCD_ERROR
};

/// The row's text, for places that carry it without a code (a watch's cancel_reason).
std::string_view TextOf(EtcdError error);
net::GrpcStatus StatusOf(EtcdError error);
/// The same as a handler's answer.
std::unexpected<net::GrpcStatus> Refuse(EtcdError error);

/// What a failed request answers. A write whose outcome is unknown gets a text that no etcd client
/// repeats by itself (client/v3/retry.go repeats writes on two texts only, neither of them here).
net::GrpcStatus StatusOf(const Error& error);

}  // namespace coterie::door::etcd
