#include "door/redis/input_buffer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/assert.h"

namespace coterie::door::redis {

void InputBuffer::Consume(std::size_t n) {
  begin_ += n;
  COT_ASSERT(begin_ <= end_);
  if (begin_ == end_) begin_ = end_ = 0;
}

std::size_t InputBuffer::NextCapacity(std::size_t wanted) const {
  const std::size_t size = end_ - begin_;
  std::size_t capacity = std::max(capacity_, kChunk);
  if (size == 0 && (capacity > kChunkMax || last_read_ < capacity / 8)) capacity = kChunk;
  if (last_read_ * 2 > capacity && capacity < kChunkMax) capacity *= 2;
  if (wanted <= capacity && size < capacity) return capacity;
  // A request's next word may end just behind the buffer, and the word after it again: it is not
  // grown before half of it is in use, and then by half at least, or each word would move them all.
  if (2 * size < capacity) return capacity;
  // What a request claims is believed only as far as it has come.
  const std::size_t most = 2 * size + kChunk;
  return std::clamp(wanted, std::min(capacity + capacity / 2, most), most);
}

std::span<char> InputBuffer::Room(std::size_t wanted) {
  const std::size_t size = end_ - begin_;
  const std::size_t capacity = NextCapacity(wanted);
  if (capacity != capacity_) {
    auto bytes = std::make_unique_for_overwrite<char[]>(capacity);
    if (size > 0) std::memcpy(bytes.get(), bytes_.get() + begin_, size);
    moved_ += size;
    bytes_ = std::move(bytes);
    capacity_ = capacity;
  } else if (begin_ > 0 && size > 0) {
    std::memmove(bytes_.get(), bytes_.get() + begin_, size);
    moved_ += size;
  }
  begin_ = 0;
  end_ = size;
  return {bytes_.get() + end_, capacity_ - end_};
}

}  // namespace coterie::door::redis
