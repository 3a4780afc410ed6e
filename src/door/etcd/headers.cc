#include "door/etcd/headers.h"

#include "base/assert.h"
#include "node/replica.h"

namespace coterie::door::etcd {

void CompleteHeader(etcdserverpb::ResponseHeader& header, node::KvKeyspace& keyspace) {
  const node::ReplicaStatus status = keyspace.replica().status();
  COT_ASSERT(keyspace.cluster_id() != 0);
  COT_ASSERT(status.self != NodeId(0));
  header.set_cluster_id(keyspace.cluster_id());
  header.set_member_id(status.self.value);
  header.set_raft_term(status.term.value);
}

void FillHeader(etcdserverpb::ResponseHeader& header, node::KvKeyspace& keyspace,
                kv::Revision revision) {
  header.set_revision(revision);
  CompleteHeader(header, keyspace);
}

}  // namespace coterie::door::etcd
