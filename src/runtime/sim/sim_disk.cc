#include "runtime/sim/sim_disk.h"

namespace coterie::runtime {

/// An open file of one incarnation. Frames of operations under way hold the inode, not the File.
class SimFile final : public File {
 public:
  SimFile(SimDisk& disk, DiskImage::InodePtr inode, std::string path, bool locked)
      : disk_(disk), inode_(std::move(inode)), path_(std::move(path)), locked_(locked) {
    ++disk_.open_files_;
  }
  ~SimFile() override {
    --disk_.open_files_;
    if (locked_) disk_.locks_.erase(path_);
  }
  Task<Result<std::string>> Read(std::uint64_t offset, std::size_t size) override {
    return DoRead(&disk_, inode_, offset, size);
  }
  Task<Status> Write(std::uint64_t offset, std::string data) override {
    return DoWrite(&disk_, inode_, path_, offset, std::move(data), false);
  }
  Task<Status> Sync() override { return DoSync(&disk_, inode_, path_); }
  Task<Status> WriteAndSync(std::uint64_t offset, std::string data) override {
    return DoWrite(&disk_, inode_, path_, offset, std::move(data), true);
  }
  Task<Status> Truncate(std::uint64_t size) override {
    return DoResize(&disk_, inode_, size, true);
  }
  Task<Status> Preallocate(std::uint64_t size) override {
    return DoResize(&disk_, inode_, size, false);
  }
  Task<Result<std::uint64_t>> Size() override { co_return inode_->size(); }

 private:
  static Task<Result<std::string>> DoRead(SimDisk* disk, DiskImage::InodePtr inode,
                                          std::uint64_t offset, std::size_t size);
  static Task<Status> DoWrite(SimDisk* disk, DiskImage::InodePtr inode, std::string path,
                              std::uint64_t offset, std::string data, bool sync);
  static Task<Status> DoSync(SimDisk* disk, DiskImage::InodePtr inode, std::string path);
  static Task<Status> DoResize(SimDisk* disk, DiskImage::InodePtr inode, std::uint64_t size,
                               bool shrink);

  SimDisk& disk_;
  DiskImage::InodePtr inode_;
  std::string path_;
  bool locked_;
};

Duration SimDisk::Draw(Duration low, Duration high) {
  Random& random = image_.random();
  Duration delay(random.Between(low.count(), high.count()));
  if (image_.knobs.slow > 0 && random.Chance(image_.knobs.slow)) {
    delay += Duration(random.Between(0, image_.knobs.slow_max.count()));
  }
  return delay;
}

void SimDisk::Note(EventKind kind, std::uint64_t a, std::uint64_t b) {
  Scheduler& scheduler = executor_.scheduler();
  scheduler.trace().Note(scheduler.now(), executor_.node(), kind, a, b);
}

Status SimDisk::CheckSpace(const SimInode& inode, std::uint64_t end) {
  if (image_.knobs.capacity_bytes >= DiskKnobs().capacity_bytes) return Ok();
  const std::uint64_t growth = end > inode.size() ? end - inode.size() : 0;
  if (image_.UsedBytes() + growth <= image_.knobs.capacity_bytes) return Ok();
  return FailUnknown(ErrorCode::kDiskFull, "no space left on the simulated disk");
}

Status SimDisk::FinishSync(SimInode& inode, const std::string& path) {
  if (image_.DrawSyncFailure()) {
    Note(EventKind::kDiskFault, 1);
    inode.LoseUnsynced();
    return FailUnknown(ErrorCode::kSyncFailed, path + ": fdatasync failed");
  }
  Note(EventKind::kSync, inode.size());
  inode.Sync();
  return Ok();
}

Task<Result<std::string>> SimFile::DoRead(SimDisk* disk, DiskImage::InodePtr inode,
                                          std::uint64_t offset, std::size_t size) {
  co_await disk->Delay();
  Random& random = disk->image_.random();
  if (disk->image_.knobs.bit_rot > 0 && random.Chance(disk->image_.knobs.bit_rot) &&
      offset < inode->size() && size > 0) {
    const std::uint64_t span = std::min<std::uint64_t>(size, inode->size() - offset);
    const std::uint64_t at = offset + random.Below(span);
    inode->FlipBit(at, static_cast<int>(random.Below(8)));
    disk->Note(EventKind::kDiskFault, 2, at);
  }
  std::string data = inode->Read(offset, size);
  disk->Note(EventKind::kRead, offset, data.size());
  co_return data;
}

Task<Status> SimFile::DoWrite(SimDisk* disk, DiskImage::InodePtr inode, std::string path,
                              std::uint64_t offset, std::string data, bool sync) {
  COT_CO_TRY(disk->CheckSpace(*inode, offset + data.size()));
  Random& random = disk->image_.random();
  const double misdirected = disk->image_.knobs.misdirected_write;
  const std::uint64_t unit = disk->image_.knobs.write_unit;
  if (misdirected > 0 && inode->size() >= unit && random.Chance(misdirected)) {
    offset = random.Below(inode->size() / unit) * unit;
    disk->Note(EventKind::kDiskFault, 3, offset);
  }
  inode->Write(offset, data);
  disk->Note(EventKind::kWrite, offset, data.size());
  co_await disk->Delay();
  if (!sync) co_return Ok();
  co_await disk->SyncDelay();
  co_return disk->FinishSync(*inode, path);
}

Task<Status> SimFile::DoSync(SimDisk* disk, DiskImage::InodePtr inode, std::string path) {
  co_await disk->SyncDelay();
  co_return disk->FinishSync(*inode, path);
}

Task<Status> SimFile::DoResize(SimDisk* disk, DiskImage::InodePtr inode, std::uint64_t size,
                               bool shrink) {
  co_await disk->Delay();
  COT_CO_TRY(disk->CheckSpace(*inode, size));
  disk->Note(EventKind::kWrite, size);
  if (shrink) {
    inode->Truncate(size);
  } else {
    inode->Extend(size);
  }
  co_return Ok();
}

Task<Result<std::unique_ptr<File>>> SimDisk::Open(std::string path, Mode mode) {
  path = DiskImage::Normalize(path);
  co_await Delay();
  Note(EventKind::kName, 1, path.size());
  if (image_.IsDir(path)) co_return Fail(ErrorCode::kIo, path + " is a directory");
  const DiskImage::InodePtr* found = image_.Find(path);
  if (found != nullptr && mode == Mode::kCreate) co_return Fail(ErrorCode::kIo, path + " exists");
  if (found == nullptr && mode == Mode::kOpenExisting) co_return Fail(ErrorCode::kNotFound, path);
  DiskImage::InodePtr inode;
  if (found != nullptr) {
    inode = *found;
  } else {
    COT_CO_ASSIGN(inode, image_.Create(path));
  }
  co_return std::make_unique<SimFile>(*this, std::move(inode), std::move(path), false);
}

Task<Status> SimDisk::Rename(std::string from, std::string to) {
  co_await Delay();
  Note(EventKind::kName, 2, from.size());
  co_return image_.Rename(DiskImage::Normalize(from), DiskImage::Normalize(to));
}

Task<Status> SimDisk::Remove(std::string path) {
  co_await Delay();
  Note(EventKind::kName, 3, path.size());
  image_.Remove(DiskImage::Normalize(path));
  co_return Ok();
}

Task<Status> SimDisk::MakeDir(std::string path) {
  co_await Delay();
  Note(EventKind::kName, 4, path.size());
  co_return image_.MakeDir(DiskImage::Normalize(path));
}

Task<Status> SimDisk::SyncDir(std::string path) {
  co_await SyncDelay();
  Note(EventKind::kName, 5, path.size());
  if (image_.DrawSyncFailure()) {
    Note(EventKind::kDiskFault, 1);
    co_return FailUnknown(ErrorCode::kSyncFailed, path + ": fsync failed");
  }
  co_return image_.SyncDir(DiskImage::Normalize(path));
}

Task<Result<std::vector<std::string>>> SimDisk::List(std::string path) {
  co_await Delay();
  co_return image_.List(DiskImage::Normalize(path));
}

Task<Result<bool>> SimDisk::Exists(std::string path) {
  co_await Delay();
  path = DiskImage::Normalize(path);
  co_return image_.IsDir(path) || image_.Find(path) != nullptr;
}

Task<Result<DiskSpace>> SimDisk::Space(std::string) {
  co_await Delay();
  const std::uint64_t used = image_.UsedBytes();
  const std::uint64_t capacity = image_.knobs.capacity_bytes;
  co_return DiskSpace{.free = capacity > used ? capacity - used : 0, .total = capacity};
}

Task<Result<std::uint32_t>> SimDisk::WriteUnit(std::string) {
  co_await Delay();
  co_return image_.knobs.write_unit;
}

Task<Result<std::unique_ptr<File>>> SimDisk::Lock(std::string path) {
  path = DiskImage::Normalize(path);
  co_await Delay();
  if (locks_.contains(path)) co_return Fail(ErrorCode::kDataDirInUse, path);
  const DiskImage::InodePtr* found = image_.Find(path);
  DiskImage::InodePtr inode;
  if (found != nullptr) {
    inode = *found;
  } else {
    COT_CO_ASSIGN(inode, image_.Create(path));
  }
  locks_.insert(path);
  co_return std::make_unique<SimFile>(*this, std::move(inode), std::move(path), true);
}

}  // namespace coterie::runtime
