#pragma once

#include <set>
#include <string>

#include "runtime/disk.h"
#include "runtime/sim/disk_image.h"
#include "runtime/sim/scheduler.h"

namespace coterie::runtime {

/// One incarnation's view of its machine's DiskImage: every operation takes simulated time, and the
/// image's knobs decide which fail.
class SimDisk final : public Disk {
 public:
  SimDisk(DiskImage& image, SimExecutor& executor) : image_(image), executor_(executor) {}
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

  std::int64_t open_files() const { return open_files_; }

 private:
  friend class SimFile;
  /// How long the next operation takes.
  SleepUntil Delay() {
    return Sleep(executor_, Draw(image_.knobs.operation_min, image_.knobs.operation_max));
  }
  SleepUntil SyncDelay() {
    return Sleep(executor_, Draw(image_.knobs.sync_min, image_.knobs.sync_max));
  }
  Duration Draw(Duration low, Duration high);
  void Note(EventKind kind, std::uint64_t a = 0, std::uint64_t b = 0);
  Status CheckSpace(const SimInode& inode, std::uint64_t end);
  Status FinishSync(SimInode& inode, const std::string& path);

  DiskImage& image_;
  SimExecutor& executor_;
  std::set<std::string> locks_;
  std::int64_t open_files_ = 0;
};

}  // namespace coterie::runtime
