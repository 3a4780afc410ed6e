// etcd's semantics, one claim a test: transactions.
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
using testing::kAll;
using testing::Kv;

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
