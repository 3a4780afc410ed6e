#pragma once

// For this room's tests: a disk that holds nothing and keeps nothing, so that the in-memory engine
// opens empty and at once in any World.

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "runtime/scope.h"
#include "runtime/world.h"
#include "storage/engine.h"

namespace coterie::door::etcd {

class EmptyDisk final : public runtime::Disk {
  template <class T>
  using Task = runtime::Task<T>;
  using FilePtr = std::unique_ptr<runtime::File>;

 public:
  Task<Result<FilePtr>> Open(std::string path, Mode) override {
    co_return Fail(ErrorCode::kNotFound, path);
  }
  Task<Status> Rename(std::string, std::string) override { co_return Ok(); }
  Task<Status> Remove(std::string) override { co_return Ok(); }
  Task<Status> MakeDir(std::string) override { co_return Ok(); }
  Task<Status> SyncDir(std::string) override { co_return Ok(); }
  Task<Result<std::vector<std::string>>> List(std::string) override {
    co_return std::vector<std::string>();
  }
  Task<Result<bool>> Exists(std::string) override { co_return false; }
  Task<Result<runtime::DiskSpace>> Space(std::string) override { co_return runtime::DiskSpace{}; }
  Task<Result<std::uint32_t>> WriteUnit(std::string) override { co_return kWriteUnitMin; }
  Task<Result<FilePtr>> Lock(std::string path) override {
    co_return Fail(ErrorCode::kNotFound, path);
  }
};

/// Another World with an empty disk.
class DisklessWorld final : public runtime::World {
 public:
  explicit DisklessWorld(runtime::World& world) : world_(world) {}
  runtime::Executor& executor() override { return world_.executor(); }
  WallInterval WallNow() override { return world_.WallNow(); }
  Random& random() override { return world_.random(); }
  runtime::Network& network() override { return world_.network(); }
  runtime::Disk& disk() override { return disk_; }
  Logger& log() override { return world_.log(); }
  runtime::Task<void> Offload(std::function<void()> work) override {
    return world_.Offload(std::move(work));
  }
  void Crash(std::string_view reason) override { world_.Crash(reason); }

 private:
  runtime::World& world_;
  EmptyDisk disk_;
};

inline runtime::Task<void> OpenInto(runtime::World* world, std::unique_ptr<storage::Engine>* into) {
  auto opened = co_await storage::MemoryEngineFactory()(*world, "engine");
  COT_ASSERT(opened.has_value());
  *into = std::move(*opened);
}

/// An empty engine in memory. `world` must outlive it.
inline std::unique_ptr<storage::Engine> NewMemoryEngine(DisklessWorld& world) {
  std::unique_ptr<storage::Engine> engine;
  runtime::Scope scope;
  scope.Spawn(OpenInto(&world, &engine));
  COT_ASSERT(engine != nullptr);
  return engine;
}

}  // namespace coterie::door::etcd
