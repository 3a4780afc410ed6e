#include <gtest/gtest.h>

#include <map>

#include "door/etcd/door_fixture.h"

namespace coterie::door::etcd {
namespace {

using etcdserverpb::WatchCreateRequest;
using etcdserverpb::WatchRequest;
using etcdserverpb::WatchResponse;
using net::GrpcCode;

constexpr char kWatch[] = "/etcdserverpb.Watch/Watch";

EtcdDoorOptions SmallOptions() {
  EtcdDoorOptions options;
  options.watch_progress_interval = 10s;
  options.watch_fragment_bytes = 1000;
  options.watch_batch_bytes = 1000;
  options.watch_answers_max = 4;
  options.watchers_max = 16;
  return options;
}

class WatchDoor : public DoorTest {
 protected:
  WatchDoor() : DoorTest(SmallOptions()) {}

  OpenStream Open(net::Headers with = {}) {
    return OpenStream(world, methods, kWatch, std::move(with));
  }

  static WatchRequest CreateRequest(std::string key, kv::Revision start = 0) {
    WatchRequest request;
    request.mutable_create_request()->set_key(std::move(key));
    request.mutable_create_request()->set_start_revision(start);
    return request;
  }
  /// Creates a watcher and takes the created answer; its id.
  static std::int64_t Create(OpenStream& open, const WatchRequest& request) {
    open.Send(request);
    const auto created = open.Take<WatchResponse>();
    EXPECT_TRUE(created.created());
    EXPECT_FALSE(created.canceled());
    EXPECT_EQ(created.events_size(), 0);
    return created.watch_id();
  }
  static WatchRequest CancelRequest(std::int64_t id) {
    WatchRequest request;
    request.mutable_cancel_request()->set_watch_id(id);
    return request;
  }
  static WatchRequest ProgressRequest() {
    WatchRequest request;
    request.mutable_progress_request();
    return request;
  }
  static void ExpectRefused(OpenStream& open, const WatchRequest& request,
                            const std::string& reason) {
    open.Send(request);
    const auto refused = open.Take<WatchResponse>();
    EXPECT_TRUE(refused.created());
    EXPECT_TRUE(refused.canceled());
    EXPECT_EQ(refused.watch_id(), -1);
    EXPECT_EQ(refused.cancel_reason(), reason);
    EXPECT_FALSE(open.ended.has_value()) << "a refusal must not end the stream";
  }
};

// Claim: ids count from 0 per stream; the created header is the revision the watch starts after.
TEST_F(WatchDoor, CreatedAnswers) {
  Put("a", "1");
  auto open = Open();
  open.Send(CreateRequest("a"));
  const auto created = open.Take<WatchResponse>();
  EXPECT_TRUE(created.created());
  EXPECT_EQ(created.watch_id(), 0);
  EXPECT_EQ(created.header().revision(), 2);
  EXPECT_EQ(created.header().member_id(), 1u);
  EXPECT_NE(created.header().raft_term(), 0u);
  EXPECT_EQ(Create(open, CreateRequest("b")), 1);
  auto other = Open();
  EXPECT_EQ(Create(other, CreateRequest("a")), 0);
}

// Claim: created answers come in the order of the requests, and no event of a watcher before its
// own.
TEST_F(WatchDoor, CreatedInOrderAndBeforeEvents) {
  Put("a", "1");
  Put("b", "1");
  auto open = Open();
  for (const char* key : {"b", "a", "b"})
    open.stream.ClientSend(CreateRequest(key, 2).SerializeAsString());
  world.executor().Settle();
  std::vector<std::int64_t> order;
  std::map<std::int64_t, bool> announced;
  while (open.stream.unread() > 0) {
    const auto response = open.Take<WatchResponse>();
    if (response.created()) {
      order.push_back(response.watch_id());
      announced[response.watch_id()] = true;
    } else {
      EXPECT_TRUE(announced[response.watch_id()]);
      EXPECT_GT(response.events_size(), 0);
    }
  }
  EXPECT_EQ(order, (std::vector<std::int64_t>{0, 1, 2}));
}

// Claim: a watcher far behind, whose key rarely changes, gets its events, and progress is answered
// only after the last of them.
TEST_F(WatchDoor, FarBehindWithRareEvents) {
  Put("rare", "first");
  for (int i = 0; i < 10000; ++i) Put("often", "v");
  Put("rare", "last");
  auto open = Open();
  open.stream.ClientSend(CreateRequest("rare", 1).SerializeAsString());
  open.stream.ClientSend(ProgressRequest().SerializeAsString());
  world.executor().Settle();
  EXPECT_TRUE(open.Take<WatchResponse>().created());
  EXPECT_EQ(open.Take<WatchResponse>().events(0).kv().value(), "first");
  EXPECT_EQ(open.Take<WatchResponse>().events(0).kv().value(), "last");
  const auto progress = open.Take<WatchResponse>();
  EXPECT_EQ(progress.events_size(), 0);
  EXPECT_EQ(progress.header().revision(), 10003);
  EXPECT_EQ(open.stream.unread(), 0U);
}

// Claim: events arrive with key, value and revisions; the header is not older than the last event.
TEST_F(WatchDoor, Events) {
  auto open = Open();
  const auto id = Create(open, CreateRequest("a"));
  Put("a", "1");
  Put("other", "1");
  const auto put = open.Take<WatchResponse>();
  EXPECT_EQ(put.watch_id(), id);
  ASSERT_EQ(put.events_size(), 1);
  EXPECT_EQ(put.events(0).type(), mvccpb::Event::PUT);
  EXPECT_EQ(put.events(0).kv().value(), "1");
  EXPECT_EQ(put.events(0).kv().mod_revision(), 2);
  EXPECT_GE(put.header().revision(), 2);
  EXPECT_FALSE(put.events(0).has_prev_kv());
  Delete("a");
  const auto deleted = open.Take<WatchResponse>();
  EXPECT_EQ(deleted.events(0).type(), mvccpb::Event::DELETE);
  EXPECT_EQ(deleted.events(0).kv().key(), "a");
  EXPECT_EQ(deleted.events(0).kv().mod_revision(), 4);
  EXPECT_EQ(deleted.events(0).kv().create_revision(), 0);
  EXPECT_EQ(open.stream.unread(), 0u);
}

TEST_F(WatchDoor, PrevKv) {
  Put("a", "old");
  auto open = Open();
  WatchRequest request = CreateRequest("a");
  request.mutable_create_request()->set_prev_kv(true);
  Create(open, request);
  Put("a", "new");
  const auto response = open.Take<WatchResponse>();
  EXPECT_EQ(response.events(0).prev_kv().value(), "old");
  EXPECT_EQ(response.events(0).prev_kv().mod_revision(), 2);
}

TEST_F(WatchDoor, Filters) {
  auto open = Open();
  WatchRequest request = CreateRequest("a");
  request.mutable_create_request()->add_filters(WatchCreateRequest::NOPUT);
  const auto no_put = Create(open, request);
  request.mutable_create_request()->set_filters(0, WatchCreateRequest::NODELETE);
  const auto no_delete = Create(open, request);
  Put("a", "1");
  Delete("a");
  std::map<std::int64_t, std::vector<int>> seen;
  while (open.stream.unread() > 0) {
    const auto response = open.Take<WatchResponse>();
    for (const auto& event : response.events()) seen[response.watch_id()].push_back(event.type());
  }
  EXPECT_EQ(seen[no_put], (std::vector<int>{mvccpb::Event::DELETE}));
  EXPECT_EQ(seen[no_delete], (std::vector<int>{mvccpb::Event::PUT}));
}

// Claim: a watch from the past delivers history first, in order, then what comes.
TEST_F(WatchDoor, HistoryThenPresent) {
  for (const char* value : {"1", "2", "3"}) Put("a", value);
  auto open = Open();
  Create(open, CreateRequest("a", 3));
  Put("a", "4");
  std::string seen;
  while (open.stream.unread() > 0) {
    for (const auto& event : open.Take<WatchResponse>().events()) seen += event.kv().value();
  }
  EXPECT_EQ(seen, "234");
}

// Claim: an empty key means the first of all keys, here with an open end: everything.
TEST_F(WatchDoor, EmptyKeyIsLegal) {
  auto open = Open();
  WatchRequest request = CreateRequest("");
  request.mutable_create_request()->set_range_end(std::string(1, '\0'));
  Create(open, request);
  Put("anything", "1");
  EXPECT_EQ(open.Take<WatchResponse>().events_size(), 1);
}

// Claim: a client may choose ids; a used one is refused; automatic ids step over chosen ones.
TEST_F(WatchDoor, ChosenIds) {
  auto open = Open();
  WatchRequest request = CreateRequest("a");
  request.mutable_create_request()->set_watch_id(1);
  EXPECT_EQ(Create(open, request), 1);
  ExpectRefused(open, request, "mvcc: duplicate watch ID provided on the WatchStream");
  EXPECT_EQ(Create(open, CreateRequest("a")), 0);
  EXPECT_EQ(Create(open, CreateRequest("a")), 2);
}

// Claim: bad ranges and negative starts are refused as created+canceled with id -1.
TEST_F(WatchDoor, Refusals) {
  auto open = Open();
  WatchRequest request = CreateRequest("b");
  request.mutable_create_request()->set_range_end("a");
  ExpectRefused(open, request, "mvcc: watcher range is empty");
  request.mutable_create_request()->set_range_end("b");
  ExpectRefused(open, request, "mvcc: watcher range is empty");
  ExpectRefused(open, CreateRequest("a", -1),
                "etcdserver: mvcc: required revision has been compacted");
  EXPECT_EQ(Create(open, CreateRequest("a")), 0);
}

TEST_F(WatchDoor, WatchersPerStreamAreBounded) {
  auto open = Open();
  for (int i = 0; i < 16; ++i) Create(open, CreateRequest("a"));
  ExpectRefused(open, CreateRequest("a"), "mvcc: too many watchers on the WatchStream");
  open.Send(CancelRequest(3));
  EXPECT_TRUE(open.Take<WatchResponse>().canceled());
  Create(open, CreateRequest("a"));
}

// Claim: a compacted start is created normally and then canceled with the compacted revision.
TEST_F(WatchDoor, CompactedStart) {
  for (const char* value : {"1", "2", "3"}) Put("a", value);
  Compact(4);
  auto open = Open();
  const auto id = Create(open, CreateRequest("a", 2));
  const auto canceled = open.Take<WatchResponse>();
  EXPECT_EQ(canceled.watch_id(), id);
  EXPECT_TRUE(canceled.canceled());
  EXPECT_FALSE(canceled.created());
  EXPECT_EQ(canceled.compact_revision(), 4);
  EXPECT_EQ(canceled.cancel_reason(), "") << "the revision says it";
  EXPECT_EQ(canceled.events_size(), 0);
  Put("a", "4");
  EXPECT_EQ(open.stream.unread(), 0u) << "a canceled watcher gets nothing more";
  Create(open, CreateRequest("a"));
}

// Claim: cancel is answered once, silences the watcher, and an unknown id is not answered.
TEST_F(WatchDoor, Cancel) {
  auto open = Open();
  const auto id = Create(open, CreateRequest("a"));
  open.Send(CancelRequest(id));
  const auto canceled = open.Take<WatchResponse>();
  EXPECT_TRUE(canceled.canceled());
  EXPECT_EQ(canceled.watch_id(), id);
  EXPECT_EQ(canceled.compact_revision(), 0);
  Put("a", "1");
  open.Send(CancelRequest(id));
  EXPECT_EQ(open.stream.unread(), 0u);
}

// Claim: nothing is said of a revision before the start, neither events nor progress.
TEST_F(WatchDoor, FutureStart) {
  Put("a", "1");
  auto open = Open();
  WatchRequest request = CreateRequest("a", 5);
  request.mutable_create_request()->set_progress_notify(true);
  Create(open, request);
  open.Send(ProgressRequest());
  Put("a", "3");
  world.executor().Advance(30s);
  EXPECT_EQ(open.stream.unread(), 0u);
  Put("b", "4");
  Put("b", "5");
  world.executor().Advance(1s);
  const auto progress = open.Take<WatchResponse>();
  EXPECT_EQ(progress.watch_id(), -1) << "the request is answered once the start is reached";
  EXPECT_GE(progress.header().revision(), 5);
  Put("a", "6");
  const auto response = open.Take<WatchResponse>();
  ASSERT_EQ(response.events_size(), 1);
  EXPECT_EQ(response.events(0).kv().value(), "6");
}

// Claim: a progress request is answered with id -1 after every event up to its revision.
TEST_F(WatchDoor, ProgressRequestComesAfterEvents) {
  for (int i = 0; i < 50; ++i) Put("a", std::string(100, 'x'));
  auto open = Open();
  open.stream.ClientSend(CreateRequest("a", 2).SerializeAsString());
  open.stream.ClientSend(CreateRequest("b").SerializeAsString());
  open.stream.ClientSend(ProgressRequest().SerializeAsString());
  world.executor().Settle();
  kv::Revision last_event = 0;
  bool progressed = false;
  while (open.stream.unread() > 0) {
    const auto response = open.Take<WatchResponse>();
    EXPECT_FALSE(progressed) << "something followed the progress answer";
    for (const auto& event : response.events()) last_event = event.kv().mod_revision();
    if (response.watch_id() == -1) {
      progressed = true;
      EXPECT_EQ(response.events_size(), 0);
      EXPECT_EQ(response.header().revision(), 51);
      EXPECT_EQ(last_event, 51);
    }
  }
  EXPECT_TRUE(progressed);
}

// Claim: a stream without watchers gets no progress, as etcd.
TEST_F(WatchDoor, ProgressRequestWithoutWatchers) {
  auto open = Open();
  open.Send(ProgressRequest());
  world.executor().Advance(1s);
  EXPECT_EQ(open.stream.unread(), 0u);
}

// Claim: progress_notify speaks for an idle watcher once an interval, and skips a turn after
// events.
TEST_F(WatchDoor, PeriodicProgress) {
  Put("a", "1");
  auto open = Open();
  WatchRequest request = CreateRequest("a");
  request.mutable_create_request()->set_progress_notify(true);
  const auto id = Create(open, request);
  Create(open, CreateRequest("a"));  // without progress_notify
  world.executor().Advance(9s);
  EXPECT_EQ(open.stream.unread(), 0u);
  world.executor().Advance(2s);  // the interval is 10 s and up to a tenth
  const auto progress = open.Take<WatchResponse>();
  EXPECT_EQ(progress.watch_id(), id);
  EXPECT_EQ(progress.events_size(), 0);
  EXPECT_FALSE(progress.created());
  EXPECT_FALSE(progress.canceled());
  EXPECT_EQ(progress.header().revision(), 2);
  EXPECT_EQ(open.stream.unread(), 0u);

  Put("a", "2");
  while (open.stream.unread() > 0) EXPECT_EQ(open.Take<WatchResponse>().events_size(), 1);
  world.executor().Advance(10500ms);
  EXPECT_EQ(open.stream.unread(), 0u) << "the event said as much";
  world.executor().Advance(11s);
  EXPECT_EQ(open.Take<WatchResponse>().header().revision(), 3);
}

// Claim: all changes of one revision come in one response, in order, however large, unless the
// watcher asked for fragments.
TEST_F(WatchDoor, RevisionsAreNotSplit) {
  auto open = Open();
  WatchRequest request = CreateRequest("k");
  request.mutable_create_request()->set_range_end("l");
  const auto whole = Create(open, request);
  request.mutable_create_request()->set_fragment(true);
  const auto fragmented = Create(open, request);
  etcdserverpb::TxnRequest txn;
  for (int i = 0; i < 10; ++i) {
    auto* put = txn.add_success()->mutable_request_put();
    put->set_key("k" + std::to_string(i));
    put->set_value(std::string(300, 'v'));
  }
  ASSERT_TRUE(Call<etcdserverpb::TxnResponse>("/etcdserverpb.KV/Txn", txn));

  std::map<std::int64_t, std::vector<WatchResponse>> responses;
  while (open.stream.unread() > 0) {
    auto response = open.Take<WatchResponse>();
    responses[response.watch_id()].push_back(response);
  }
  ASSERT_EQ(responses[whole].size(), 1u);
  EXPECT_EQ(responses[whole][0].events_size(), 10);
  EXPECT_FALSE(responses[whole][0].fragment());
  const auto& parts = responses[fragmented];
  ASSERT_GT(parts.size(), 2u);
  int next = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    EXPECT_EQ(parts[i].fragment(), i + 1 < parts.size()) << "set on all but the last";
    EXPECT_LE(parts[i].ByteSizeLong(), 1100u);
    EXPECT_EQ(parts[i].header().revision(), 2);
    for (const auto& event : parts[i].events())
      EXPECT_EQ(event.kv().key(), "k" + std::to_string(next++));
  }
  EXPECT_EQ(next, 10);
}

// Claim: while the client does not read, no more than the stream's buffer and one batch is held;
// nothing is lost once it reads.
TEST_F(WatchDoor, SlowClientsCostNoMemory) {
  auto open = Open();
  open.stream.send_buffer_max = 2000;
  Create(open, CreateRequest("a"));
  for (int i = 0; i < 500; ++i) Put("a", std::to_string(i) + std::string(100, ' '));
  EXPECT_LT(open.stream.buffered(), 2000u + 2 * 1000u + 500u);
  int next = 0;
  while (open.stream.unread() > 0) {
    for (const auto& event : open.Take<WatchResponse>().events()) {
      EXPECT_EQ(std::stoi(event.kv().value()), next++);
    }
  }
  EXPECT_EQ(next, 500);
}

// Claim: a client that sends creates and reads nothing is not read from beyond the bound of
// answers.
TEST_F(WatchDoor, FloodsOfCreatesAreHeldBack) {
  auto open = Open();
  open.stream.send_buffer_max = 0;
  for (int i = 0; i < 12; ++i) open.stream.ClientSend(CreateRequest("a").SerializeAsString());
  world.executor().Settle();
  EXPECT_GE(open.stream.unreceived(), 12u - 4u - 2u);
  std::int64_t next = 0;
  while (open.stream.unread() > 0) EXPECT_EQ(open.Take<WatchResponse>().watch_id(), next++);
  EXPECT_EQ(next, 12);
}

// Claim: ready watchers take turns: one with a long history does not starve another on its stream.
TEST_F(WatchDoor, WatchersTakeTurns) {
  for (int i = 0; i < 100; ++i) Put("long", std::string(300, 'x'));
  Put("short", "1");
  auto open = Open();
  open.stream.send_buffer_max = 0;
  open.stream.ClientSend(CreateRequest("long", 2).SerializeAsString());
  open.stream.ClientSend(CreateRequest("short", 2).SerializeAsString());
  world.executor().Settle();
  std::size_t messages = 0;
  std::optional<std::size_t> short_came_at;
  while (open.stream.unread() > 0) {
    const auto response = open.Take<WatchResponse>();
    if (response.watch_id() == 1 && response.events_size() > 0) short_came_at = messages;
    ++messages;
  }
  ASSERT_TRUE(short_came_at.has_value());
  EXPECT_LT(*short_came_at, 6u);
  EXPECT_GT(messages, 20u);
}

// Claim: a client that ended its side still gets events.
TEST_F(WatchDoor, HalfClosedStreamsGoOn) {
  auto open = Open();
  Create(open, CreateRequest("a"));
  open.stream.ClientCloseSend();
  world.executor().Settle();
  EXPECT_FALSE(open.ended.has_value());
  Put("a", "1");
  EXPECT_EQ(open.Take<WatchResponse>().events_size(), 1);
}

// Claim: with `hasleader`, a stream is refused without a leader, survives a short gap, and ends
// Unavailable after three election timeouts without one; without it, it goes on.
TEST_F(WatchDoor, HasLeader) {
  auto plain = Open();
  auto strict = Open({{"hasleader", "true"}});
  node.mutable_status().leader = NodeId(0);
  world.executor().Advance(2500ms);
  EXPECT_FALSE(strict.ended.has_value());
  node.mutable_status().leader = NodeId(2);
  world.executor().Advance(2s);
  node.mutable_status().leader = NodeId(0);
  world.executor().Advance(4s);
  ASSERT_TRUE(strict.ended.has_value());
  EXPECT_EQ(strict.ended->code, GrpcCode::kUnavailable);
  EXPECT_EQ(strict.ended->message, "etcdserver: no leader");
  EXPECT_FALSE(plain.ended.has_value());
  auto refused = Open({{"hasleader", "true"}});
  ASSERT_TRUE(refused.ended.has_value());
  EXPECT_EQ(refused.ended->message, "etcdserver: no leader");
}

TEST_F(WatchDoor, LearnersDoNotServeWatches) {
  node.mutable_status().learner = true;
  auto open = Open();
  ASSERT_TRUE(open.ended.has_value());
  EXPECT_EQ(open.ended->message, "etcdserver: rpc not supported for learner");
}

// Claim: destroying a stream's frame at any moment leaves the store and the door usable.
TEST_F(WatchDoor, CancellationAtAnyMoment) {
  for (int moment = 0; moment < 6; ++moment) {
    auto open = Open();
    open.stream.send_buffer_max = moment % 2 == 0 ? 0 : 1u << 20;
    if (moment > 0) open.stream.ClientSend(CreateRequest("a", 1).SerializeAsString());
    if (moment > 1) Put("a", "1");
    if (moment > 2) open.stream.ClientSend(ProgressRequest().SerializeAsString());
    if (moment > 3) world.executor().Settle();
    if (moment > 4) node.Apply(kv::EncodePut(etcdserverpb::PutRequest().SerializeAsString()));
  }
  Put("a", "2");
  auto open = Open();
  Create(open, CreateRequest("a"));
  Put("a", "3");
  EXPECT_EQ(open.Take<WatchResponse>().events_size(), 1);
}

}  // namespace
}  // namespace coterie::door::etcd
