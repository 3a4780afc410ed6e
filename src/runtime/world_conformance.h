#pragma once

#include <memory>
#include <string>

#include "runtime/world.h"

namespace coterie::runtime {

/// One World under test. The suite in world_conformance_test.cc is linked once with each
/// implementation's MakeWorldBed.
class WorldBed {
 public:
  virtual ~WorldBed() = default;
  virtual World& world() = 0;
  /// Runs `test` to its end. `test` may use the World from its first line on.
  virtual void Run(Task<void> test) = 0;
  virtual std::string host() const = 0;
  /// An existing directory that is empty.
  virtual std::string dir() const = 0;
};

std::unique_ptr<WorldBed> MakeWorldBed();

}  // namespace coterie::runtime
