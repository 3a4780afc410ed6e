#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "runtime/task.h"

namespace coterie::runtime {

/// An open file. At most one Write or Sync is under way at a time; reads may overlap. Destroying
/// the File while an operation is under way abandons the operation's result, not necessarily its
/// effect.
class File {
 public:
  virtual ~File() = default;
  /// Reads up to `size` bytes at `offset`; shorter at the end of the file, "" past it.
  virtual Task<Result<std::string>> Read(std::uint64_t offset, std::size_t size) = 0;
  /// Writes all of `data` at `offset`, extending the file as needed. Durable only after a Sync.
  /// Errors: kDiskFull, kIo, both with an unknown outcome for the bytes written.
  virtual Task<Status> Write(std::uint64_t offset, std::string data) = 0;
  /// fdatasync: all writes that ended before it are durable when it answers. After an error nothing
  /// about the unsynced writes is known and a later success proves nothing: crash and recover.
  virtual Task<Status> Sync() = 0;
  /// Write then Sync in one trip: the write-ahead log's only call per batch.
  virtual Task<Status> WriteAndSync(std::uint64_t offset, std::string data) = 0;
  virtual Task<Status> Truncate(std::uint64_t size) = 0;
  /// Reserves space for [0, size) and makes the file at least that long; what is new is zero.
  virtual Task<Status> Preallocate(std::uint64_t size) = 0;
  virtual Task<Result<std::uint64_t>> Size() = 0;
};

/// Of the file system that holds a path.
struct DiskSpace {
  std::uint64_t free = 0;
  std::uint64_t total = 0;
};

/// The node's part of the file system. Paths are absolute or relative to the process; '/'
/// separates. Creation, renaming and removal of names are durable only after SyncDir of their
/// directory.
class Disk {
 public:
  virtual ~Disk() = default;
  enum class Mode { kOpenExisting, kCreate /* fails if it exists */, kOpenOrCreate };
  /// Errors: kNotFound, kDiskFull, kIo.
  virtual Task<Result<std::unique_ptr<File>>> Open(std::string path, Mode mode) = 0;
  virtual Task<Status> Rename(std::string from, std::string to) = 0;
  /// Removes a file, or a directory with all it holds. Removing what is not there succeeds.
  virtual Task<Status> Remove(std::string path) = 0;
  /// Creates a directory and its missing parents; existing ones are fine.
  virtual Task<Status> MakeDir(std::string path) = 0;
  virtual Task<Status> SyncDir(std::string path) = 0;
  /// Names in a directory, sorted, without "." and "..". Error kNotFound if it does not exist.
  virtual Task<Result<std::vector<std::string>>> List(std::string path) = 0;
  virtual Task<Result<bool>> Exists(std::string path) = 0;
  virtual Task<Result<DiskSpace>> Space(std::string path) = 0;
  /// A write that power loss interrupts may destroy all of each so aligned unit that it touches,
  /// whatever was durable there before. A power of two in [kWriteUnitMin, kWriteUnitMax].
  virtual Task<Result<std::uint32_t>> WriteUnit(std::string path) = 0;
  static constexpr std::uint32_t kWriteUnitMin = 512;
  static constexpr std::uint32_t kWriteUnitMax = 64u << 10;
  /// Takes an exclusive advisory lock that lives as long as the answer and the process.
  /// Error kDataDirInUse.
  virtual Task<Result<std::unique_ptr<File>>> Lock(std::string path) = 0;
};

/// Reads a whole file. Errors as Open and Read; kTooLarge over `size_max`.
Task<Result<std::string>> ReadFile(Disk& disk, std::string path, std::size_t size_max);
/// Replaces a file durably: writes `path`.tmp, syncs it, renames it over `path`, syncs the
/// directory. A crash leaves the old content or the new one.
Task<Status> ReplaceFile(Disk& disk, std::string path, std::string content);

}  // namespace coterie::runtime
