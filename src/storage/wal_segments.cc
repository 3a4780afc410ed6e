#include "storage/wal_segments.h"

#include <fmt/format.h>

#include <utility>

#include "base/assert.h"
#include "storage/wal_mutant.h"

namespace coterie::storage::wal {

using runtime::Disk;
using runtime::File;
using runtime::Task;

namespace {
constexpr std::string_view kPrefix = "wal-";
constexpr std::string_view kSuffix = ".log";
constexpr std::string_view kRecycledPrefix = "recycled-";
constexpr std::size_t kDigits = 16;
}  // namespace

std::string SegmentName(std::uint64_t number) {
  return fmt::format("{}{:016}{}", kPrefix, number, kSuffix);
}

std::optional<std::uint64_t> ParseSegmentName(std::string_view name) {
  if (name.size() != kPrefix.size() + kDigits + kSuffix.size()) return std::nullopt;
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return std::nullopt;
  std::uint64_t number = 0;
  for (const char c : name.substr(kPrefix.size(), kDigits)) {
    if (c < '0' || c > '9') return std::nullopt;
    number = number * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return number;
}

Segments::Segments(runtime::World& world, std::string dir, std::uint64_t segment_bytes)
    : world_(world),
      dir_(std::move(dir)),
      segment_bytes_(segment_bytes),
      tended_(world.executor()) {}

Task<Result<std::vector<std::uint64_t>>> Segments::List() {
  COT_ASSERT(on_disk_.empty());
  COT_CO_ASSIGN(auto names, co_await world_.disk().List(dir_));
  for (const std::string& name : names) {
    if (const auto number = ParseSegmentName(name)) on_disk_.insert(*number);
    if (!name.starts_with(kRecycledPrefix)) continue;
    const std::string path = dir_ + "/" + name;
    if (recycled_.size() < kRecycledMax) {
      recycled_.push_back(path);
    } else {
      COT_CO_TRY(co_await world_.disk().Remove(path));
    }
  }
  co_return std::vector<std::uint64_t>(on_disk_.begin(), on_disk_.end());
}

Task<Status> Segments::SyncNames() {
  if (kMutantNoDirectorySync) co_return Ok();
  auto synced = co_await world_.disk().SyncDir(dir_);
  co_return synced;
}

Task<Status> Segments::Allocate(File* file) {
  COT_CO_ASSIGN(const std::uint64_t size, co_await file->Size());
  // A reused file may be longer: one frame may be larger than a segment.
  if (size > segment_bytes_) COT_CO_TRY(co_await file->Truncate(segment_bytes_));
  if (size < segment_bytes_) COT_CO_TRY(co_await file->Preallocate(segment_bytes_));
  if (size == segment_bytes_) co_return Ok();
  auto synced = co_await file->Sync();
  co_return synced;
}

Task<Result<std::unique_ptr<File>>> Segments::Start(std::uint64_t number) {
  COT_CO_ASSIGN(auto file, co_await world_.disk().Open(PathOf(number), Disk::Mode::kOpenOrCreate));
  COT_CO_TRY(co_await Allocate(file.get()));
  COT_CO_TRY(co_await SyncNames());  // also for a file found: its name may not have been durable
  on_disk_.insert(number);
  co_return std::move(file);
}

void Segments::Advance(std::uint64_t oldest, std::uint64_t next) {
  COT_ASSERT(!tending_);
  COT_ASSERT(ready_ == nullptr);
  tending_ = true;
  scope_.Spawn(Tend(oldest, next));
}

Task<void> Segments::Tend(std::uint64_t oldest, std::uint64_t next) {
  while (!on_disk_.empty() && *on_disk_.begin() < oldest) {
    const std::uint64_t number = *on_disk_.begin();
    on_disk_.erase(on_disk_.begin());
    co_await Retire(number);
  }
  const Status prepared = co_await Prepare(next);
  if (!prepared) {
    // Not fatal yet: Take tries once more, when the space is needed.
    world_.log().Warn("storage", "cannot make {} ready: {}", PathOf(next),
                      Describe(prepared.error()));
    ready_.reset();
  }
  tending_ = false;
  tended_.NotifyAll();
}

Task<void> Segments::Retire(std::uint64_t number) {
  const std::string from = PathOf(number);
  const std::string to = fmt::format("{}/{}{:016}{}", dir_, kRecycledPrefix, number, kSuffix);
  const bool reuse = recycled_.size() < kRecycledMax;
  Status retired;
  if (reuse) {
    retired = co_await world_.disk().Rename(from, to);
    if (retired) recycled_.push_back(to);
  } else {
    retired = co_await world_.disk().Remove(from);
  }
  if (!retired) {  // harmless: the next Open finds it and tries again
    world_.log().Warn("storage", "cannot retire {}: {}", from, Describe(retired.error()));
  }
}

Task<Status> Segments::Prepare(std::uint64_t number) {
  const std::string path = PathOf(number);
  if (!recycled_.empty()) {
    const std::string from = recycled_.back();
    recycled_.pop_back();
    COT_CO_TRY(co_await world_.disk().Rename(from, path));
  }
  COT_CO_ASSIGN(auto file, co_await world_.disk().Open(path, Disk::Mode::kOpenOrCreate));
  const Status allocated = co_await Allocate(file.get());
  if (!allocated) {
    file.reset();
    COT_CO_TRY(co_await world_.disk().Remove(path));  // what there was of it is space again
    co_return allocated;
  }
  const Status named = co_await SyncNames();
  if (!named) {  // a later sync of the directory might succeed without having made the names
                 // durable
    world_.Crash(fmt::format("write-ahead log {}: {}", dir_, Describe(named.error())));
    co_return named;
  }
  on_disk_.insert(number);
  ready_ = std::move(file);
  co_return Ok();
}

Task<Result<std::unique_ptr<File>>> Segments::Take(std::uint64_t number) {
  while (tending_) co_await tended_.Wait();
  if (ready_ != nullptr) co_return std::move(ready_);
  COT_CO_ASSIGN(auto file, co_await world_.disk().Open(PathOf(number), Disk::Mode::kOpenOrCreate));
  COT_CO_TRY(co_await SyncNames());
  on_disk_.insert(number);
  co_return std::move(file);
}

}  // namespace coterie::storage::wal
