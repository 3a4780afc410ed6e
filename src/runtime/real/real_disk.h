#pragma once

#include <atomic>
#include <memory>

#include "runtime/disk.h"
#include "runtime/real/offload_pool.h"
#include "runtime/real/reactor.h"

namespace coterie::runtime {

/// The machine's file system. Everything that may wait for a device runs on the pool; a read that
/// the page cache can answer and a small write run at once; so does a small sync when the device
/// has been quick of late and the reactor has nothing else to do, since the pool costs two
/// wake-ups.
class RealDisk final : public Disk {
 public:
  /// A device that takes longer has its syncs made on the pool.
  static constexpr Duration kInlineSyncMax = 500us;
  RealDisk(Reactor& reactor, OffloadPool& pool) : reactor_(reactor), pool_(pool) {}
  Task<Result<std::unique_ptr<File>>> Open(std::string path, Mode mode) override;
  Task<Status> Rename(std::string from, std::string to) override;
  Task<Status> Remove(std::string path) override;
  Task<Status> MakeDir(std::string path) override;
  Task<Status> SyncDir(std::string path) override;
  Task<Result<std::vector<std::string>>> List(std::string path) override;
  Task<Result<bool>> Exists(std::string path) override;
  Task<Result<DiskSpace>> Space(std::string path) override;
  Task<Result<std::uint32_t>> WriteUnit(std::string path) override;
  Task<Result<std::unique_ptr<File>>> Lock(std::string path) override;

 private:
  Reactor& reactor_;
  OffloadPool& pool_;
  /// How long syncs have taken of late, ns; operations on the pool note it, too.
  const std::shared_ptr<std::atomic<std::int64_t>> sync_ns_ =
      std::make_shared<std::atomic<std::int64_t>>(kInlineSyncMax.count());
};

}  // namespace coterie::runtime
