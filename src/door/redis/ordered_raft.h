#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "door/redis/command.h"
#include "door/redis/ordered_cursors.h"
#include "door/redis/ordered_objects.h"
#include "node/node.h"
#include "runtime/scope.h"
#include "runtime/sync.h"
#include "runtime/task.h"
#include "runtime/world.h"

namespace coterie::door::redis::ordered {

struct QueuedCommand {
  const Command* command = nullptr;
  OwnedWords words;
};

/// What a WATCH saw of a key.
struct Watched {
  std::string key;
  Objects::Version version;
};

/// One thing to be decided on one state and to happen at once: a command, or those of an EXEC.
struct Job {
  int protocol = 2;
  Instant deadline{};
  std::vector<QueuedCommand> commands;
  bool exec = false;
  std::vector<Watched> watched;  ///< it does not happen unless these are as they were
};

/// Runs jobs on the replica of one raft keyspace.
class RaftJobs {
 public:
  /// How often a job is decided anew before it is refused as contended.
  static constexpr int kTriesMax = 64;
  static constexpr int kTriesBeforeHalf = 4;        ///< then half as many jobs try together
  static constexpr std::size_t kQueueMax = 10'000;  ///< jobs that wait for one key
  // What one transaction of several jobs may be; one of a single job may be more.
  static constexpr std::size_t kTogetherMax = 256;              ///< jobs
  static constexpr std::size_t kTogetherVisitedMax = 2'000;     ///< records looked at
  static constexpr std::size_t kTogetherOperationsMax = 2'000;  ///< and compared or written
  static constexpr std::size_t kTogetherBytesMax = 256u << 10;  ///< written, or answered

  RaftJobs(runtime::World& world, Cursors& cursors, std::function<node::KvKeyspace*()> keyspace)
      : world_(world), cursors_(cursors), keyspace_(std::move(keyspace)) {}

  std::int64_t database = 0;  ///< the keyspace's, as the last command's map has it

  /// The encoded reply. `key` is the one it is likely to change: jobs with the same are run
  /// together.
  runtime::Task<std::string> Change(std::string key, Job job);
  /// The same for the jobs of one connection: they happen in this order, as many as possible at
  /// once, others between them at most.
  runtime::Task<std::vector<std::string>> ChangeInOrder(std::string key, std::vector<Job> jobs);
  /// The same for jobs that are likely not to change anything: none sees an older state than the
  /// one before it.
  runtime::Task<std::vector<std::string>> ReadInOrder(std::vector<Job> jobs);
  /// For a job that is likely not to change anything.
  runtime::Task<std::string> Read(Job job);
  /// WATCH.
  runtime::Task<Result<std::vector<Watched>>> Watch(std::vector<std::string> keys,
                                                    Instant deadline);
  /// One pass over what may have expired, if this node leads, from `after` on; where to go on, ""
  /// at the end.
  runtime::Task<std::string> Sweep(std::string after);

 private:
  struct Waiting {
    Waiting(runtime::Executor& executor, Job j) : job(std::move(j)), reply(executor) {}
    Job job;
    runtime::Slot<std::string> reply;
  };
  using Group = std::vector<std::shared_ptr<Waiting>>;
  struct Queue {
    Group waiting;
  };

  using Jobs = std::vector<const Job*>;
  /// What became of one try.
  struct Happened {
    enum Outcome : std::uint8_t { kYes, kNothingToCompare, kLost, kDropped };
    Outcome outcome = kYes;
    std::vector<std::string> replies;  ///< of the first jobs
  };

  void Enqueue(std::string key, const Group& group);
  runtime::Task<void> Drive(std::string key);
  /// Decides as many of the first of `jobs` as may go together, at least one, until they happened:
  /// as if one had run after the other. Their replies, or why none of them did.
  runtime::Task<Result<std::vector<std::string>>> Decide(Jobs jobs, bool barrier, Instant deadline);
  runtime::Task<Result<Happened>> TryOnce(const Jobs* jobs, std::size_t max, bool fresh,
                                          Instant deadline);
  static std::vector<std::string> ExecuteSome(Objects& objects, const Jobs& jobs, std::size_t max);
  static std::string Execute(Objects& objects, const Job& job);
  runtime::Task<void> Answer(Group group);
  /// A plain SET: happens whatever the key holds, so nothing is read.
  runtime::Task<std::string> SetBlindly(std::string command, std::string reply, int protocol,
                                        Instant deadline);
  std::optional<std::pair<std::string, std::string>> BlindSet(const Job& job);
  View::Surroundings surroundings();

  runtime::World& world_;
  Cursors& cursors_;
  const std::function<node::KvKeyspace*()> keyspace_;
  std::map<std::string, Queue> queues_;
  runtime::Scope scope_;
};

/// Milliseconds since the epoch by this machine's clock. Not `earliest`: on a machine that nobody
/// synchronises that is half an hour ago, and nothing but the moment of expiry depends on it.
std::int64_t WallMilliseconds(runtime::World& world);

}  // namespace coterie::door::redis::ordered
