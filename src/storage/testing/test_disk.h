#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "runtime/disk.h"
#include "runtime/executor.h"

namespace coterie::storage::testing {

/// What a disk holds after a crash.
struct DiskImage {
  std::map<std::string, std::string> files;
  std::set<std::string> dirs;
  std::uint32_t write_unit = 512;  ///< what a torn write may destroy
};

/// One change of a disk, as recorded.
struct DiskOp {
  enum class Kind {
    kCreate,
    kWrite,
    kTruncate,
    kAllocate,
    kSync,
    kSyncFailed,
    kRename,
    kRemove,
    kMakeDir,
    kSyncDir
  };
  Kind kind;
  std::uint64_t file = 0;
  std::uint64_t offset = 0;  // size for kTruncate and kAllocate
  std::string bytes;         // or the path
  std::string to;
};

/// What a crash leaves of the changes that were not synced.
enum class Loss {
  kDropAll,
  kKeepAll,
  kTear,     ///< each unit of each write on its own: kept, dropped, or garbage with all that was
             ///< in it; names: a prefix
  kReorder,  ///< any subset of the writes and of the changes of names
};

/// The image after the first `count` operations and a crash, starting from `start`.
DiskImage Materialise(const DiskImage& start, const std::vector<DiskOp>& ops, std::size_t count,
                      Loss loss, Random& random);

/// A disk in memory that records every change. Each operation takes some virtual time.
class TestDisk final : public runtime::Disk {
 public:
  TestDisk(runtime::Executor& executor, DiskImage image);

  const DiskImage& start() const { return start_; }
  const std::vector<DiskOp>& ops() const { return ops_; }
  /// What is seen now, synced or not.
  DiskImage Seen() const;
  /// The named file's bytes, to damage. Requires: it exists.
  std::string& Content(const std::string& path);

  // Faults.
  int sync_fails_in = -1;  ///< that many syncs succeed first; the one after fails, once
  bool no_space_to_allocate = false;
  std::int64_t write_bytes_left = INT64_MAX;  ///< then kDiskFull

  runtime::Task<Result<std::unique_ptr<runtime::File>>> Open(std::string path, Mode mode) override;
  runtime::Task<Status> Rename(std::string from, std::string to) override;
  runtime::Task<Status> Remove(std::string path) override;
  runtime::Task<Status> MakeDir(std::string path) override;
  runtime::Task<Status> SyncDir(std::string path) override;
  runtime::Task<Result<std::vector<std::string>>> List(std::string path) override;
  runtime::Task<Result<bool>> Exists(std::string path) override;
  runtime::Task<Result<runtime::DiskSpace>> Space(std::string path) override;
  runtime::Task<Result<std::uint32_t>> WriteUnit(std::string path) override;
  runtime::Task<Result<std::unique_ptr<runtime::File>>> Lock(std::string path) override;

 private:
  friend class TestFile;
  struct Inode {
    std::uint64_t id;
    std::string bytes;
  };
  std::shared_ptr<Inode> Create(const std::string& path, std::string bytes);
  Status SyncNow(std::uint64_t file);

  runtime::Executor& executor_;
  DiskImage start_;
  std::map<std::string, std::shared_ptr<Inode>> files_;
  std::set<std::string> dirs_;
  std::uint64_t next_id_ = 1;
  std::vector<DiskOp> ops_;
};

}  // namespace coterie::storage::testing
