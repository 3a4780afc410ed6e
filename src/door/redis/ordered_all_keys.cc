// What concerns a raft keyspace as a whole: KEYS, DBSIZE, and its history.
#include <algorithm>
#include <utility>

#include "door/redis/ordered_raft.h"
#include "door/redis/text.h"
#include "model/kv/command_codec.h"

namespace coterie::door::redis::ordered {
namespace {

using runtime::Task;

constexpr std::size_t kRecordsPerStep = 1000;
/// How often it begins anew when its revision was compacted meanwhile.
constexpr int kScansMax = 3;

std::string Encoded(const Error& error, int protocol) {
  std::string out;
  Reply(out, protocol).Error(error);
  return out;
}

}  // namespace

Task<Status> RaftJobs::VisitAll(
    KeyRange range, kv::Revision revision, Instant deadline,
    std::function<void(std::string_view record, std::string_view value)> visit) {
  kv::Store::VisitProgress progress{.revision = revision, .next = {}};
  while (!progress.done) {
    if (world_.Now() >= deadline) co_return Fail(ErrorCode::kTimedOut, "reading all keys");
    node::KvKeyspace* keyspace = keyspace_();
    if (keyspace == nullptr) {
      co_return Fail(ErrorCode::kNotReplica, "the keyspace has no replica here");
    }
    COT_CO_TRY(keyspace->store().VisitSome(
        range.begin, range.end, progress, kRecordsPerStep,
        [&](std::string_view record, std::string_view value, kv::Revision) {
          visit(record, value);
          return true;
        }));
    if (!progress.done) co_await runtime::Yield(world_.executor());
  }
  co_return Ok();
}

// Looking for an expired key removes it, through the log: only then it may be said to be gone.
Task<std::set<std::string, std::less<>>> RaftJobs::Gone(std::vector<std::string> keys,
                                                        Instant deadline) {
  std::vector<Job> jobs;
  for (const std::string& key : keys) {
    Job job{.deadline = deadline};
    job.commands.push_back({&RowOf(CommandId::kExists), {"EXISTS", key}});
    jobs.push_back(std::move(job));
  }
  const std::vector<std::string> replies = co_await ReadInOrder(std::move(jobs));
  std::set<std::string, std::less<>> gone;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (replies[i].starts_with(":0")) gone.insert(std::move(keys[i]));
  }
  co_return gone;
}

Task<Status> RaftJobs::FindAll(kv::Revision revision, int protocol, Instant deadline,
                               AllFound* found) {
  std::set<std::string, std::less<>> gone;
  if (found->pattern) {
    const std::int64_t now_ms = WallMilliseconds(world_);
    std::vector<std::string> expired;
    COT_CO_TRY(co_await VisitAll(Expiries(), revision, deadline, [&](auto record, auto value) {
      const auto expiry = DecodeExpiry(value);
      if (!expiry || static_cast<std::int64_t>(expiry->at_ms) > now_ms) return;
      std::string key = KeyOfExpiry(record);
      if (GlobMatch(*found->pattern, key)) expired.push_back(std::move(key));
    }));
    if (!expired.empty()) gone = co_await Gone(std::move(expired), deadline);
  }
  const auto add = [&](std::string_view key) {
    if (found->pattern && (!GlobMatch(*found->pattern, key) || gone.contains(key))) return;
    ++found->count;
    if (found->pattern) Reply(found->encoded, protocol).Bulk(key);
  };
  for (const KeyRange& range : {EscapedStrings(), PlainStrings()}) {
    COT_CO_TRY(co_await VisitAll(range, revision, deadline, [&](auto record, auto) {
      const auto key = KeyOfString(record);
      if (key) add(*key);
    }));
  }
  COT_CO_TRY(co_await VisitAll(Headers(), revision, deadline,
                               [&](auto record, auto) { add(KeyOfHeader(record)); }));
  co_return Ok();
}

Task<std::string> RaftJobs::AllKeys(std::optional<std::string> pattern, int protocol,
                                    Instant deadline) {
  for (int scans = 1;; ++scans) {
    node::KvKeyspace* keyspace = keyspace_();
    const Error absent{ErrorCode::kNotReplica, Outcome::kNotApplied,
                       "the keyspace has no replica here"};
    if (keyspace == nullptr) co_return Encoded(absent, protocol);
    const Status passed = co_await keyspace->replica().ReadBarrier(deadline);
    if (!passed) co_return Encoded(passed.error(), protocol);
    keyspace = keyspace_();
    if (keyspace == nullptr) co_return Encoded(absent, protocol);
    AllFound found{.pattern = pattern};
    const kv::Revision revision = keyspace->store().revision();
    const Status visited = co_await FindAll(revision, protocol, deadline, &found);
    if (!visited && visited.error().code == ErrorCode::kCompacted && scans < kScansMax) continue;
    if (!visited) co_return Encoded(visited.error(), protocol);
    std::string out;
    if (pattern) {
      Reply(out, protocol).Array(found.count);
      out += found.encoded;
    } else {
      Reply(out, protocol).Integer(static_cast<std::int64_t>(found.count));
    }
    co_return out;
  }
}

Task<void> RaftJobs::CompactHistory() {
  node::KvKeyspace* keyspace = keyspace_();
  if (keyspace == nullptr) co_return;
  const kv::Store& store = keyspace->store();
  const auto at = history_.Decide(world_.Now(), store.revision(), store.compact_revision());
  if (!at) co_return;
  etcdserverpb::CompactionRequest request;
  request.set_revision(*at);
  // Refused or lost: another node was faster, or the next round sees to it.
  auto answer = co_await keyspace->replica().Propose(
      kv::EncodeCompaction(request.SerializeAsString()), world_.Now() + Duration(5s));
  static_cast<void>(answer);
}

}  // namespace coterie::door::redis::ordered
