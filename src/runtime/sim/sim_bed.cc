#include "runtime/sim/simulation.h"
#include "runtime/sync.h"
#include "runtime/world_conformance.h"

namespace coterie::runtime {
namespace {

Task<void> Idle(World* world) {
  for (;;) co_await Sleep(world->executor(), 3600s);
}

SimOptions Options() {
  SimOptions options;
  options.seed = 20;
  options.chaos = true;
  options.streams.split = 0.2;
  return options;
}

class SimBed final : public WorldBed {
 public:
  SimBed() : sim_(Options()), node_(sim_.AddNode("node", "10.0.0.1")) {
    sim_.Start(node_, [](World& world) { return Idle(&world); });
    sim_.BlockOn(MakeRoot());
  }
  World& world() override { return sim_.world(node_); }
  void Run(Task<void> test) override { sim_.BlockOn(std::move(test)); }
  std::string host() const override { return "10.0.0.1"; }
  std::string dir() const override { return "/data"; }

 private:
  Task<void> MakeRoot() {
    const Status made = co_await world().disk().MakeDir("/data");
    COT_ASSERT(made.has_value());
  }
  Simulation sim_;
  NodeHandle node_;
};

}  // namespace

std::unique_ptr<WorldBed> MakeWorldBed() { return std::make_unique<SimBed>(); }

}  // namespace coterie::runtime
