#include "storage/wal.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <utility>

#include "base/assert.h"
#include "runtime/scope.h"
#include "runtime/sync.h"
#include "storage/durable_dir.h"
#include "storage/wal_format.h"
#include "storage/wal_index.h"
#include "storage/wal_mutant.h"
#include "storage/wal_recovery.h"
#include "storage/wal_segments.h"

namespace coterie::storage {

using runtime::File;
using runtime::ListNode;
using runtime::Task;
using runtime::World;

namespace {
// A frame that several batches share is not filled beyond this; one batch may be larger.
constexpr std::size_t kSharedFrameBytesMax = 4u << 20;
constexpr std::size_t kJoinedBytesMax = 256u << 10;
}  // namespace

class Wal::Impl {
 public:
  Impl(World& world, std::string dir, WalOptions options)
      : world_(world),
        options_(options),
        dir_(std::move(dir)),
        segments_(world, dir_, options.segment_bytes),
        given_(world.executor()) {}

  Task<Status> Open();
  Task<Status> Append(WalBatch batch);
  void AppendLater(WalBatch batch);
  Task<void> AllDurable(bool hurry);
  std::map<ShardId, WalShard> TakeRecovered() { return std::exchange(recovered_, {}); }
  WalStats stats() const {
    WalStats stats = stats_;
    stats.segments = segment_ - oldest_ + 1;
    stats.later_bytes = later_bytes_;
    return stats;
  }

 private:
  // Lives in the frame of its Append, or in later_; in pending_ until its write begins, then in
  // writing_.
  struct Waiting : ListNode {
    Waiting(runtime::Executor& executor, WalBatch b) : batch(std::move(b)), durable(executor) {}
    WalBatch batch;
    std::uint64_t place = 0;  // in call order
    Instant write_by{};
    std::uint64_t appends = 1;
    std::uint64_t later_bytes = 0;  // 0: somebody waits for it
    bool writing = false;
    runtime::Slot<bool> durable;
  };

  void Give(Waiting& waiting, bool hurry);
  void Hurry();
  Task<void> SomethingDue();
  Task<void> WriteLoop();
  std::uint64_t Gather();
  Task<Status> Roll();
  std::string BuildFrame();
  void AddRecords(WalBatch& batch, std::string& frame);
  Task<Status> WriteFrame(std::string frame);
  void Answer();
  void Fail(std::string_view doing, const Error& error);

  World& world_;
  const WalOptions options_;
  const std::string dir_;
  wal::Segments segments_;
  wal::Index index_;
  std::map<ShardId, WalShard> recovered_;
  std::unique_ptr<File> file_;
  std::uint32_t unit_ = wal::kAlignment;  // the disk's
  std::uint64_t log_id_ = 0;
  std::uint64_t segment_ = 0;
  std::uint64_t oldest_ = 0;
  std::uint64_t offset_ = 0;
  std::uint64_t next_number_ = 1;
  bool failed_ = false;
  WalStats stats_;
  ListNode pending_;
  ListNode writing_;
  std::deque<std::unique_ptr<Waiting>> later_;  // in call order, those that no caller waits for
  std::uint64_t later_bytes_ = 0;
  std::uint64_t last_place_ = 0;
  std::uint64_t due_ = 0;  // what was given up to this place is to be written now
  runtime::Notification given_;
  runtime::Scope scope_;  // last: its tasks use all of the above
};

Task<Status> Wal::Impl::Open() {
  COT_CO_TRY(co_await MakeDirDurable(world_.disk(), dir_));
  COT_CO_ASSIGN(unit_, co_await world_.disk().WriteUnit(dir_));
  if (wal::kMutantFramesShareUnits) unit_ = wal::kAlignment;
  COT_CO_ASSIGN(auto recovered, co_await wal::Recover(world_, &segments_, world_.random().Next()));
  log_id_ = recovered.log_id;
  segment_ = recovered.segment;
  oldest_ = recovered.oldest;
  next_number_ = recovered.number;
  index_ = std::move(recovered.index);
  recovered_ = std::move(recovered.shards);
  COT_CO_ASSIGN(file_, co_await segments_.Start(segment_));
  COT_CO_TRY(co_await WriteFrame(std::move(recovered.first_frame)));
  segments_.Advance(oldest_, segment_ + 1);
  scope_.Spawn(WriteLoop());
  co_return Ok();
}

Task<Status> Wal::Impl::Append(WalBatch batch) {
  if (batch.empty()) co_return Ok();
  if (batch.bytes() > options_.batch_bytes_max) {
    co_return coterie::Fail(ErrorCode::kTooLarge,
                            fmt::format("a batch of {} bytes for the log; the limit is {}",
                                        batch.bytes(), options_.batch_bytes_max));
  }
  Waiting waiting(world_.executor(), std::move(batch));
  Give(waiting, true);
  co_await waiting.durable.Wait();
  co_return Ok();
}

void Wal::Impl::AppendLater(WalBatch batch) {
  if (batch.empty()) return;
  const std::uint64_t bytes = batch.bytes();
  COT_ASSERT(bytes <= options_.batch_bytes_max);
  later_bytes_ += bytes;
  // Neighbours become one: what comes in every turn should cost little more than its bytes.
  Waiting* last = later_.empty() ? nullptr : later_.back().get();
  if (last != nullptr && last->place == last_place_ && !last->writing &&
      last->batch.bytes() + bytes <=
          std::min<std::uint64_t>(kJoinedBytesMax, options_.segment_bytes)) {
    last->batch.Add(std::move(batch));
    last->later_bytes += bytes;
    ++last->appends;
    if (later_bytes_ > options_.later_bytes_max) Hurry();
    return;
  }
  auto waiting = std::make_unique<Waiting>(world_.executor(), std::move(batch));
  waiting->later_bytes = bytes;
  later_.push_back(std::move(waiting));
  Give(*later_.back(), later_bytes_ > options_.later_bytes_max);
}

Task<void> Wal::Impl::AllDurable(bool hurry) {
  if (pending_.front() == nullptr && writing_.front() == nullptr) co_return;
  Waiting waiting(world_.executor(), {});  // nothing to write, but its turn comes in order
  waiting.appends = 0;
  Give(waiting, hurry);
  co_await waiting.durable.Wait();
}

void Wal::Impl::Give(Waiting& waiting, bool hurry) {
  waiting.place = ++last_place_;
  waiting.write_by = world_.Now() + options_.later_interval;
  pending_.PushBack(waiting);
  if (hurry) due_ = last_place_;
  given_.NotifyAll();
}

void Wal::Impl::Hurry() {
  if (due_ == last_place_) return;
  due_ = last_place_;
  given_.NotifyAll();
}

/// Answers when the oldest batch that waits may wait no longer.
Task<void> Wal::Impl::SomethingDue() {
  for (;;) {
    ListNode* oldest = pending_.front();
    if (oldest == nullptr) {
      co_await given_.Wait();
      continue;
    }
    if (static_cast<Waiting*>(oldest)->place <= due_) co_return;
    const bool given = co_await given_.WaitUntil(static_cast<Waiting*>(oldest)->write_by);
    if (!given) due_ = last_place_;
  }
}

Task<void> Wal::Impl::WriteLoop() {
  while (!failed_) {
    co_await SomethingDue();
    const std::uint64_t bytes = Gather();
    if (bytes == 0) {
      Answer();
      continue;
    }
    if (offset_ > 0 && offset_ + wal::AlignUp(bytes, unit_) > options_.segment_bytes) {
      const Status rolled = co_await Roll();
      if (!rolled) co_return Fail("starting a segment", rolled.error());
    }
    // Those who gave the batches may have been destroyed meanwhile.
    if (writing_.front() == nullptr) continue;
    const bool starts = offset_ == 0;
    const Status written = co_await WriteFrame(BuildFrame());
    if (!written) co_return Fail("writing", written.error());
    if (starts) segments_.Advance(oldest_, segment_ + 1);
    Answer();
  }
}

/// Moves the batches of the next frame from pending_ to writing_ and returns their bytes.
std::uint64_t Wal::Impl::Gather() {
  COT_ASSERT(writing_.front() == nullptr);
  std::uint64_t bytes = 0;
  while (ListNode* node = pending_.front()) {
    const std::uint64_t next = static_cast<Waiting*>(node)->batch.bytes();
    if (bytes > 0 &&
        bytes + next > std::min<std::uint64_t>(kSharedFrameBytesMax, options_.segment_bytes))
      break;
    bytes += next;
    node->Unlink();
    static_cast<Waiting*>(node)->writing = true;
    writing_.PushBack(*node);
  }
  return bytes;
}

Task<Status> Wal::Impl::Roll() {
  COT_CO_ASSIGN(file_, co_await segments_.Take(segment_ + 1));
  ++segment_;
  offset_ = 0;
  co_return Ok();
}

std::string Wal::Impl::BuildFrame() {
  std::string frame;
  if (offset_ == 0) {
    frame.resize(wal::kHeaderBytes);
    oldest_ = index_.OldestSegment(segment_);
    wal::PutSegmentStart(frame, oldest_);
    index_.PutCheckpoint(frame);
  }
  // The list is not changed while it is walked: front() is taken out and put back at the end.
  ListNode built;
  while (ListNode* node = writing_.front()) {
    node->Unlink();
    built.PushBack(*node);
    AddRecords(static_cast<Waiting*>(node)->batch, frame);
  }
  while (ListNode* node = built.front()) {
    node->Unlink();
    writing_.PushBack(*node);
  }
  return frame;
}

/// Notes the batch's records in the index, decides what its compactions discard, and moves the
/// bytes out.
void Wal::Impl::AddRecords(WalBatch& batch, std::string& frame) {
  using wal::RecordType;
  if (batch.empty()) return;
  for (const WalBatch::Note& note : batch.notes_) {
    switch (static_cast<RecordType>(note.type)) {
      case RecordType::kEntry:
        COT_ASSERT(index_.Accepts(note.shard, note.index));
        index_.PutEntry(note.shard, note.index, note.term, segment_);
        break;
      case RecordType::kHardState: {
        std::string_view bytes = std::string_view(batch.frame_).substr(note.at);
        const auto record = wal::GetRecord(bytes);
        COT_ASSERT(record.has_value());
        index_.PutHardState(note.shard, record->bytes);
        break;
      }
      case RecordType::kCompaction:
        if (index_.Discards(note.shard, note.index, note.term)) {
          batch.frame_[note.at] = static_cast<char>(RecordType::kReset);
          index_.Reset(note.shard, note.index, note.term);
        } else {
          index_.Compact(note.shard, note.index, note.term);
        }
        break;
      case RecordType::kReset:
        index_.Reset(note.shard, note.index, note.term);
        break;
      default:
        COT_ASSERT(false);
    }
  }
  if (frame.empty()) {
    frame = std::move(batch.frame_);
  } else {
    frame.append(batch.frame_, wal::kHeaderBytes);
  }
}

Task<Status> Wal::Impl::WriteFrame(std::string frame) {
  wal::SealFrame(frame, {log_id_, segment_, offset_}, next_number_, unit_);
  const std::uint64_t bytes = frame.size();
  if (wal::kMutantRetriesFailedSync) {
    std::string copy = frame;
    const Status first = co_await file_->WriteAndSync(offset_, std::move(copy));
    if (!first) COT_CO_TRY(co_await file_->Sync());
  } else {
    COT_CO_TRY(co_await file_->WriteAndSync(offset_, std::move(frame)));
  }
  offset_ += bytes;
  ++next_number_;
  ++stats_.batches;
  stats_.bytes += bytes;
  co_return Ok();
}

void Wal::Impl::Answer() {
  while (ListNode* node = writing_.front()) {
    node->Unlink();
    auto* waiting = static_cast<Waiting*>(node);
    stats_.appends += waiting->appends;
    waiting->durable.Set(true);
    if (waiting->later_bytes == 0) continue;
    COT_ASSERT(later_.front().get() == waiting);
    later_bytes_ -= waiting->later_bytes;
    later_.pop_front();
  }
}

/// Nothing is known of what the failed write left, and retrying an fsync may report success for
/// pages it dropped [Rebello et al., Can Applications Recover from fsync Failures?, ATC'20]. So:
/// stop, recover.
void Wal::Impl::Fail(std::string_view doing, const Error& error) {
  failed_ = true;
  world_.Crash(fmt::format("write-ahead log {}: {} failed: {}", dir_, doing, Describe(error)));
}

Wal::Wal(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Wal::~Wal() = default;

Task<Result<std::unique_ptr<Wal>>> Wal::Open(World& world, std::string dir, WalOptions options) {
  auto impl = std::make_unique<Impl>(world, std::move(dir), options);
  COT_CO_TRY(co_await impl->Open());
  co_return std::unique_ptr<Wal>(new Wal(std::move(impl)));
}

std::map<ShardId, WalShard> Wal::TakeRecovered() { return impl_->TakeRecovered(); }
Task<Status> Wal::Append(WalBatch batch) { return impl_->Append(std::move(batch)); }
void Wal::AppendLater(WalBatch batch) { impl_->AppendLater(std::move(batch)); }
Task<void> Wal::Flush() { return impl_->AllDurable(true); }
Task<void> Wal::Settled() { return impl_->AllDurable(false); }
WalStats Wal::stats() const { return impl_->stats(); }

}  // namespace coterie::storage
