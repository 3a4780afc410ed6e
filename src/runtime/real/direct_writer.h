#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>

namespace coterie::runtime {

/// Durable writes of whole sectors that bypass the page cache: what is written once and read after
/// a crash only needs no copy there, and the processor time of making one. Not thread-safe; one
/// per open file.
class DirectWriter {
 public:
  static constexpr std::size_t kSectorBytes = 512;
  static constexpr std::size_t kBytesMax = 1u << 20;  ///< of one write; bounds the buffer

  DirectWriter() = default;
  DirectWriter(const DirectWriter&) = delete;
  ~DirectWriter();

  /// Writes `data` at `offset` of the file open as `fd`: 0 when it is durable. EINVAL if it cannot
  /// be done in this way (not whole sectors, too large, or the file system or the device does not
  /// take it): write it in another. Any other errno: nothing is known of what was written. May wait
  /// for the device.
  int WriteAndSync(int fd, std::uint64_t offset, std::string_view data);

 private:
  struct Free {
    void operator()(char* buffer) const { std::free(buffer); }
  };
  bool Reserve(std::size_t bytes);

  bool refused_ = false;
  int direct_ = -1;  // the same file, opened for this
  std::unique_ptr<char, Free> buffer_;
  std::size_t buffer_bytes_ = 0;
};

}  // namespace coterie::runtime
