#include "storage/durable_dir.h"

#include <vector>

#include "base/assert.h"

namespace coterie::storage {

std::string ParentOf(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

runtime::Task<Status> MakeDirDurable(runtime::Disk& disk, std::string path) {
  COT_ASSERT(!path.empty());
  std::vector<std::string> missing;  // deepest first
  std::string at = path;
  while (at != "." && at != "/") {
    COT_CO_ASSIGN(const bool exists, co_await disk.Exists(at));
    if (exists) break;
    missing.push_back(at);
    at = ParentOf(at);
  }
  // The deepest one that exists may be left from a crash between its creation and its sync.
  if (at != "." && at != "/") COT_CO_TRY(co_await disk.SyncDir(ParentOf(at)));
  while (!missing.empty()) {
    COT_CO_TRY(co_await disk.MakeDir(missing.back()));
    COT_CO_TRY(co_await disk.SyncDir(ParentOf(missing.back())));
    missing.pop_back();
  }
  co_return Ok();
}

}  // namespace coterie::storage
