#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "cli/latency_histogram.h"
#include "runtime/network.h"
#include "runtime/task.h"
#include "runtime/world.h"

namespace coterie::cli {

/// A closed-loop load on anything that speaks etcd v3.
struct LoadSpec {
  enum class Op { kPut, kRange };
  std::vector<runtime::Address> endpoints;
  Op op = Op::kPut;
  bool leader_only = false;  ///< all connections to the node that leads
  int connections = 16;      ///< spread over the endpoints in turn
  int inflight = 256;        ///< calls under way at once, over all connections
  Duration warmup = 1s;      ///< at the start, not counted
  Duration duration = 10s;
  std::uint64_t keys = 100'000;  ///< uniform random among so many
  bool loaded = false;           ///< the keys are there: ranges need not write them first
  std::size_t key_bytes = 32;
  std::size_t value_bytes = 256;
  Duration call_timeout = 10s;
  std::function<void()> at_begin;  ///< called when the measured time begins and ends; may be empty
  std::function<void()> at_end;
};

struct LoadResult {
  std::uint64_t calls = 0;  ///< that ended well within the measured time
  std::uint64_t errors = 0;
  std::map<std::string, std::uint64_t> errors_by_reason;
  std::uint64_t reconnects = 0;
  Duration measured{};
  LatencyHistogram latency;  ///< of the calls that ended well
  std::vector<runtime::Address> used;
};

/// Runs it. Ranges are linearizable reads of one key; all keys are written first, unless `loaded`.
/// Errors: kInvalidArgument, kConnectFailed (an endpoint does not answer at the start), kNoLeader
/// (with leader_only).
runtime::Task<Result<LoadResult>> RunEtcdLoad(runtime::World* world, LoadSpec spec);

/// Key number `number`, of exactly `bytes` bytes: "bench/000…042", or digits alone when that is too
/// long.
std::string LoadKey(std::uint64_t number, std::size_t bytes);

}  // namespace coterie::cli
