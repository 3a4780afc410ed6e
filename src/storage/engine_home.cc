#include "storage/engine_home.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <utility>

#include "base/assert.h"
#include "base/coding.h"
#include "storage/durable_dir.h"

namespace coterie::storage {

using runtime::Task;

namespace {
constexpr std::string_view kPrefix = "engine-";

std::optional<std::uint64_t> ParseGeneration(std::string_view name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  std::uint64_t generation = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), generation);
  if (error != std::errc() || end != name.data() + name.size() || generation == 0)
    return std::nullopt;
  return generation;
}

/// "engine-<n> <CRC32C of that in hexadecimal>\n": a person can read it.
std::string CurrentText(std::uint64_t generation) {
  const std::string name = fmt::format("{}{}", kPrefix, generation);
  return fmt::format("{} {:08x}\n", name, Crc32c(name));
}
}  // namespace

EngineHome::EngineHome(runtime::World& world, EngineFactory factory, std::string dir)
    : world_(world), factory_(std::move(factory)), dir_(std::move(dir)) {}

std::string EngineHome::PathOf(std::uint64_t generation) const {
  return fmt::format("{}/{}{}", dir_, kPrefix, generation);
}

/// 0: there is none yet.
Task<Result<std::uint64_t>> EngineHome::ReadCurrent() {
  const std::string path = dir_ + "/CURRENT";
  COT_CO_ASSIGN(const bool exists, co_await world_.disk().Exists(path));
  if (!exists) co_return std::uint64_t{0};
  COT_CO_ASSIGN(const auto text, co_await runtime::ReadFile(world_.disk(), path, 4096));
  const auto generation = ParseGeneration(std::string_view(text).substr(0, text.find(' ')));
  if (!generation || text != CurrentText(*generation)) {
    co_return Fail(ErrorCode::kCorruptState, path + " does not match its checksum");
  }
  COT_CO_ASSIGN(const bool there, co_await world_.disk().Exists(PathOf(*generation)));
  if (!there) co_return Fail(ErrorCode::kCorruptState, PathOf(*generation) + " is missing");
  co_return *generation;
}

Task<Status> EngineHome::WriteCurrent(std::uint64_t generation) {
  auto written =
      co_await runtime::ReplaceFile(world_.disk(), dir_ + "/CURRENT", CurrentText(generation));
  if (written) current_ = generation;
  co_return written;
}

Task<Result<std::unique_ptr<Engine>>> EngineHome::OpenCurrent() {
  COT_ASSERT(current_ == 0);
  COT_CO_TRY(co_await MakeDirDurable(world_.disk(), dir_));
  // A process that died between the rename of CURRENT and the sync of its directory left a name
  // that only the page cache shows: whatever rests on it must not outlive it.
  COT_CO_TRY(co_await world_.disk().SyncDir(dir_));
  COT_CO_ASSIGN(current_, co_await ReadCurrent());
  COT_CO_TRY(co_await RemoveOthers());
  const std::uint64_t generation = current_ == 0 ? 1 : current_;
  COT_CO_ASSIGN(auto engine, co_await factory_(world_, PathOf(generation)));
  // Named only when it exists: without CURRENT no generation was ever used.
  if (current_ == 0) COT_CO_TRY(co_await WriteCurrent(generation));
  co_return std::move(engine);
}

Task<Status> EngineHome::RemoveOthers() {
  COT_CO_ASSIGN(const auto names, co_await world_.disk().List(dir_));
  for (const std::string& name : names) {
    const auto generation = ParseGeneration(name);
    if (!generation || *generation == current_) continue;
    COT_CO_TRY(co_await world_.disk().Remove(PathOf(*generation)));
  }
  fresh_ = 0;
  co_return Ok();
}

Task<Result<std::unique_ptr<Engine>>> EngineHome::BeginNew() {
  COT_ASSERT(current_ != 0);
  if (fresh_ != 0) COT_CO_TRY(co_await world_.disk().Remove(PathOf(fresh_)));
  fresh_ = current_ + 1;
  COT_CO_TRY(co_await world_.disk().Remove(PathOf(fresh_)));
  auto engine = co_await factory_(world_, PathOf(fresh_));
  co_return engine;
}

Task<Status> EngineHome::Commit(Engine* fresh) {
  COT_ASSERT(fresh != nullptr);
  COT_ASSERT(fresh_ != 0);
  COT_CO_TRY(co_await fresh->Flush());
  COT_CO_TRY(co_await WriteCurrent(fresh_));
  fresh_ = 0;
  co_return Ok();
}

}  // namespace coterie::storage
