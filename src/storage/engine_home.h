#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "runtime/task.h"
#include "runtime/world.h"
#include "storage/engine.h"

namespace coterie::storage {

/// The generations of one Engine: `<dir>/engine-<n>/`, of which `<dir>/CURRENT` names the one in
/// use. A snapshot is built in the next generation while the current one serves, and takes its
/// place in one durable step; a crash before that step leaves the old one, after it the new one.
class EngineHome {
 public:
  EngineHome(runtime::World& world, EngineFactory factory, std::string dir);

  /// Opens the current generation; the first time, creates it. Removes what crashes left behind.
  /// Call first. Errors: kCorruptState (CURRENT is damaged or names nothing), and the Engine's own.
  runtime::Task<Result<std::unique_ptr<Engine>>> OpenCurrent();
  /// An empty Engine in the next generation. A generation begun before and not committed is
  /// removed: its Engine must be gone. Requires: OpenCurrent succeeded.
  runtime::Task<Result<std::unique_ptr<Engine>>> BeginNew();
  /// Flushes `fresh`, the Engine that BeginNew answered, and makes it the current generation.
  runtime::Task<Status> Commit(Engine* fresh);
  /// Removes all generations but the current one. Their Engines must be gone.
  runtime::Task<Status> RemoveOthers();

  std::uint64_t current() const { return current_; }

 private:
  std::string PathOf(std::uint64_t generation) const;
  runtime::Task<Result<std::uint64_t>> ReadCurrent();
  runtime::Task<Status> WriteCurrent(std::uint64_t generation);

  runtime::World& world_;
  const EngineFactory factory_;
  const std::string dir_;
  std::uint64_t current_ = 0;
  std::uint64_t fresh_ = 0;  // begun and not committed; 0: none
};

}  // namespace coterie::storage
