#pragma once

#include "model/kv/store.h"
#include "node/node.h"

namespace coterie::door::etcd {

/// Sets everything but the revision: which cluster and member answered, in which term.
void CompleteHeader(etcdserverpb::ResponseHeader& header, node::KvKeyspace& keyspace);
/// The same, with the revision.
void FillHeader(etcdserverpb::ResponseHeader& header, node::KvKeyspace& keyspace,
                kv::Revision revision);

}  // namespace coterie::door::etcd
