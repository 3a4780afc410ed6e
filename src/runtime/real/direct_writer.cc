#include "runtime/real/direct_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

namespace coterie::runtime {
namespace {
constexpr std::size_t kAlignment = 4096;  // of memory: enough for every device
}

DirectWriter::~DirectWriter() {
  if (direct_ >= 0) ::close(direct_);
}

bool DirectWriter::Reserve(std::size_t bytes) {
  if (bytes <= buffer_bytes_) return true;
  const std::size_t rounded = std::max(kAlignment, std::bit_ceil(bytes));
  buffer_.reset(static_cast<char*>(std::aligned_alloc(kAlignment, rounded)));
  buffer_bytes_ = buffer_ == nullptr ? 0 : rounded;
  return buffer_ != nullptr;
}

int DirectWriter::WriteAndSync(int fd, std::uint64_t offset, std::string_view data) {
  if (refused_ || data.empty() || data.size() > kBytesMax) return EINVAL;
  if (offset % kSectorBytes != 0 || data.size() % kSectorBytes != 0) return EINVAL;
  if (direct_ < 0) {
    // By its descriptor: the file's name may be another by now.
    direct_ = ::open(fmt::format("/proc/self/fd/{}", fd).c_str(), O_WRONLY | O_DIRECT | O_CLOEXEC);
    refused_ = direct_ < 0;
  }
  if (refused_ || !Reserve(data.size())) return EINVAL;
  std::memcpy(buffer_.get(), data.data(), data.size());
  const iovec from{buffer_.get(), data.size()};
  ssize_t written = 0;
  do {
    written = ::pwritev2(direct_, &from, 1, static_cast<off_t>(offset), RWF_DSYNC);
  } while (written < 0 && errno == EINTR);
  if (written == static_cast<ssize_t>(data.size())) return 0;
  if (written < 0 && errno != EINVAL && errno != EOPNOTSUPP) return errno;
  // A device with larger sectors, say, or a write cut short: not again for this file.
  refused_ = true;
  return EINVAL;
}

}  // namespace coterie::runtime
