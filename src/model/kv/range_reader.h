#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "etcd/rpc.pb.h"
#include "model/kv/store.h"

namespace coterie::kv {

struct RangeReaderOptions {
  std::size_t records_per_step = 1000;            ///< looked at
  std::size_t bytes_per_step = 128u << 10;        ///< of the answer
  std::size_t held_bytes_max = 4u << 20;          ///< over it the answer is read a second time
  std::size_t ordered_bytes_max = 256u << 20;     ///< of an answer in another order than the keys'
  std::size_t answer_bytes_max = (2u << 30) - 1;  ///< a client's own bound on messages
};

/// One Range at a fixed revision, in steps that are short turns, with bounded memory. First the
/// answer is measured; if it is small it is held, else it is read once more while it is sent.
/// Purging takes nothing of the revision meanwhile. Must not outlive the Store.
class RangeReader {
 public:
  /// Errors: kFutureRevision, kCompacted.
  static Result<std::unique_ptr<RangeReader>> Open(const Store& store,
                                                   etcdserverpb::RangeRequest request,
                                                   RangeReaderOptions options = {});
  ~RangeReader();

  /// The store's revision when this was opened: the header's.
  Revision store_revision() const;
  /// The next step of measuring; true once it is done. Errors: kTooLarge (over ordered_bytes_max or
  /// answer_bytes_max), kCompacted (another state was loaded, without this revision),
  /// kCorruptState.
  Result<bool> Measure();
  /// What is left to do before the first part, for any thread: to order many keys. nullptr:
  /// nothing.
  std::function<void()> OrderWork();
  /// Bytes of the serialized RangeResponse but for its header. Requires: measured, ordered.
  std::size_t bytes() const;
  /// The next part of them; nullopt after the last. "": call again. Errors as Measure's.
  Result<std::optional<std::string>> NextPart();

 private:
  struct State;
  explicit RangeReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace coterie::kv
