#pragma once

#include "runtime/disk.h"
#include "runtime/real/offload_pool.h"

namespace coterie::runtime {

/// The machine's file system. Everything that may wait for a device runs on the pool; a read that
/// the page cache can answer and a small write run at once.
class RealDisk final : public Disk {
 public:
  explicit RealDisk(OffloadPool& pool) : pool_(pool) {}
  Task<Result<std::unique_ptr<File>>> Open(std::string path, Mode mode) override;
  Task<Status> Rename(std::string from, std::string to) override;
  Task<Status> Remove(std::string path) override;
  Task<Status> MakeDir(std::string path) override;
  Task<Status> SyncDir(std::string path) override;
  Task<Result<std::vector<std::string>>> List(std::string path) override;
  Task<Result<bool>> Exists(std::string path) override;
  Task<Result<std::uint64_t>> FreeBytes(std::string path) override;
  Task<Result<std::unique_ptr<File>>> Lock(std::string path) override;

 private:
  OffloadPool& pool_;
};

}  // namespace coterie::runtime
