#include <stdlib.h>

#include <filesystem>

#include "runtime/real/real_world.h"
#include "runtime/world_conformance.h"

namespace coterie::runtime {
namespace {

class RealBed final : public WorldBed {
 public:
  RealBed() {
    auto world = RealWorld::Create();
    COT_ASSERT(world.has_value());
    world_ = std::move(*world);
    std::string name = (std::filesystem::temp_directory_path() / "coterie-world-XXXXXX").string();
    COT_ASSERT(::mkdtemp(name.data()) != nullptr);
    dir_ = name;
  }
  ~RealBed() override {
    world_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(dir_, ignored);
  }
  World& world() override { return *world_; }
  void Run(Task<void> test) override { BlockOn(*world_, std::move(test)); }
  std::string host() const override { return "127.0.0.1"; }
  std::string dir() const override { return dir_; }

 private:
  std::unique_ptr<RealWorld> world_;
  std::string dir_;
};

}  // namespace

std::unique_ptr<WorldBed> MakeWorldBed() { return std::make_unique<RealBed>(); }

}  // namespace coterie::runtime
