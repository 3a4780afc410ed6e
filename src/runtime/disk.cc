#include "runtime/disk.h"

namespace coterie::runtime {

Task<Result<std::string>> ReadFile(Disk& disk, std::string path, std::size_t size_max) {
  COT_CO_ASSIGN(auto file, co_await disk.Open(path, Disk::Mode::kOpenExisting));
  COT_CO_ASSIGN(const std::uint64_t size, co_await file->Size());
  if (size > size_max) co_return Fail(ErrorCode::kTooLarge, path);
  auto content = co_await file->Read(0, size);
  co_return content;
}

Task<Status> ReplaceFile(Disk& disk, std::string path, std::string content) {
  const std::string temporary = path + ".tmp";
  COT_CO_TRY(co_await disk.Remove(temporary));
  COT_CO_ASSIGN(auto file, co_await disk.Open(temporary, Disk::Mode::kCreate));
  COT_CO_TRY(co_await file->WriteAndSync(0, std::move(content)));
  file.reset();
  COT_CO_TRY(co_await disk.Rename(temporary, path));
  const std::size_t slash = path.rfind('/');
  auto synced = co_await disk.SyncDir(slash == std::string::npos ? "." : path.substr(0, slash));
  co_return synced;
}

}  // namespace coterie::runtime
