#pragma once

#include <string>

#include "base/status.h"
#include "runtime/disk.h"
#include "runtime/task.h"

namespace coterie::storage {

/// The directory that holds `path`: "a/b" -> "a", "a" -> ".", "/a" -> "/".
std::string ParentOf(const std::string& path);

/// Creates `path` and its missing parents so that their names survive a crash: a synced file in a
/// directory whose own name was never synced is lost with it. Errors: kIo, kDiskFull.
runtime::Task<Status> MakeDirDurable(runtime::Disk& disk, std::string path);

}  // namespace coterie::storage
