#pragma once

#include "check/history.h"
#include "check/verdict.h"

namespace coterie::check {

/// The fast judge of a store whose answers carry revisions (etcd's header.revision and
/// mod_revision), about O(n log n), for histories too long for a search:
///  - acknowledged writes have revisions of their own;
///  - revisions respect real time: a write invoked after an answer that showed r has one above r,
///  and a
///    read's header is not below r;
///  - a read at header revision r sees exactly the newest write <= r of each key it asked for, and
///    comparisons were decided accordingly; serializable reads too, at whatever r they show;
///  - what was seen was written by somebody: an acknowledged write, or one of unknown outcome that
///  can
///    have had that revision;
///  - version and create_revision count the puts, where every writer of the key is known.
/// It believes the server's stamps and so accepts a server that orders everything consistently;
/// compare with CheckLinearizable without stamps, which believes nothing.
///
/// kUnknown: the record is impossible (Validate), or an answer has no revision.
Verdict CheckRevisionOrder(const History& history);

}  // namespace coterie::check
