#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "door/redis/ordered_layout.h"
#include "model/kv/store.h"

namespace coterie::door::redis::ordered {

/// What one transaction may be, so that it fits the log and does not hold up others.
inline constexpr std::size_t kTransactionOperationsMax = 10'000;  ///< puts and deletions
inline constexpr std::size_t kTransactionComparesMax = 30'000;    ///< guards
inline constexpr std::size_t kTransactionBytesMax = 1536u << 10;

/// A transaction on the records of a kv store: reads of one state, writes that wait in a buffer and
/// are visible to its own later reads, and then one command for the log that does it all, if what
/// it was decided on is still so [Kung-Robinson §3]. Does not suspend: make, use and encode it in
/// one go.
class KvTransaction {
 public:
  explicit KvTransaction(const kv::Store& store) : store_(store) {}

  struct Found {
    std::string value;
    std::int64_t mod_revision = 0;  ///< 0: written by this transaction
  };
  /// What `record` holds. The transaction will not commit if the record changes before.
  std::optional<Found> Get(const std::string& record);
  /// The same without the promise: for records that change only together with one that was read by
  /// Get.
  std::optional<Found> Peek(const std::string& record);
  void Put(const std::string& record, std::string value);
  void Erase(const std::string& record);
  void Erase(const KeyRange& range);
  /// The transaction will not commit unless `record` is at `mod_revision` (0: absent).
  void Guard(const std::string& record, std::int64_t mod_revision);
  /// The record's revision as it would be if everything up to now had happened: 0 if it is absent,
  /// kWrittenHere if this transaction wrote it, else the store's; with the promise.
  static constexpr std::int64_t kWrittenHere = -1;
  std::int64_t Revision(const std::string& record);
  /// The revision of the last change of a record in the store, its removal included; see
  /// kv::Store::LastChange. No promise.
  std::int64_t LastChange(const std::string& record);

  struct Entry {
    std::string record;
    std::string value;
  };
  /// The first `max` (0: all) records of `range` in order; like Peek.
  std::vector<Entry> Scan(const KeyRange& range, std::size_t max);
  std::size_t Count(const KeyRange& range);

  /// Whether there is anything to commit.
  bool changed() const { return !erased_.empty() || writes_ > 0; }
  std::size_t operations() const { return writes_ + erased_.size() + guards_.size(); }
  std::size_t bytes() const { return bytes_; }
  /// Records that were looked at: what the time it took is in proportion to.
  std::size_t visited() const { return visited_; }
  /// A read that failed; nothing that was read is to be believed then.
  const std::optional<Error>& error() const { return error_; }
  /// The command for the log: kv::Answer holds a TxnResponse whose `succeeded` tells whether it
  /// happened. Errors (not applied): error(), kTooLarge.
  Result<std::string> Encode() const;

 private:
  struct Buffered {
    bool known = false;         ///< `revision` is the store's
    std::int64_t revision = 0;  ///< in the store, 0: absent
    bool written = false;
    std::optional<std::string> value;  ///< as this transaction sees it
  };
  void Note(Status read);
  Buffered& Load(const std::string& record);
  void Write(const std::string& record, std::optional<std::string> value);
  bool Erased(const std::string& record) const;
  std::vector<Entry> ScanStore(const KeyRange& range, std::size_t max);

  const kv::Store& store_;
  std::map<std::string, Buffered> buffer_;
  std::map<std::string, std::int64_t> guards_;
  std::vector<KeyRange> erased_;
  std::size_t writes_ = 0;
  std::size_t bytes_ = 0;
  std::size_t visited_ = 0;
  std::optional<Error> error_;
};

/// Whether the answer to an encoded transaction says that it happened. Errors: the refusal's.
Result<bool> Succeeded(const model::StateMachine::Answer& answer);

/// Puts a string without having read anything: what else is stored under the key goes.
std::string EncodeBlindSet(const std::string& key, const std::string& value,
                           std::uint64_t expires_at_ms);

}  // namespace coterie::door::redis::ordered
