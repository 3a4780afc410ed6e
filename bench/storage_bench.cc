// What storage costs on this machine: puts into RocksDB, and appends to the log with 1 and 64
// writers. Prints one line per measurement. Usage: storage_bench <empty directory>

#include <fmt/core.h>
#include <sys/resource.h>

#include <chrono>
#include <fstream>
#include <string>

#include "runtime/real/real_world.h"
#include "runtime/scope.h"
#include "storage/engine.h"
#include "storage/wal.h"

namespace coterie::storage {
namespace {

using runtime::RealWorld;
using runtime::Scope;
using runtime::Task;

double WallSeconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}
double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + t.tv_usec * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}
long ResidentKib() {
  std::ifstream statm("/proc/self/statm");
  long total = 0;
  long resident = 0;
  statm >> total >> resident;
  return resident * 4;
}

Task<void> BenchRocks(RealWorld* world, std::string dir) {
  constexpr int kKeys = 100'000;
  constexpr int kBatch = 32;
  const long before = ResidentKib();
  auto opened = co_await RocksEngineFactory()(*world, dir + "/rocks");
  if (!opened) co_return fmt::print("{}\n", Describe(opened.error()));
  const std::unique_ptr<Engine> engine = std::move(*opened);
  fmt::print("rocksdb open: {} KiB resident before, {} KiB after\n", before, ResidentKib());
  const double wall = WallSeconds();
  const double cpu = CpuSeconds();
  for (int i = 0; i < kKeys; i += kBatch) {
    Batch batch;
    for (int k = i; k < i + kBatch; ++k)
      batch.Put(fmt::format("key-{:012}", k * 7919 % kKeys), std::string(256, 'v'));
    const Status written = engine->Write(std::move(batch));
    if (!written) co_return fmt::print("{}\n", Describe(written.error()));
  }
  const double written_wall = WallSeconds() - wall;
  const Status flushed = co_await engine->Flush();
  fmt::print(
      "rocksdb put, 100 k x 256 B in batches of 32: {:.2f} us wall, {:.2f} us wall and {:.2f} us "
      "CPU with flush; {}\n",
      written_wall * 1e6 / kKeys, (WallSeconds() - wall) * 1e6 / kKeys,
      (CpuSeconds() - cpu) * 1e6 / kKeys, flushed ? "ok" : Describe(flushed.error()));
  fmt::print("rocksdb after: {} KiB resident\n", ResidentKib());
}

Task<void> AppendMany(Wal* wal, std::uint64_t shard, int count) {
  for (int i = 1; i <= count; ++i) {
    WalBatch batch;
    const LogIndex index(static_cast<std::uint64_t>(i));
    batch.PutEntry(ShardId(shard), index, Term(1), 0, std::string(300, 'p'));
    if (i % 1000 == 0) batch.PutCompaction(ShardId(shard), index, Term(1));
    const Status durable = co_await wal->Append(std::move(batch));
    if (!durable) co_return fmt::print("{}\n", Describe(durable.error()));
  }
}

Task<void> BenchWal(RealWorld* world, std::string dir, int writers, int each) {
  auto opened = co_await Wal::Open(*world, fmt::format("{}/wal{}", dir, writers), {});
  if (!opened) co_return fmt::print("{}\n", Describe(opened.error()));
  const std::unique_ptr<Wal> wal = std::move(*opened);
  const double wall = WallSeconds();
  const double cpu = CpuSeconds();
  Scope scope;
  for (int w = 1; w <= writers; ++w)
    scope.Spawn(AppendMany(wal.get(), static_cast<std::uint64_t>(w), each));
  while (!scope.empty()) co_await runtime::Sleep(world->executor(), 1ms);
  const double seconds = WallSeconds() - wall;
  const double appends = static_cast<double>(writers) * each;
  fmt::print(
      "wal, {} writers x 300 B: {:.0f} appends/s, {:.1f} us CPU each, {} frames of {} appends, {} "
      "segments\n",
      writers, appends / seconds, (CpuSeconds() - cpu) * 1e6 / appends, wal->stats().batches,
      wal->stats().appends, wal->stats().segments);
}

}  // namespace
}  // namespace coterie::storage

int main(int argc, char** argv) {
  using namespace coterie;
  if (argc != 2) {
    fmt::print(stderr, "usage: storage_bench <empty directory>\n");
    return 1;
  }
  auto world = runtime::RealWorld::Create();
  if (!world) {
    fmt::print(stderr, "{}\n", Describe(world.error()));
    return 1;
  }
  runtime::BlockOn(**world, storage::BenchRocks(world->get(), argv[1]));
  runtime::BlockOn(**world, storage::BenchWal(world->get(), argv[1], 1, 3'000));
  runtime::BlockOn(**world, storage::BenchWal(world->get(), argv[1], 64, 3'000));
  return 0;
}
