// etcd's semantics, one claim a test: revisions and ranges. Where etcd's texts are
// silent, etcd 3.4.23 was asked.
#include <gtest/gtest.h>

#include <limits>

#include "model/kv/test_support.h"

namespace coterie::kv {
namespace {

using etcdserverpb::RangeRequest;
using etcdserverpb::TxnRequest;
using testing::AddDelete;
using testing::AddPut;
using testing::AddRange;
using testing::Drain;
using testing::kAll;
using testing::Keys;
using testing::Kv;

// ---- revisions

// A fresh store is at revision 1 and the first put returns 2.
TEST(Revisions, FreshStoreIsAtOne) {
  Kv kv;
  EXPECT_EQ(kv.store.revision(), 1);
  EXPECT_EQ(kv.Range("a")->header().revision(), 1);
  EXPECT_EQ(kv.Put("a", "1"), 2);
}

// All operations of a txn share one revision, in sub-order.
TEST(Revisions, TxnMakesOneRevision) {
  Kv kv;
  auto watcher = kv.Watch(kAll, kAll);
  TxnRequest txn;
  AddPut(txn.mutable_success(), "b", "1");
  AddPut(txn.mutable_success(), "a", "2");
  EXPECT_EQ(kv.Txn(txn)->header().revision(), 2);
  EXPECT_EQ(kv.Get("a").mod_revision(), 2);
  EXPECT_EQ(kv.Get("b").mod_revision(), 2);
  EXPECT_EQ(Drain(*watcher), "PUT b=1@2 PUT a=2@2");
}

// What changes nothing makes no revision.
TEST(Revisions, NoChangeNoRevision) {
  Kv kv;
  kv.Put("a", "1");
  TxnRequest reading;
  AddRange(reading.mutable_success(), "a");
  EXPECT_EQ(kv.Txn(reading)->header().revision(), 2);
  TxnRequest deleting;
  AddDelete(deleting.mutable_success(), "missing");
  EXPECT_EQ(kv.Txn(deleting)->header().revision(), 2);
  EXPECT_EQ(kv.Delete("missing")->header().revision(), 2);
  EXPECT_EQ(kv.Grant(7, 10)->header().revision(), 2);
  EXPECT_EQ(kv.Revoke(7)->header().revision(), 2);
  EXPECT_EQ(kv.Compact(2)->header().revision(), 2);
  EXPECT_EQ(kv.Txn(TxnRequest())->header().revision(), 2);
  EXPECT_EQ(kv.store.revision(), 2);
}

// Revoking a lease with n keys is one revision and n deletions in key order.
TEST(Revisions, LeaseRevokeIsOneRevision) {
  Kv kv;
  kv.Grant(7, 10);
  kv.Put("b", "1", 7);
  kv.Put("a", "2", 7);
  kv.Put("c", "3");
  auto watcher = kv.Watch(kAll, kAll);
  EXPECT_EQ(kv.Revoke(7)->header().revision(), 5);
  EXPECT_EQ(Drain(*watcher), "DEL a@5 DEL b@5");
  EXPECT_EQ(Keys(*kv.Range(kAll, kAll)), "c ");
}

// version counts puts since creation; create_revision is the revision of the (re)creation.
TEST(Revisions, VersionAndCreateRevision) {
  Kv kv;
  kv.Put("a", "1");
  kv.Put("a", "2");
  EXPECT_EQ(kv.Get("a").version(), 2);
  EXPECT_EQ(kv.Get("a").create_revision(), 2);
  kv.Delete("a");
  EXPECT_EQ(kv.Get("a").version(), 0);
  kv.Put("a", "3");
  EXPECT_EQ(kv.Get("a").version(), 1);
  EXPECT_EQ(kv.Get("a").create_revision(), 5);
  EXPECT_EQ(kv.Get("a").mod_revision(), 5);
}

// A deletion's event has the key and the deletion's revision only; prev_kv is what stood one
// revision before, and never comes with a creation.
TEST(Revisions, DeleteEventAndPrevKv) {
  Kv kv;
  auto watcher = kv.Watch("a", {}, 0, true);
  kv.Put("a", "1");
  kv.Put("a", "2");
  kv.Delete("a");
  kv.Put("a", "3");
  auto events = watcher->Poll(1 << 20)->events;
  ASSERT_EQ(events.size(), 4u);
  EXPECT_FALSE(events[0].has_prev_kv());
  EXPECT_EQ(events[1].prev_kv().value(), "1");
  EXPECT_EQ(events[1].prev_kv().mod_revision(), 2);
  mvccpb::KeyValue deletion;
  deletion.set_key("a");
  deletion.set_mod_revision(4);
  EXPECT_EQ(events[2].kv().SerializeAsString(), deletion.SerializeAsString());
  EXPECT_EQ(events[2].prev_kv().value(), "2");
  EXPECT_FALSE(events[3].has_prev_kv());
}

// prev_kv is absent when the revision before is compacted.
TEST(Revisions, PrevKvAbsentWhenCompacted) {
  for (const bool purge : {false, true}) {
    Kv kv;
    kv.Put("a", "1");
    kv.Put("a", "2");
    kv.Put("a", "3");
    kv.Compact(3);
    if (purge) kv.PurgeAll();
    EXPECT_EQ(Drain(*kv.Watch("a", {}, 3, true)), "PUT a=2@3 PUT a=3@4[2]");
  }
}

// A Range's header has the store's revision at the read, whatever revision was asked for.
TEST(Revisions, HeaderIsTheStoresRevision) {
  Kv kv;
  kv.Put("a", "1");
  kv.Put("a", "2");
  const auto response = kv.Range("a", {}, 2);
  EXPECT_EQ(response->header().revision(), 3);
  EXPECT_EQ(response->kvs(0).value(), "1");
}

// Inside a txn: puts carry its revision, reads and empty deletions the revision they saw, and a
// nested txn an empty header.
TEST(Revisions, NestedHeaders) {
  Kv kv;
  kv.Put("a", "1");
  TxnRequest txn;
  AddRange(txn.mutable_success(), "a");
  AddDelete(txn.mutable_success(), "missing");
  AddPut(txn.mutable_success(), "a", "2");
  AddRange(txn.mutable_success(), "a");
  AddDelete(txn.mutable_success(), "missing");
  AddPut(txn.mutable_success()->Add()->mutable_request_txn()->mutable_success(), "b", "1");
  const auto response = kv.Txn(txn);
  ASSERT_EQ(response->responses_size(), 6);
  EXPECT_EQ(response->responses(0).response_range().header().revision(), 2);
  EXPECT_EQ(response->responses(1).response_delete_range().header().revision(), 2);
  EXPECT_EQ(response->responses(2).response_put().header().revision(), 3);
  EXPECT_EQ(response->responses(3).response_range().header().revision(), 3);
  EXPECT_EQ(response->responses(4).response_delete_range().header().revision(), 3);
  EXPECT_TRUE(response->responses(5).response_txn().has_header());
  EXPECT_EQ(response->responses(5).response_txn().header().revision(), 0);
}

// ---- ranges

// range_end: empty is one key, "\0" everything from the key on, "\0".."\0" all.
TEST(Ranges, RangeEnd) {
  Kv kv;
  for (const auto* key : {"a", "aa", "ab", "b", "\xff"}) kv.Put(key, "v");
  kv.Put(std::string("a\0", 2), "zero");
  EXPECT_EQ(Keys(*kv.Range("a")), "a ");
  EXPECT_EQ(kv.Range("a", "b")->count(), 4);
  EXPECT_EQ(kv.Range("a", "b")->kvs(1).key(), std::string("a\0", 2));
  EXPECT_EQ(Keys(*kv.Range("ab", kAll)), "ab b \xff ");
  EXPECT_EQ(kv.Range(kAll, kAll)->count(), 6);
  EXPECT_EQ(kv.Range("b", "a")->count(), 0);
  EXPECT_EQ(kv.Delete("b", "a")->deleted(), 0);
}

// An empty key is refused everywhere but in a watch.
TEST(Ranges, EmptyKey) {
  EXPECT_EQ(Store::Validate(RangeRequest()).error().code, ErrorCode::kEmptyKey);
  EXPECT_EQ(Store::Validate(etcdserverpb::PutRequest()).error().code, ErrorCode::kEmptyKey);
  EXPECT_EQ(Store::Validate(etcdserverpb::DeleteRangeRequest()).error().code, ErrorCode::kEmptyKey);
  TxnRequest txn;
  txn.add_compare();
  EXPECT_EQ(Store::Validate(txn, 128).error().code, ErrorCode::kEmptyKey);
  Kv kv;
  EXPECT_EQ(kv.Put(etcdserverpb::PutRequest()).error().code, ErrorCode::kEmptyKey);
  EXPECT_EQ(kv.Delete("").error().code, ErrorCode::kEmptyKey);
  auto one = kv.Watch("");
  auto all = kv.Watch("", kAll);
  kv.Put(kAll, "zero");
  kv.Put("a", "1");
  EXPECT_EQ(Drain(*one), "PUT " + kAll + "=zero@2");
  EXPECT_EQ(Drain(*all), "PUT " + kAll + "=zero@2 PUT a=1@3");
}

// Any target sorts; without an order a target other than the key sorts ascending.
TEST(Ranges, Sort) {
  Kv kv;
  kv.Put("a", "3");
  kv.Put("b", "2");
  kv.Put("c", "1");
  kv.Put("b", "2");
  const auto sorted = [&](RangeRequest::SortTarget target, RangeRequest::SortOrder order) {
    RangeRequest request;
    request.set_key("a");
    request.set_range_end("z");
    request.set_sort_target(target);
    request.set_sort_order(order);
    return Keys(*kv.store.Range(request));
  };
  EXPECT_EQ(sorted(RangeRequest::KEY, RangeRequest::NONE), "a b c ");
  EXPECT_EQ(sorted(RangeRequest::KEY, RangeRequest::DESCEND), "c b a ");
  EXPECT_EQ(sorted(RangeRequest::VALUE, RangeRequest::NONE), "c b a ");
  EXPECT_EQ(sorted(RangeRequest::VALUE, RangeRequest::DESCEND), "a b c ");
  EXPECT_EQ(sorted(RangeRequest::MOD, RangeRequest::ASCEND), "a c b ");
  EXPECT_EQ(sorted(RangeRequest::CREATE, RangeRequest::DESCEND), "c b a ");
  EXPECT_EQ(sorted(RangeRequest::VERSION, RangeRequest::DESCEND), "b a c ");
}

// Limit: `more` says that it cut something, `count` ignores it.
TEST(Ranges, LimitMoreCount) {
  Kv kv;
  for (const auto* key : {"a", "b", "c"}) kv.Put(key, "v");
  const auto cut = kv.Range("a", "z", 0, 2);
  EXPECT_EQ(Keys(*cut), "a b ");
  EXPECT_TRUE(cut->more());
  EXPECT_EQ(cut->count(), 3);
  const auto whole = kv.Range("a", "z", 0, 3);
  EXPECT_FALSE(whole->more());
  EXPECT_EQ(whole->count(), 3);
  EXPECT_EQ(kv.Range("a", "z", 0, std::numeric_limits<std::int64_t>::max())->kvs_size(), 3);
}

// The limit comes after sort and filter. But a bare sort target (order NONE) sorts only what the
// limit and one key more let through: etcd 3.4.23 answers s2 here, not s4.
TEST(Ranges, LimitAfterSortAndFilter) {
  Kv kv;
  for (int i = 1; i <= 4; ++i) kv.Put("s" + std::to_string(i), std::to_string(9 - i));
  RangeRequest request;
  request.set_key("s");
  request.set_range_end("t");
  request.set_limit(1);
  request.set_sort_target(RangeRequest::VALUE);
  EXPECT_EQ(Keys(*kv.store.Range(request)), "s2 ");
  request.set_sort_order(RangeRequest::ASCEND);
  EXPECT_EQ(Keys(*kv.store.Range(request)), "s4 ");
  request.set_limit(2);
  request.set_max_mod_revision(4);
  const auto filtered = kv.store.Range(request);
  EXPECT_EQ(Keys(*filtered), "s3 s2 ");
  EXPECT_TRUE(filtered->more());
  EXPECT_EQ(filtered->count(), 4);
}

// The four revision filters include their bounds; count ignores them.
TEST(Ranges, RevisionFilters) {
  Kv kv;
  kv.Put("a", "1");
  kv.Put("b", "1");
  kv.Put("a", "2");
  RangeRequest request;
  request.set_key("a");
  request.set_range_end("z");
  request.set_min_mod_revision(4);
  EXPECT_EQ(Keys(*kv.store.Range(request)), "a ");
  request.set_min_create_revision(3);
  EXPECT_EQ(Keys(*kv.store.Range(request)), "");
  request.clear_min_mod_revision();
  EXPECT_EQ(Keys(*kv.store.Range(request)), "b ");
  request.set_max_create_revision(2);
  request.clear_min_create_revision();
  EXPECT_EQ(Keys(*kv.store.Range(request)), "a ");
  EXPECT_EQ(kv.store.Range(request)->count(), 2);
}

// keys_only keeps the metadata, also when sorting by the value it leaves out; count_only has no
// kvs.
TEST(Ranges, KeysOnlyCountOnly) {
  Kv kv;
  kv.Put("a", "2");
  kv.Put("b", "1");
  RangeRequest request;
  request.set_key("a");
  request.set_range_end("z");
  request.set_keys_only(true);
  EXPECT_EQ(kv.store.Range(request)->kvs(1).mod_revision(), 3);
  EXPECT_EQ(kv.store.Range(request)->kvs(1).value(), "");
  request.set_sort_target(RangeRequest::VALUE);
  EXPECT_EQ(Keys(*kv.store.Range(request)), "b a ");
  EXPECT_EQ(kv.store.Range(request)->kvs(0).value(), "");
  request.set_count_only(true);
  request.set_limit(1);
  const auto counted = kv.store.Range(request);
  EXPECT_EQ(counted->kvs_size(), 0);
  EXPECT_EQ(counted->count(), 2);
  EXPECT_FALSE(counted->more());
}

// A revision above the store's is refused, one below the compacted too, the compacted one itself is
// readable, and one below zero means now.
TEST(Ranges, RevisionBounds) {
  for (const bool purge : {false, true}) {
    Kv kv;
    kv.Put("a", "1");
    kv.Put("a", "2");
    kv.Put("a", "3");
    ASSERT_TRUE(kv.Compact(3));
    if (purge) kv.PurgeAll();
    EXPECT_EQ(kv.Range("a", {}, 5).error().code, ErrorCode::kFutureRevision);
    EXPECT_EQ(kv.Range("a", {}, 2).error().code, ErrorCode::kCompacted);
    EXPECT_EQ(kv.Range("a", {}, 2).error().message, "3");
    EXPECT_EQ(kv.Get("a", 3).value(), "2");
    EXPECT_EQ(kv.Get("a", -1).value(), "3");
  }
}

// Pages read at the first page's revision are one snapshot.
TEST(Ranges, PagingIsStable) {
  Kv kv;
  for (int i = 0; i < 10; ++i) kv.Put("k" + std::to_string(i), "old");
  std::string next = "k";
  Revision at = 0;
  std::string seen;
  for (int page = 0; page < 4; ++page) {
    const auto response = kv.Range(next, "l", at, 3);
    if (at == 0) at = response->header().revision();
    EXPECT_EQ(response->count(), 10 - 3 * page);
    EXPECT_EQ(response->more(), page < 3);
    for (const auto& item : response->kvs()) seen += item.key() + item.value() + " ";
    next = response->kvs(response->kvs_size() - 1).key() + '\0';
    kv.Put("k" + std::to_string(9 - page), "new");
    kv.Put("k" + std::to_string(page) + "x", "new");
    kv.Delete("k5");
  }
  EXPECT_EQ(seen, "k0old k1old k2old k3old k4old k5old k6old k7old k8old k9old ");
}

}  // namespace
}  // namespace coterie::kv
