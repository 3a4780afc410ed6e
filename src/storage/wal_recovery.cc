#include "storage/wal_recovery.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "storage/wal_format.h"
#include "storage/wal_mutant.h"
#include "storage/wal_replay.h"
#include "storage/wal_segment_reader.h"

namespace coterie::storage::wal {

using runtime::Task;

namespace {

struct Found {
  std::uint64_t segment = 0;
  bool started = false;      // has a valid first frame
  std::uint64_t first = 0;   // that frame's number
  std::uint64_t oldest = 0;  // and what it says of the oldest segment needed
};

class Recovery {
 public:
  Recovery(runtime::World& world, Segments& segments) : world_(world), segments_(segments) {}
  Task<Result<Recovered>> Run(std::uint64_t new_log_id);

 private:
  Task<Status> ReadFirstFrames();
  Status ChooseSegments();
  Task<Status> CheckUnstarted(std::uint64_t segment);
  Task<Status> ReplaySegment(std::size_t at);
  Status ApplyPending(std::uint64_t as_segment);
  Result<Recovered> GoOn();
  std::unexpected<Error> Corrupt(std::uint64_t segment, std::uint64_t offset,
                                 std::string_view what) const {
    return Fail(ErrorCode::kCorruptLog,
                fmt::format("{} at offset {}: {}", segments_.PathOf(segment), offset, what));
  }

  runtime::World& world_;
  Segments& segments_;
  std::vector<Found> found_;
  std::vector<std::uint64_t>
      unstarted_;  // after the last one with frames: made ready but not begun
  std::optional<std::uint64_t> log_id_;
  Replay replay_;
  std::uint64_t next_number_ = 0;
  // The newest frame read. It is applied when a later one proves that it was durable, or at the
  // end.
  std::optional<FramePlace> pending_;
  std::string pending_body_;
};

Task<Status> Recovery::ReadFirstFrames() {
  COT_CO_ASSIGN(const auto numbers, co_await segments_.List());
  for (const std::uint64_t number : numbers) {
    Found found{.segment = number};
    COT_CO_ASSIGN(auto reader,
                  co_await SegmentReader::Open(world_.disk(), segments_.PathOf(number), number));
    COT_CO_ASSIGN(const auto frame, co_await reader.Read(0, std::nullopt));
    if (frame) {
      std::string_view body = frame->body;
      const auto start = GetRecord(body);
      if (!start || start->type != RecordType::kSegmentStart) {
        co_return Corrupt(number, 0, "the first record is not a segment start");
      }
      found.started = true;
      found.first = frame->header.number;
      found.oldest = start->index.value;
      if (!log_id_) log_id_ = frame->header.place.log_id;
      if (*log_id_ != frame->header.place.log_id)
        co_return Corrupt(number, 0, "a segment of another log");
    }
    found_.push_back(found);
  }
  co_return Ok();
}

/// Leaves in found_ the segments to replay. One without a valid first frame is no damage by itself:
/// that write may have failed, and what it held then begins the next one. Frame numbers tell.
Status Recovery::ChooseSegments() {
  const auto last =
      std::find_if(found_.rbegin(), found_.rend(), [](const Found& f) { return f.started; });
  const bool empty = last == found_.rend();
  const std::uint64_t last_segment = empty ? 0 : last->segment;
  const std::uint64_t oldest = empty ? 1 : last->oldest;
  if (!empty && oldest > last_segment)
    return Corrupt(last_segment, 0, "needs a segment after itself");
  std::erase_if(found_, [oldest](const Found& f) { return f.segment < oldest; });
  std::uint64_t expected = oldest;
  for (const Found& f : found_) {
    if (f.segment != expected) return Corrupt(expected, 0, "the segment is missing");
    if (f.segment > last_segment) unstarted_.push_back(f.segment);
    ++expected;
  }
  if (!empty && !found_.front().started) {
    return Corrupt(oldest, 0, "no valid frame, but a later segment needs it");
  }
  std::erase_if(found_, [](const Found& f) { return !f.started; });
  return Ok();
}

Task<Status> Recovery::CheckUnstarted(std::uint64_t segment) {
  COT_CO_ASSIGN(auto reader,
                co_await SegmentReader::Open(world_.disk(), segments_.PathOf(segment), segment));
  COT_CO_ASSIGN(const auto later, co_await reader.Find(kAlignment, log_id_));
  if (later && !kMutantDamageIsTornTail) {
    co_return Corrupt(segment, 0, fmt::format("damaged, but a later frame is valid at {}", *later));
  }
  co_return Ok();
}

Status Recovery::ApplyPending(std::uint64_t as_segment) {
  if (!pending_) return Ok();
  FramePlace place = *pending_;
  pending_.reset();
  const std::uint64_t segment = place.segment;
  place.segment = as_segment;
  const Status applied = replay_.Apply(pending_body_, place);
  if (applied) return Ok();
  return Fail(applied.error().code, fmt::format("{} at offset {}: {}", segments_.PathOf(segment),
                                                place.offset, applied.error().message));
}

Task<Status> Recovery::ReplaySegment(std::size_t at) {
  const std::uint64_t segment = found_[at].segment;
  const bool newest = at + 1 == found_.size();
  // A later segment that begins with a number this one has too took its place from there on.
  const std::uint64_t end =
      newest ? std::numeric_limits<std::uint64_t>::max() : found_[at + 1].first;
  next_number_ = found_[at].first;
  COT_CO_ASSIGN(auto reader,
                co_await SegmentReader::Open(world_.disk(), segments_.PathOf(segment), segment));
  std::uint64_t offset = 0;
  while (next_number_ < end) {
    COT_CO_ASSIGN(const auto frame, co_await reader.Read(offset, log_id_));
    if (!frame) break;
    if (frame->header.number != next_number_) {
      co_return Corrupt(
          segment, offset,
          fmt::format("frame {} where {} belongs", frame->header.number, next_number_));
    }
    COT_CO_TRY(ApplyPending(pending_ ? pending_->segment : 0));
    pending_ = FramePlace{*log_id_, segment, offset};
    pending_body_ = frame->body;
    ++next_number_;
    offset = AlignUp(offset + kHeaderBytes + frame->body.size(), frame->header.unit);
  }
  if (kMutantDamageIsTornTail) co_return Ok();
  if (!newest) {
    if (next_number_ >= end) co_return Ok();
    co_return Corrupt(segment, offset,
                      fmt::format("frame {} is damaged, but later ones are valid", next_number_));
  }
  // One frame is in flight at a time, so only the very last can be torn.
  COT_CO_ASSIGN(const auto later, co_await reader.Find(AlignUp(offset + 1), log_id_));
  if (!later) co_return Ok();
  co_return Corrupt(
      segment, offset,
      fmt::format("frame {} is damaged, but a later one is valid at {}", next_number_, *later));
}

/// The new segment begins with the newest frame's records once more: after a crash of the process
/// alone that frame may be in the page cache and not on the disk, and even an fsync of the old file
/// would not tell (a failed one before may have marked its pages clean).
Result<Recovered> Recovery::GoOn() {
  Recovered out;
  out.log_id = *log_id_;
  out.segment = found_.empty() ? 1 : found_.back().segment + 1;
  out.number = pending_ ? next_number_ - 1 : 1;
  std::string checkpoint;
  replay_.index().PutCheckpoint(checkpoint);
  std::string_view newest;
  if (pending_) {
    newest = pending_body_;
    if (pending_->offset == 0) COT_TRY(GetRecord(newest));  // its own segment start
  }
  COT_TRY(ApplyPending(out.segment));
  out.oldest = replay_.index().OldestSegment(out.segment);
  out.first_frame.resize(kHeaderBytes);
  PutSegmentStart(out.first_frame, out.oldest);
  out.first_frame += checkpoint;
  out.first_frame += newest;
  COT_ASSIGN(out.shards, replay_.Finish());
  out.index = std::move(replay_.index());
  return out;
}

Task<Result<Recovered>> Recovery::Run(std::uint64_t new_log_id) {
  COT_CO_TRY(co_await ReadFirstFrames());
  COT_CO_TRY(ChooseSegments());
  for (const std::uint64_t segment : unstarted_) COT_CO_TRY(co_await CheckUnstarted(segment));
  if (!log_id_) log_id_ = new_log_id;
  for (std::size_t i = 0; i < found_.size(); ++i) {
    if (i > 0 && found_[i].first < found_[i - 1].first) {
      co_return Corrupt(found_[i].segment, 0, "frame numbers go back");
    }
    COT_CO_TRY(co_await ReplaySegment(i));
  }
  auto result = GoOn();
  co_return result;
}

}  // namespace

Task<Result<Recovered>> Recover(runtime::World& world, Segments* segments,
                                std::uint64_t new_log_id) {
  Recovery recovery(world, *segments);
  auto result = co_await recovery.Run(new_log_id);
  co_return result;
}

}  // namespace coterie::storage::wal
