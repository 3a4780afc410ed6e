#include "runtime/real/real_disk.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <optional>

#include "runtime/real/direct_writer.h"

namespace coterie::runtime {
namespace {

constexpr std::size_t kInlineWriteMax = 64u << 10;

std::unexpected<Error> FromErrno(int error, const char* call, const std::string& path,
                                 Outcome outcome = Outcome::kNotApplied) {
  ErrorCode code = ErrorCode::kIo;
  if (error == ENOSPC || error == EDQUOT) code = ErrorCode::kDiskFull;
  if (error == ENOENT || error == ENOTDIR) code = ErrorCode::kNotFound;
  return std::unexpected(Error{code, outcome, path + ": " + call + ": " + std::strerror(error)});
}

/// An open descriptor and the name it was opened by; shared with operations on the pool.
struct Descriptor {
  Descriptor(int descriptor, std::string name) : fd(descriptor), path(std::move(name)) {}
  Descriptor(const Descriptor&) = delete;
  ~Descriptor() { ::close(fd); }
  const int fd;
  const std::string path;
  mutable DirectWriter direct;  // at most one write is under way
};
using DescriptorPtr = std::shared_ptr<const Descriptor>;

Status WriteAll(const Descriptor& file, std::uint64_t offset, std::string_view data) {
  while (!data.empty()) {
    const ssize_t n = ::pwrite(file.fd, data.data(), data.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FromErrno(errno, "pwrite", file.path, Outcome::kUnknown);
    data.remove_prefix(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
  return Ok();
}

Status SyncData(const Descriptor& file) {
  if (::fdatasync(file.fd) == 0) return Ok();
  return FailUnknown(ErrorCode::kSyncFailed, file.path + ": fdatasync: " + std::strerror(errno));
}

Result<std::string> ReadAll(const Descriptor& file, std::uint64_t offset, std::size_t size) {
  struct stat status{};
  if (::fstat(file.fd, &status) != 0) return FromErrno(errno, "fstat", file.path);
  const auto end = static_cast<std::uint64_t>(status.st_size);
  if (offset >= end) return std::string();
  std::string out(std::min<std::uint64_t>(size, end - offset), '\0');
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t n =
        ::pread(file.fd, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FromErrno(errno, "pread", file.path);
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  out.resize(done);
  return out;
}

using SyncNs = std::shared_ptr<std::atomic<std::int64_t>>;

std::int64_t NowNs() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{1'000'000'000} * now.tv_sec + now.tv_nsec;
}

Status WriteAndSync(const Descriptor& file, std::uint64_t offset, std::string_view data) {
  const int error = file.direct.WriteAndSync(file.fd, offset, data);
  if (error == 0) return Ok();
  if (error != EINVAL) return FromErrno(error, "pwritev2", file.path, Outcome::kUnknown);
  COT_TRY(WriteAll(file, offset, data));
  return SyncData(file);
}

Status WriteAndSyncTimed(const Descriptor& file, std::uint64_t offset, std::string_view data,
                         std::atomic<std::int64_t>& sync_ns) {
  const std::int64_t start = NowNs();
  COT_TRY(WriteAndSync(file, offset, data));
  const std::int64_t before = sync_ns.load(std::memory_order_relaxed);
  sync_ns.store(before + (NowNs() - start - before) / 8, std::memory_order_relaxed);
  return Ok();
}

class RealFile final : public File {
 public:
  RealFile(Reactor& reactor, OffloadPool& pool, SyncNs sync_ns, DescriptorPtr file)
      : reactor_(reactor), pool_(pool), sync_ns_(std::move(sync_ns)), file_(std::move(file)) {}

  Task<Result<std::string>> Read(std::uint64_t offset, std::size_t size) override;
  Task<Status> Write(std::uint64_t offset, std::string data) override;
  Task<Status> Sync() override {
    return pool_.Run([file = file_] { return SyncData(*file); });
  }
  Task<Status> WriteAndSync(std::uint64_t offset, std::string data) override;
  Task<Status> Truncate(std::uint64_t size) override {
    return pool_.Run([file = file_, size]() -> Status {
      if (::ftruncate(file->fd, static_cast<off_t>(size)) == 0) return Ok();
      return FromErrno(errno, "ftruncate", file->path);
    });
  }
  Task<Status> Preallocate(std::uint64_t size) override {
    return pool_.Run([file = file_, size]() -> Status {
      struct stat before{};
      if (::fstat(file->fd, &before) != 0) return FromErrno(errno, "fstat", file->path);
      const int error = ::posix_fallocate(file->fd, 0, static_cast<off_t>(size));
      if (error != 0) return FromErrno(error, "fallocate", file->path);
      // Blocks that were only reserved cost a journal commit at their first write, which doubles
      // the time of each fdatasync; so they are written once here, off everybody's path.
      const std::string zeros(1u << 20, '\0');
      for (auto at = static_cast<std::uint64_t>(before.st_size); at < size; at += zeros.size()) {
        COT_TRY(WriteAll(*file, at, std::string_view(zeros).substr(0, size - at)));
      }
      return Ok();
    });
  }
  Task<Result<std::uint64_t>> Size() override {
    struct stat status{};
    if (::fstat(file_->fd, &status) != 0) co_return FromErrno(errno, "fstat", file_->path);
    co_return static_cast<std::uint64_t>(status.st_size);
  }

 private:
  Reactor& reactor_;
  OffloadPool& pool_;
  SyncNs sync_ns_;
  DescriptorPtr file_;
};

Task<Status> RealFile::WriteAndSync(std::uint64_t offset, std::string data) {
  if (data.size() <= kInlineWriteMax &&
      sync_ns_->load(std::memory_order_relaxed) < RealDisk::kInlineSyncMax.count()) {
    const bool quiet = co_await reactor_.Quiet();
    if (quiet) co_return WriteAndSyncTimed(*file_, offset, data, *sync_ns_);
  }
  auto result =
      co_await pool_.Run([file = file_, offset, data = std::move(data), sync_ns = sync_ns_] {
        return WriteAndSyncTimed(*file, offset, data, *sync_ns);
      });
  co_return result;
}

Task<Result<std::string>> RealFile::Read(std::uint64_t offset, std::size_t size) {
  // Take what the page cache holds at once; leave the rest, and any doubt, to the pool.
  if (size <= kInlineWriteMax) {
    std::string out(size, '\0');
    const iovec into{out.data(), out.size()};
    const ssize_t n = ::preadv2(file_->fd, &into, 1, static_cast<off_t>(offset), RWF_NOWAIT);
    if (n == static_cast<ssize_t>(size)) co_return out;
  }
  auto result =
      co_await pool_.Run([file = file_, offset, size] { return ReadAll(*file, offset, size); });
  co_return result;
}

Task<Status> RealFile::Write(std::uint64_t offset, std::string data) {
  if (data.size() <= kInlineWriteMax) co_return WriteAll(*file_, offset, data);
  auto result = co_await pool_.Run(
      [file = file_, offset, data = std::move(data)] { return WriteAll(*file, offset, data); });
  co_return result;
}

Result<DescriptorPtr> OpenDescriptor(const std::string& path, int flags) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC, 0640);
  if (fd < 0) return FromErrno(errno, "open", path);
  return std::make_shared<const Descriptor>(fd, path);
}

std::optional<std::uint32_t> ReadUnit(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::uint32_t bytes = 0;
  if (!(in >> bytes)) return std::nullopt;
  return std::clamp(std::bit_ceil(bytes), Disk::kWriteUnitMin, Disk::kWriteUnitMax);
}

/// The physical sector of the device below `path`, as the kernel knows it. A file system that
/// spreads over several devices, or has none, names no device: then what all drives of today have
/// at most.
std::uint32_t DeviceWriteUnit(const std::string& path) {
  constexpr std::uint32_t kUnknown = 4096;
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return kUnknown;
  const std::filesystem::path device =
      fmt::format("/sys/dev/block/{}:{}", major(status.st_dev), minor(status.st_dev));
  // A partition has its queue one level up.
  for (const char* queue : {"queue/physical_block_size", "../queue/physical_block_size"}) {
    if (const auto unit = ReadUnit(device / queue)) return *unit;
  }
  return kUnknown;
}

Status FromErrorCode(const std::error_code& error, const char* call, const std::string& path) {
  if (!error) return Ok();
  return FromErrno(error.value(), call, path);
}

}  // namespace

Task<Result<std::unique_ptr<File>>> RealDisk::Open(std::string path, Mode mode) {
  int flags = O_RDWR;
  if (mode == Mode::kCreate) flags |= O_CREAT | O_EXCL;
  if (mode == Mode::kOpenOrCreate) flags |= O_CREAT;
  auto opened = co_await pool_.Run([path, flags] { return OpenDescriptor(path, flags); });
  COT_CO_ASSIGN(DescriptorPtr file, std::move(opened));
  co_return std::make_unique<RealFile>(reactor_, pool_, sync_ns_, std::move(file));
}

Task<Status> RealDisk::Rename(std::string from, std::string to) {
  return pool_.Run([from, to]() -> Status {
    if (::rename(from.c_str(), to.c_str()) == 0) return Ok();
    return FromErrno(errno, "rename", from);
  });
}

Task<Status> RealDisk::Remove(std::string path) {
  return pool_.Run([path] {
    std::error_code error;
    std::filesystem::remove_all(path, error);
    return FromErrorCode(error, "remove", path);
  });
}

Task<Status> RealDisk::MakeDir(std::string path) {
  return pool_.Run([path] {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    return FromErrorCode(error, "mkdir", path);
  });
}

Task<Status> RealDisk::SyncDir(std::string path) {
  return pool_.Run([path]() -> Status {
    COT_ASSIGN(const DescriptorPtr dir, OpenDescriptor(path, O_RDONLY | O_DIRECTORY));
    if (::fsync(dir->fd) == 0) return Ok();
    return FailUnknown(ErrorCode::kSyncFailed, path + ": fsync: " + std::strerror(errno));
  });
}

Task<Result<std::vector<std::string>>> RealDisk::List(std::string path) {
  return pool_.Run([path]() -> Result<std::vector<std::string>> {
    std::error_code error;
    std::vector<std::string> names;
    std::filesystem::directory_iterator entry(path, error);
    while (!error && entry != std::filesystem::directory_iterator()) {
      names.push_back(entry->path().filename().string());
      entry.increment(error);
    }
    if (error) return FromErrno(error.value(), "list", path);
    std::ranges::sort(names);
    return names;
  });
}

Task<Result<bool>> RealDisk::Exists(std::string path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) == 0) co_return true;
  if (errno == ENOENT || errno == ENOTDIR) co_return false;
  co_return FromErrno(errno, "stat", path);
}

Task<Result<DiskSpace>> RealDisk::Space(std::string path) {
  return pool_.Run([path]() -> Result<DiskSpace> {
    struct statvfs status{};
    if (::statvfs(path.c_str(), &status) != 0) return FromErrno(errno, "statvfs", path);
    const std::uint64_t block = status.f_frsize;
    // What is kept for root is neither: `df` counts in the same way.
    const std::uint64_t used = status.f_blocks - status.f_bfree;
    return DiskSpace{.free = status.f_bavail * block, .total = (used + status.f_bavail) * block};
  });
}

Task<Result<std::uint32_t>> RealDisk::WriteUnit(std::string path) {
  return pool_.Run([path]() -> Result<std::uint32_t> { return DeviceWriteUnit(path); });
}

Task<Result<std::unique_ptr<File>>> RealDisk::Lock(std::string path) {
  auto opened = co_await pool_.Run([path] { return OpenDescriptor(path, O_RDWR | O_CREAT); });
  COT_CO_ASSIGN(DescriptorPtr file, std::move(opened));
  // flock belongs to this open file description: it goes with the File, and with the process.
  if (::flock(file->fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) co_return Fail(ErrorCode::kDataDirInUse, path);
    co_return FromErrno(errno, "flock", path);
  }
  co_return std::make_unique<RealFile>(reactor_, pool_, sync_ns_, std::move(file));
}

}  // namespace coterie::runtime
