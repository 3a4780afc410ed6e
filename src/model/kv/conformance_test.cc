// etcd's semantics, one claim a test: revisions, ranges, transactions. Where etcd's texts are
// silent, etcd 3.4.23 was asked.
#include <gtest/gtest.h>

#include <limits>

#include "model/kv/test_support.h"

namespace coterie::kv {
namespace {

using etcdserverpb::Compare;
using etcdserverpb::RangeRequest;
using etcdserverpb::TxnRequest;
using testing::AddCompare;
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

// ---- transactions

// Compares are ANDed; of a missing key numbers are 0 and its value compares to nothing.
TEST(Txn, Compares) {
  Kv kv;
  kv.Grant(9, 10);
  kv.Put("a", "m", 9);
  const auto holds = [&](const std::function<void(TxnRequest&)>& fill) {
    TxnRequest txn;
    fill(txn);
    return kv.Txn(txn)->succeeded();
  };
  EXPECT_TRUE(holds(
      [](TxnRequest& t) { AddCompare(t, "a", Compare::VERSION, Compare::EQUAL)->set_version(1); }));
  EXPECT_TRUE(holds(
      [](TxnRequest& t) { AddCompare(t, "a", Compare::MOD, Compare::LESS)->set_mod_revision(3); }));
  EXPECT_TRUE(holds([](TxnRequest& t) {
    AddCompare(t, "a", Compare::CREATE, Compare::GREATER)->set_create_revision(1);
  }));
  EXPECT_TRUE(holds(
      [](TxnRequest& t) { AddCompare(t, "a", Compare::LEASE, Compare::EQUAL)->set_lease(9); }));
  EXPECT_TRUE(holds(
      [](TxnRequest& t) { AddCompare(t, "a", Compare::VALUE, Compare::GREATER)->set_value("l"); }));
  EXPECT_FALSE(holds([](TxnRequest& t) {
    AddCompare(t, "a", Compare::VERSION, Compare::EQUAL)->set_version(1);
    AddCompare(t, "a", Compare::VALUE, Compare::NOT_EQUAL)->set_value("m");
  }));
  EXPECT_TRUE(holds([](TxnRequest& t) {
    AddCompare(t, "x", Compare::CREATE, Compare::EQUAL)->set_create_revision(0);
  }));
  EXPECT_TRUE(holds(
      [](TxnRequest& t) { AddCompare(t, "x", Compare::LEASE, Compare::LESS)->set_lease(1); }));
  EXPECT_FALSE(holds(
      [](TxnRequest& t) { AddCompare(t, "x", Compare::VALUE, Compare::EQUAL)->set_value(""); }));
  EXPECT_FALSE(holds([](TxnRequest& t) {
    AddCompare(t, "x", Compare::VALUE, Compare::NOT_EQUAL)->set_value("y");
  }));
}

// A range compare must hold for every key; an empty range is like a missing key.
TEST(Txn, RangeCompare) {
  Kv kv;
  kv.Put("a", "1");
  kv.Put("b", "2");
  const auto holds = [&](const std::string& end, Compare::CompareTarget target,
                         const std::string& value) {
    TxnRequest txn;
    auto* compare = AddCompare(txn, "a", target, Compare::EQUAL);
    compare->set_range_end(end);
    if (target == Compare::VALUE) compare->set_value(value);
    if (target == Compare::VERSION) compare->set_version(1);
    return kv.Txn(txn)->succeeded();
  };
  EXPECT_TRUE(holds(kAll, Compare::VERSION, ""));
  EXPECT_FALSE(holds(kAll, Compare::VALUE, "1"));
  EXPECT_TRUE(holds("b", Compare::VALUE, "1"));
  EXPECT_FALSE(holds("Z", Compare::VALUE, ""));
}

// Operations run in order and see each other; the compares of a nested txn were decided before any
// ran.
TEST(Txn, OperationsSeeEarlierOnes) {
  Kv kv;
  kv.Put("a", "old");
  TxnRequest txn;
  AddPut(txn.mutable_success(), "a", "new");
  AddRange(txn.mutable_success(), "a");
  auto* nested = txn.mutable_success()->Add()->mutable_request_txn();
  AddCompare(*nested, "a", Compare::VALUE, Compare::EQUAL)->set_value("new");
  AddRange(nested->mutable_failure(), "a");
  const auto response = kv.Txn(txn);
  EXPECT_EQ(response->responses(1).response_range().kvs(0).value(), "new");
  EXPECT_FALSE(response->responses(2).response_txn().succeeded());
  EXPECT_EQ(response->responses(2).response_txn().responses(0).response_range().kvs(0).value(),
            "new");
}

// A range deletion in a txn deletes what was put before it in the txn's own log position only:
// commands applied together see each other exactly as if applied one by one.
TEST(Txn, CommandsOfOneCallSeeEachOther) {
  Kv kv;
  etcdserverpb::PutRequest put;
  put.set_key("a");
  put.set_value("1");
  etcdserverpb::DeleteRangeRequest del;
  del.set_key("a");
  del.set_range_end("b");
  del.set_prev_kv(true);
  const auto answers = kv.ApplyAll(
      {EncodePut(put.SerializeAsString()), EncodePut(put.SerializeAsString()),
       EncodeDeleteRange(del.SerializeAsString()), EncodeDeleteRange(del.SerializeAsString())});
  EXPECT_EQ(std::get<etcdserverpb::DeleteRangeResponse>(*answers[2]).deleted(), 1);
  EXPECT_EQ(std::get<etcdserverpb::DeleteRangeResponse>(*answers[2]).prev_kvs(0).version(), 2);
  EXPECT_EQ(std::get<etcdserverpb::DeleteRangeResponse>(*answers[3]).deleted(), 0);
  EXPECT_EQ(kv.engine.writes, 1u);
  EXPECT_EQ(kv.store.revision(), 4);
}

// A key is written once per branch, deletions may overlap, and the branches of a nested txn exclude
// each other.
TEST(Txn, DuplicateKeys) {
  const auto check = [](const std::function<void(TxnRequest&)>& fill) {
    TxnRequest txn;
    fill(txn);
    const auto status = Store::Validate(txn, 128);
    return status ? std::string("ok") : status.error().message;
  };
  const std::string duplicate = "duplicate key given in txn request";
  EXPECT_EQ(check([](TxnRequest& t) {
              AddPut(t.mutable_success(), "a", "1");
              AddPut(t.mutable_success(), "a", "2");
            }),
            duplicate);
  EXPECT_EQ(check([](TxnRequest& t) {
              AddPut(t.mutable_success(), "a", "1");
              AddPut(t.mutable_failure(), "a", "2");
            }),
            "ok");
  EXPECT_EQ(check([](TxnRequest& t) {
              AddPut(t.mutable_failure(), "b", "1");
              AddDelete(t.mutable_failure(), "a", "c");
            }),
            duplicate);
  EXPECT_EQ(check([](TxnRequest& t) {
              AddDelete(t.mutable_success(), "a", kAll);
              AddPut(t.mutable_success(), "b", "1");
            }),
            duplicate);
  EXPECT_EQ(check([](TxnRequest& t) {
              AddDelete(t.mutable_success(), "a", "c");
              AddDelete(t.mutable_success(), "b", "d");
              AddPut(t.mutable_success(), "d", "1");
            }),
            "ok");
  EXPECT_EQ(check([](TxnRequest& t) {
              auto* nested = t.mutable_success()->Add()->mutable_request_txn();
              AddPut(nested->mutable_success(), "a", "1");
              AddPut(nested->mutable_failure(), "a", "2");
              AddDelete(nested->mutable_failure(), "b");
              AddPut(nested->mutable_success(), "b", "1");
            }),
            "ok");
  EXPECT_EQ(check([](TxnRequest& t) {
              AddPut(t.mutable_success()->Add()->mutable_request_txn()->mutable_failure(), "a",
                     "1");
              AddPut(t.mutable_success(), "a", "2");
            }),
            duplicate);
  EXPECT_EQ(check([](TxnRequest& t) {
              AddPut(t.mutable_success()->Add()->mutable_request_txn()->mutable_success(), "a",
                     "1");
              AddDelete(t.mutable_success()->Add()->mutable_request_txn()->mutable_success(), "a");
            }),
            duplicate);
}

// The other refusals of a txn's shape; nested levels share the limit on operations.
TEST(Txn, Shape) {
  TxnRequest empty_operation;
  empty_operation.add_success();
  EXPECT_EQ(Store::Validate(empty_operation, 128).error().message, "key not found");
  TxnRequest large;
  for (int i = 0; i < 129; ++i) AddRange(large.mutable_failure(), "a");
  EXPECT_EQ(Store::Validate(large, 128).error().code, ErrorCode::kTooManyOperations);
  large.mutable_failure()->DeleteSubrange(0, 1);
  EXPECT_TRUE(Store::Validate(large, 128));
  TxnRequest nested;
  auto* inner = nested.mutable_success()->Add()->mutable_request_txn();
  for (int i = 0; i < 128; ++i) AddRange(inner->mutable_success(), "a");
  EXPECT_EQ(Store::Validate(nested, 128).error().code, ErrorCode::kTooManyOperations);
  etcdserverpb::PutRequest put;
  put.set_key("a");
  put.set_ignore_value(true);
  put.set_value("v");
  EXPECT_EQ(Store::Validate(put).error().message, "value is provided");
  put.clear_value();
  put.set_ignore_lease(true);
  put.set_lease(1);
  EXPECT_EQ(Store::Validate(put).error().message, "lease is provided");
  RangeRequest range;
  range.set_key("a");
  range.set_sort_order(static_cast<RangeRequest::SortOrder>(7));
  EXPECT_EQ(Store::Validate(range).error().message, "invalid sort option");
}

// Everything on the taken path is checked before the first write: a refused txn leaves no trace.
TEST(Txn, RefusedWhole) {
  Kv kv;
  kv.Put("k", "1");
  kv.Put("k", "2");
  kv.Compact(3);
  const auto before = kv.engine.content();
  const auto refusal = [&](const std::function<void(TxnRequest&)>& fill) {
    TxnRequest txn;
    AddPut(txn.mutable_success(), "first", "v");
    fill(txn);
    const auto response = kv.Txn(txn);
    return response ? ErrorCode::kInvalidArgument : response.error().code;
  };
  EXPECT_EQ(refusal([](TxnRequest& t) {
              AddPut(t.mutable_success(), "a", "1");
              t.mutable_success(1)->mutable_request_put()->set_lease(404);
            }),
            ErrorCode::kLeaseNotFound);
  EXPECT_EQ(refusal([](TxnRequest& t) {
              auto* put = t.mutable_success()
                              ->Add()
                              ->mutable_request_txn()
                              ->mutable_success()
                              ->Add()
                              ->mutable_request_put();
              put->set_key("missing");
              put->set_ignore_value(true);
            }),
            ErrorCode::kKeyNotFound);
  EXPECT_EQ(refusal([](TxnRequest& t) { AddRange(t.mutable_success(), "k", 99); }),
            ErrorCode::kFutureRevision);
  EXPECT_EQ(refusal([](TxnRequest& t) { AddRange(t.mutable_success(), "k", 2); }),
            ErrorCode::kCompacted);
  EXPECT_EQ(refusal([](TxnRequest& t) { AddRange(t.mutable_success(), "k", -1); }),
            ErrorCode::kCompacted);
  EXPECT_EQ(kv.store.revision(), 3);
  EXPECT_EQ(kv.Get("first").version(), 0);
  auto after = kv.engine.content();
  after.erase("mstate");
  auto expected = before;
  expected.erase("mstate");
  EXPECT_EQ(after, expected);
}

// The branch not taken is not checked.
TEST(Txn, OtherBranchIsNotChecked) {
  Kv kv;
  TxnRequest txn;
  AddRange(txn.mutable_failure(), "k", 99);
  EXPECT_TRUE(kv.Txn(txn)->succeeded());
}

// A failed compare with nothing to do is a successful answer that says so.
TEST(Txn, FailedCompareIsAnAnswer) {
  Kv kv;
  TxnRequest txn;
  AddCompare(txn, "a", Compare::VERSION, Compare::GREATER);
  const auto response = kv.Txn(txn);
  ASSERT_TRUE(response);
  EXPECT_FALSE(response->succeeded());
  EXPECT_EQ(response->responses_size(), 0);
}

// ignore_value keeps the value and takes the new lease; ignore_lease keeps the lease; both need the
// key.
TEST(Txn, IgnoreValueIgnoreLease) {
  Kv kv;
  kv.Grant(7, 10);
  kv.Put("a", "v");
  etcdserverpb::PutRequest put;
  put.set_key("a");
  put.set_ignore_value(true);
  put.set_lease(7);
  ASSERT_TRUE(kv.Put(put));
  EXPECT_EQ(kv.Get("a").value(), "v");
  EXPECT_EQ(kv.Get("a").lease(), 7);
  etcdserverpb::PutRequest keep;
  keep.set_key("a");
  keep.set_value("w");
  keep.set_ignore_lease(true);
  keep.set_prev_kv(true);
  EXPECT_EQ(kv.Put(keep)->prev_kv().value(), "v");
  EXPECT_EQ(kv.Get("a").lease(), 7);
  EXPECT_EQ(kv.Get("a").value(), "w");
  keep.set_key("b");
  EXPECT_EQ(kv.Put(keep).error().code, ErrorCode::kKeyNotFound);
}

// Read-only, and serializable, look through nesting.
TEST(Txn, ReadOnlyAndSerializable) {
  TxnRequest txn;
  AddRange(txn.mutable_success()->Add()->mutable_request_txn()->mutable_failure(), "a");
  EXPECT_TRUE(Store::IsReadOnly(txn));
  EXPECT_FALSE(Store::IsSerializable(txn));
  txn.mutable_success(0)
      ->mutable_request_txn()
      ->mutable_failure(0)
      ->mutable_request_range()
      ->set_serializable(true);
  EXPECT_TRUE(Store::IsSerializable(txn));
  Kv kv;
  kv.Put("a", "1");
  AddCompare(*txn.mutable_success(0)->mutable_request_txn(), "b", Compare::VERSION,
             Compare::GREATER);
  const auto read = kv.store.ReadTxn(txn);
  EXPECT_EQ(read->responses(0).response_txn().responses(0).response_range().kvs(0).value(), "1");
  AddDelete(txn.mutable_failure(), "a");
  EXPECT_FALSE(Store::IsReadOnly(txn));
}

}  // namespace
}  // namespace coterie::kv
