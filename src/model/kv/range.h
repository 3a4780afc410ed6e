#pragma once

#include "etcd/rpc.pb.h"
#include "model/kv/history.h"
#include "model/kv/layout.h"

namespace coterie::kv {

/// Whether `asked` (<= 0: now) can be read. Errors: kFutureRevision, kCompacted, each with the bound.
Status CheckRevision(Revision asked, Revision current, Revision compacted);

/// Answers `request`, whose revision was checked, with the store at `current`; sets header.revision.
Result<etcdserverpb::RangeResponse> EvaluateRange(History& history,
                                                  const etcdserverpb::RangeRequest& request,
                                                  Revision current);

/// Fills `out` with a version as clients see it.
void SetKeyValue(const VersionView& version, mvccpb::KeyValue& out);

}  // namespace coterie::kv
