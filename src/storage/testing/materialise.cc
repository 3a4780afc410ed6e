#include <algorithm>
#include <optional>

#include "base/assert.h"
#include "storage/durable_dir.h"
#include "storage/testing/test_disk.h"

namespace coterie::storage::testing {
namespace {

using Kind = DiskOp::Kind;

/// What is surely on the disk, and the changes that may or may not be.
class CrashedDisk {
 public:
  explicit CrashedDisk(const DiskImage& start) : dirs_(start.dirs), write_unit_(start.write_unit) {
    for (const auto& [path, bytes] : start.files) {
      names_[path] = next_id_;
      files_[next_id_++].bytes = bytes;
    }
  }
  void Apply(const DiskOp& op);
  DiskImage Crash(Loss loss, Random& random);

 private:
  struct File {
    std::string bytes;
    std::vector<const DiskOp*> pending;
  };
  static void ApplyWhole(std::string& bytes, const DiskOp& op);
  void Tear(std::string& bytes, const DiskOp& op, Random& random) const;
  void ApplyName(const DiskOp& op);
  void SyncNames(const std::string& dir);

  std::map<std::uint64_t, File> files_;
  std::map<std::string, std::uint64_t> names_;
  std::set<std::string> dirs_;
  std::uint32_t write_unit_;
  std::vector<const DiskOp*> pending_names_;
  std::uint64_t next_id_ = 1;
};

void CrashedDisk::ApplyWhole(std::string& bytes, const DiskOp& op) {
  switch (op.kind) {
    case Kind::kWrite:
      if (bytes.size() < op.offset + op.bytes.size()) bytes.resize(op.offset + op.bytes.size());
      bytes.replace(op.offset, op.bytes.size(), op.bytes);
      break;
    case Kind::kTruncate:
      bytes.resize(op.offset);
      break;
    case Kind::kAllocate:
      bytes.resize(std::max<std::size_t>(bytes.size(), op.offset));
      break;
    default:
      COT_ASSERT(false);
  }
}

void CrashedDisk::Tear(std::string& bytes, const DiskOp& op, Random& random) const {
  if (op.kind != Kind::kWrite) {
    if (random.Chance(0.5)) ApplyWhole(bytes, op);
    return;
  }
  const std::size_t end = op.offset + op.bytes.size();
  for (std::size_t at = op.offset; at < end;) {
    const std::size_t unit = at / write_unit_ * write_unit_;
    const std::size_t stop = std::min<std::size_t>(end, unit + write_unit_);
    const auto fate = random.Below(5);
    if (fate <= 2) {
      if (bytes.size() < stop) bytes.resize(stop);
      bytes.replace(at, stop - at, op.bytes, at - op.offset, stop - at);
    }
    if (fate == 0) {
      const std::size_t lost = std::min<std::size_t>(bytes.size(), unit + write_unit_);
      for (std::size_t i = unit; i < lost; ++i) bytes[i] = static_cast<char>(random.Next());
    }
    at = stop;
  }
}

void CrashedDisk::ApplyName(const DiskOp& op) {
  switch (op.kind) {
    case Kind::kCreate:
      names_[op.bytes] = op.file;
      break;
    case Kind::kMakeDir:
      dirs_.insert(op.bytes);
      break;
    case Kind::kRemove:
      std::erase_if(names_, [&](const auto& n) {
        return n.first == op.bytes || n.first.starts_with(op.bytes + "/");
      });
      std::erase_if(dirs_,
                    [&](const auto& d) { return d == op.bytes || d.starts_with(op.bytes + "/"); });
      break;
    case Kind::kRename: {
      const auto from = names_.find(op.bytes);
      if (from == names_.end()) return;  // its creation was lost
      names_[op.to] = from->second;
      names_.erase(op.bytes);
      break;
    }
    default:
      COT_ASSERT(false);
  }
}

void CrashedDisk::SyncNames(const std::string& dir) {
  std::erase_if(pending_names_, [&](const DiskOp* op) {
    if (ParentOf(op->bytes) != dir) return false;
    ApplyName(*op);
    return true;
  });
}

void CrashedDisk::Apply(const DiskOp& op) {
  switch (op.kind) {
    case Kind::kWrite:
    case Kind::kTruncate:
    case Kind::kAllocate:
      files_[op.file].pending.push_back(&op);
      break;
    case Kind::kSync:
      for (const DiskOp* pending : files_[op.file].pending)
        ApplyWhole(files_[op.file].bytes, *pending);
      files_[op.file].pending.clear();
      break;
    case Kind::kSyncFailed:
      files_[op.file].pending.clear();
      break;  // pages marked clean, never written
    case Kind::kSyncDir:
      SyncNames(op.bytes);
      break;
    case Kind::kCreate:
    case Kind::kRename:
    case Kind::kRemove:
    case Kind::kMakeDir:
      pending_names_.push_back(&op);
      break;
  }
}

DiskImage CrashedDisk::Crash(Loss loss, Random& random) {
  for (auto& [id, file] : files_) {
    for (const DiskOp* op : file.pending) {
      switch (loss) {
        case Loss::kDropAll:
          break;
        case Loss::kKeepAll:
          ApplyWhole(file.bytes, *op);
          break;
        case Loss::kTear:
          Tear(file.bytes, *op, random);
          break;
        case Loss::kReorder:
          if (random.Chance(0.5)) ApplyWhole(file.bytes, *op);
          break;
      }
    }
  }
  const std::size_t prefix = random.Below(pending_names_.size() + 1);
  for (std::size_t i = 0; i < pending_names_.size(); ++i) {
    const bool kept = loss == Loss::kKeepAll || (loss == Loss::kTear && i < prefix) ||
                      (loss == Loss::kReorder && random.Chance(0.5));
    if (kept) ApplyName(*pending_names_[i]);
  }
  DiskImage image{.files = {}, .dirs = dirs_, .write_unit = write_unit_};
  for (const auto& [path, id] : names_) {
    if (dirs_.contains(ParentOf(path))) image.files[path] = files_[id].bytes;
  }
  return image;
}

}  // namespace

DiskImage Materialise(const DiskImage& start, const std::vector<DiskOp>& ops, std::size_t count,
                      Loss loss, Random& random) {
  COT_ASSERT(count <= ops.size());
  CrashedDisk disk(start);
  for (std::size_t i = 0; i < count; ++i) disk.Apply(ops[i]);
  return disk.Crash(loss, random);
}

}  // namespace coterie::storage::testing
