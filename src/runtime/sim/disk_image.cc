#include "runtime/sim/disk_image.h"

#include <algorithm>

#include "base/assert.h"

namespace coterie::runtime {

std::string DiskImage::Normalize(std::string_view path) {
  std::string out;
  if (path.starts_with('/')) out = "/";
  while (!path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    const std::string_view part = path.substr(0, slash);
    path.remove_prefix(std::min(slash + 1, path.size()));
    if (part.empty() || part == ".") continue;
    if (!out.empty() && out != "/") out += '/';
    out += part;
  }
  return out.empty() ? "." : out;
}

std::string DiskImage::ParentOf(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

const DiskImage::InodePtr* DiskImage::Find(const std::string& path) const {
  const auto found = now_.find(path);
  return found == now_.end() ? nullptr : &found->second;
}

bool DiskImage::IsDir(const std::string& path) const {
  if (path == "." || path == "/") return true;
  const InodePtr* found = Find(path);
  return found != nullptr && *found == nullptr;
}

void DiskImage::Apply(const Change& change, Names& names) {
  if (change.is_removal) {
    names.erase(change.to);
    const std::string prefix = change.to + "/";
    auto at = names.lower_bound(prefix);
    while (at != names.end() && at->first.starts_with(prefix)) at = names.erase(at);
    return;
  }
  if (change.from.empty()) {
    names[change.to] = change.inode;
    return;
  }
  // A rename is one transaction of the file system's journal: both names change or neither.
  Names moved;
  const std::string prefix = change.from + "/";
  for (auto at = names.lower_bound(change.from); at != names.end();) {
    if (at->first == change.from || at->first.starts_with(prefix)) {
      moved.emplace(change.to + at->first.substr(change.from.size()), at->second);
      at = names.erase(at);
    } else if (at->first > prefix) {
      break;
    } else {
      ++at;
    }
  }
  for (auto& [path, inode] : moved) names[path] = inode;
}

void DiskImage::Note(Change change) {
  Apply(change, now_);
  journal_.push_back(std::move(change));
}

Result<DiskImage::InodePtr> DiskImage::Create(const std::string& path) {
  if (!IsDir(ParentOf(path))) return Fail(ErrorCode::kNotFound, path);
  COT_ASSERT(Find(path) == nullptr);
  auto inode = std::make_shared<SimInode>();
  Note({"", path, inode});
  return inode;
}

Status DiskImage::Rename(const std::string& from, const std::string& to) {
  if (Find(from) == nullptr || !IsDir(ParentOf(to))) return Fail(ErrorCode::kNotFound, from);
  if (from != to) Note({from, to, nullptr});
  return Ok();
}

void DiskImage::Remove(const std::string& path) {
  if (Find(path) == nullptr) return;
  Note({"", path, nullptr, true});
}

Status DiskImage::MakeDir(const std::string& path) {
  if (IsDir(path)) return Ok();
  if (Find(path) != nullptr) return Fail(ErrorCode::kIo, path + " is a file");
  COT_TRY(MakeDir(ParentOf(path)));
  Note({"", path, nullptr});
  return Ok();
}

Status DiskImage::SyncDir(const std::string& path) {
  if (!IsDir(path)) return Fail(ErrorCode::kNotFound, path);
  std::vector<Change> rest;
  for (Change& change : journal_) {
    if (ParentOf(change.to) == path || (!change.from.empty() && ParentOf(change.from) == path)) {
      Apply(change, durable_);
    } else {
      rest.push_back(std::move(change));
    }
  }
  journal_ = std::move(rest);
  return Ok();
}

Result<std::vector<std::string>> DiskImage::List(const std::string& path) const {
  if (!IsDir(path)) return Fail(ErrorCode::kNotFound, path);
  std::vector<std::string> names;
  for (const auto& [name, inode] : now_) {
    if (ParentOf(name) == path) names.push_back(name.substr(name.rfind('/') + 1));
  }
  std::ranges::sort(names);
  return names;
}

std::uint64_t DiskImage::UsedBytes() const {
  std::uint64_t bytes = 0;
  for (const auto& [name, inode] : now_) bytes += inode == nullptr ? 0 : inode->allocated();
  return bytes;
}

void DiskImage::Crash() {
  // Each change of names had its own chance to reach the disk; one that builds on a lost one is
  // lost too.
  for (const Change& change : journal_) {
    if (random_.Chance(0.5)) continue;
    if (!change.from.empty() && !durable_.contains(change.from)) continue;
    Apply(change, durable_);
  }
  journal_.clear();
  now_.clear();
  for (const auto& [path, inode] : durable_) {
    if (IsDir(ParentOf(path))) now_.emplace(path, inode);  // parents sort before their children
  }
  durable_ = now_;
  for (const auto& [path, inode] : now_) {
    if (inode != nullptr) inode->Crash(random_, knobs.write_unit);
  }
}

void DiskImage::Wipe() {
  now_.clear();
  durable_.clear();
  journal_.clear();
}

bool DiskImage::DrawSyncFailure() {
  if (std::exchange(fail_next_sync_, false)) return true;
  return knobs.sync_failure > 0 && random_.Chance(knobs.sync_failure);
}

bool DiskImage::FlipBit(const std::string& path, std::uint64_t offset, int bit) {
  const InodePtr* inode = Find(Normalize(path));
  if (inode == nullptr || *inode == nullptr || offset >= (*inode)->size()) return false;
  (*inode)->FlipBit(offset, bit);
  return true;
}

}  // namespace coterie::runtime
