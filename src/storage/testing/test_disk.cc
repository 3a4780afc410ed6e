#include "storage/testing/test_disk.h"

#include <utility>

#include "base/assert.h"
#include "storage/durable_dir.h"

namespace coterie::storage::testing {

using runtime::File;
using runtime::Task;
using Kind = DiskOp::Kind;

namespace {
constexpr Duration kLatency = 100us;

bool Inside(const std::string& path, const std::string& dir) {
  return path.size() > dir.size() && path.starts_with(dir) &&
         (dir == "/" || path[dir.size()] == '/');
}
}  // namespace

TestDisk::TestDisk(runtime::Executor& executor, DiskImage image)
    : executor_(executor), start_(std::move(image)), dirs_(start_.dirs) {
  // Ids by the order of names: Materialise numbers the files of the start image in the same way.
  for (const auto& [path, bytes] : start_.files)
    files_[path] = std::make_shared<Inode>(next_id_++, bytes);
}

DiskImage TestDisk::Seen() const {
  DiskImage image{.dirs = dirs_};
  for (const auto& [path, inode] : files_) image.files[path] = inode->bytes;
  return image;
}

std::string& TestDisk::Content(const std::string& path) {
  const auto found = files_.find(path);
  COT_ASSERT(found != files_.end());
  return found->second->bytes;
}

class TestFile final : public File {
 public:
  TestFile(TestDisk& disk, std::shared_ptr<TestDisk::Inode> inode)
      : disk_(disk), inode_(std::move(inode)) {}

  Task<Result<std::string>> Read(std::uint64_t offset, std::size_t size) override {
    if (offset >= inode_->bytes.size()) co_return std::string();
    co_return inode_->bytes.substr(offset, size);
  }
  Task<Status> Write(std::uint64_t offset, std::string data) override {
    co_await runtime::Sleep(disk_.executor_, kLatency);
    co_return WriteNow(offset, data);
  }
  Task<Status> Sync() override {
    co_await runtime::Sleep(disk_.executor_, kLatency);
    co_return disk_.SyncNow(inode_->id);
  }
  Task<Status> WriteAndSync(std::uint64_t offset, std::string data) override {
    co_await runtime::Sleep(disk_.executor_, kLatency);
    COT_CO_TRY(WriteNow(offset, data));
    co_await runtime::Sleep(disk_.executor_, kLatency);
    co_return disk_.SyncNow(inode_->id);
  }
  Task<Status> Truncate(std::uint64_t size) override {
    disk_.ops_.push_back({Kind::kTruncate, inode_->id, size, {}, {}});
    inode_->bytes.resize(size);
    co_return Ok();
  }
  Task<Status> Preallocate(std::uint64_t size) override {
    co_await runtime::Sleep(disk_.executor_, kLatency);
    if (disk_.no_space_to_allocate) co_return Fail(ErrorCode::kDiskFull, "allocate");
    disk_.ops_.push_back({Kind::kAllocate, inode_->id, size, {}, {}});
    if (inode_->bytes.size() < size) inode_->bytes.resize(size);
    co_return Ok();
  }
  Task<Result<std::uint64_t>> Size() override { co_return inode_->bytes.size(); }

 private:
  Status WriteNow(std::uint64_t offset, const std::string& data) {
    disk_.write_bytes_left -= static_cast<std::int64_t>(data.size());
    if (disk_.write_bytes_left < 0) return FailUnknown(ErrorCode::kDiskFull, "write");
    disk_.ops_.push_back({Kind::kWrite, inode_->id, offset, data, {}});
    if (inode_->bytes.size() < offset + data.size()) inode_->bytes.resize(offset + data.size());
    inode_->bytes.replace(offset, data.size(), data);
    return Ok();
  }

  TestDisk& disk_;
  std::shared_ptr<TestDisk::Inode> inode_;
};

Status TestDisk::SyncNow(std::uint64_t file) {
  if (sync_fails_in >= 0 && sync_fails_in-- == 0) {
    ops_.push_back({Kind::kSyncFailed, file, 0, {}, {}});
    return FailUnknown(ErrorCode::kSyncFailed, "sync");
  }
  ops_.push_back({Kind::kSync, file, 0, {}, {}});
  return Ok();
}

std::shared_ptr<TestDisk::Inode> TestDisk::Create(const std::string& path, std::string bytes) {
  auto inode = std::make_shared<Inode>(next_id_++, std::move(bytes));
  files_[path] = inode;
  ops_.push_back({Kind::kCreate, inode->id, 0, path, {}});
  return inode;
}

Task<Result<std::unique_ptr<File>>> TestDisk::Open(std::string path, Mode mode) {
  const auto found = files_.find(path);
  if (found != files_.end()) {
    if (mode == Mode::kCreate) co_return Fail(ErrorCode::kIo, path + " exists");
    co_return std::make_unique<TestFile>(*this, found->second);
  }
  if (mode == Mode::kOpenExisting) co_return Fail(ErrorCode::kNotFound, path);
  if (!dirs_.contains(ParentOf(path))) co_return Fail(ErrorCode::kNotFound, ParentOf(path));
  co_return std::make_unique<TestFile>(*this, Create(path, {}));
}

Task<Status> TestDisk::Rename(std::string from, std::string to) {
  co_await runtime::Sleep(executor_, kLatency);
  const auto found = files_.find(from);
  if (found == files_.end()) co_return Fail(ErrorCode::kNotFound, from);
  files_[to] = found->second;
  files_.erase(from);
  ops_.push_back({Kind::kRename, 0, 0, from, to});
  co_return Ok();
}

Task<Status> TestDisk::Remove(std::string path) {
  std::erase_if(files_, [&](const auto& f) { return f.first == path || Inside(f.first, path); });
  std::erase_if(dirs_, [&](const auto& d) { return d == path || Inside(d, path); });
  ops_.push_back({Kind::kRemove, 0, 0, path, {}});
  co_return Ok();
}

Task<Status> TestDisk::MakeDir(std::string path) {
  for (std::string at = path; at != "/" && at != "."; at = ParentOf(at)) {
    if (!dirs_.insert(at).second) break;
    ops_.push_back({Kind::kMakeDir, 0, 0, at, {}});
  }
  co_return Ok();
}

Task<Status> TestDisk::SyncDir(std::string path) {
  co_await runtime::Sleep(executor_, kLatency);
  ops_.push_back({Kind::kSyncDir, 0, 0, path, {}});
  co_return Ok();
}

Task<Result<std::vector<std::string>>> TestDisk::List(std::string path) {
  if (!dirs_.contains(path)) co_return Fail(ErrorCode::kNotFound, path);
  std::set<std::string> names;
  for (const auto& [name, inode] : files_) {
    if (ParentOf(name) == path) names.insert(name.substr(path.size() + 1));
  }
  for (const auto& name : dirs_) {
    if (ParentOf(name) == path) names.insert(name.substr(path.size() + 1));
  }
  co_return std::vector<std::string>(names.begin(), names.end());
}

Task<Result<bool>> TestDisk::Exists(std::string path) {
  co_return files_.contains(path) || dirs_.contains(path);
}
Task<Result<runtime::DiskSpace>> TestDisk::Space(std::string) {
  co_return runtime::DiskSpace{.free = std::uint64_t{1} << 40, .total = std::uint64_t{1} << 40};
}

Task<Result<std::uint32_t>> TestDisk::WriteUnit(std::string) { co_return start_.write_unit; }
Task<Result<std::unique_ptr<File>>> TestDisk::Lock(std::string path) {
  auto file = co_await Open(path, Mode::kOpenOrCreate);
  co_return file;
}

}  // namespace coterie::storage::testing
