#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace coterie::door::redis {

/// Bytes that came and that no command has taken. Views into it are valid until the next Room.
class InputBuffer {
 public:
  std::string_view unread() const { return {bytes_.get() + begin_, end_ - begin_}; }
  void Consume(std::size_t n);
  /// Space behind what is unread, of at least one byte; `wanted` bytes in all are expected soon. It
  /// grows at most to twice what has come, and shrinks when it is empty.
  std::span<char> Room(std::size_t wanted);
  void Commit(std::size_t n) {
    end_ += n;
    last_read_ = n;
  }
  std::size_t capacity() const { return capacity_; }
  /// Bytes moved inside the buffer or into a new one so far: at most a constant times those that
  /// came, however a request is cut into words and words into reads.
  std::uint64_t moved() const { return moved_; }

  static constexpr std::size_t kChunk = 16u << 10;
  static constexpr std::size_t kChunkMax = 256u << 10;

 private:
  std::size_t NextCapacity(std::size_t wanted) const;

  std::unique_ptr<char[]> bytes_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::size_t last_read_ = 0;
  std::uint64_t moved_ = 0;
};

}  // namespace coterie::door::redis
