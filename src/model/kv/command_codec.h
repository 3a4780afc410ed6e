#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// Commands for the replicated log out of requests as they came from the wire: the bytes are
// embedded, not parsed and written again. The result is what serialising a Command with that field
// would give. The caller has validated the request; what is malformed is refused when it is
// applied.
namespace coterie::kv {

std::string EncodePut(std::string_view serialized_put_request);
std::string EncodeDeleteRange(std::string_view serialized_delete_range_request);
std::string EncodeTxn(std::string_view serialized_txn_request);
std::string EncodeCompaction(std::string_view serialized_compaction_request);
/// The request must hold the chosen id and the raised TTL.
std::string EncodeLeaseGrant(std::string_view serialized_lease_grant_request);
std::string EncodeLeaseRevoke(std::string_view serialized_lease_revoke_request);
/// The two that the server makes by itself.
std::string EncodeLeaseGrant(std::int64_t id, std::int64_t ttl_seconds);
std::string EncodeLeaseRevoke(std::int64_t id);
/// A renewal, so that every replica hears of it: a put without a key, which changes nothing and
/// which every version refuses alike (kEmptyKey), naming the lease.
std::string EncodeLeaseRenewal(std::int64_t id);

/// A PutRequest's fields, viewing the bytes it was read from.
struct PutView {
  std::string_view key;
  std::string_view value;
  std::int64_t lease = 0;
  bool prev_kv = false;
  bool ignore_value = false;
  bool ignore_lease = false;
};
/// Reads a Command that holds a plain put without copying; nullopt if it holds anything else or has
/// fields this does not know, which is left to the general parser.
std::optional<PutView> DecodePut(std::string_view command);

}  // namespace coterie::kv
