#include "runtime/world_conformance.h"

#include <gtest/gtest.h>

#include <bit>
#include "runtime/scope.h"
#include "runtime/sync.h"

namespace coterie::runtime {
namespace {

class WorldConformance : public ::testing::Test {
 protected:
  std::unique_ptr<WorldBed> bed_ = MakeWorldBed();
};

struct Pair {
  std::unique_ptr<Stream> client;
  std::unique_ptr<Stream> server;
};

Task<void> AcceptInto(Listener* listener, std::unique_ptr<Stream>* out) {
  auto accepted = co_await listener->Accept();
  COT_ASSERT(accepted.has_value());
  *out = std::move(*accepted);
}

Task<Pair> Connected(World* world, std::string host) {
  auto listener = world->network().Listen({host, 0});
  COT_ASSERT(listener.has_value());
  Pair pair;
  Scope scope;
  scope.Spawn(AcceptInto(listener->get(), &pair.server));
  auto client = co_await world->network().Connect((*listener)->local(), 5s);
  COT_ASSERT(client.has_value());
  pair.client = std::move(*client);
  while (pair.server == nullptr) co_await Sleep(world->executor(), 1ms);
  co_return pair;
}

Task<void> WriteChunks(World* world, Stream* stream, std::string text, bool* done) {
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t size =
        std::min<std::size_t>(1 + world->random().Below(5000), text.size() - at);
    const Status written = co_await stream->Write(text.substr(at, size));
    EXPECT_TRUE(written.has_value());
    at += size;
  }
  stream->ShutdownWrite();
  *done = true;
}

Task<std::string> ReadToEnd(Stream* stream) {
  std::string all;
  char buffer[3000];
  for (;;) {
    const auto got = co_await stream->Read(buffer);
    EXPECT_TRUE(got.has_value());
    if (!got || *got == 0) co_return all;
    all.append(buffer, *got);
  }
}

Task<void> BothWays(World* world, std::string host) {
  Pair pair = co_await Connected(world, host);
  std::string up;
  std::string down;
  for (int i = 0; up.size() < 300'000; ++i) up += std::to_string(i) + ",";
  for (int i = 0; down.size() < 300'000; ++i) down += std::to_string(7 * i) + ";";
  bool up_done = false;
  bool down_done = false;
  Scope scope;
  scope.Spawn(WriteChunks(world, pair.client.get(), up, &up_done));
  scope.Spawn(WriteChunks(world, pair.server.get(), down, &down_done));
  const std::string got_up = co_await ReadToEnd(pair.server.get());
  const std::string got_down = co_await ReadToEnd(pair.client.get());
  EXPECT_EQ(got_up, up);
  EXPECT_EQ(got_down, down);
  EXPECT_TRUE(up_done);
  EXPECT_TRUE(down_done);
}

// Bytes arrive complete and in order in both directions, and the end of each side is seen after
// them.
TEST_F(WorldConformance, StreamsKeepOrderAndEndEachSide) {
  bed_->Run(BothWays(&bed_->world(), bed_->host()));
}

Task<void> ReadOnce(Stream* stream, std::optional<Result<std::size_t>>* out) {
  char buffer[100];
  auto got = co_await stream->Read(buffer);
  out->emplace(std::move(got));
}

Task<void> CloseUnderRead(World* world, std::string host, bool destroy) {
  Pair pair = co_await Connected(world, host);
  std::optional<Result<std::size_t>> answer;
  Scope scope;
  scope.Spawn(ReadOnce(pair.client.get(), &answer));
  co_await Sleep(world->executor(), 2ms);
  EXPECT_FALSE(answer.has_value());
  if (destroy) {
    pair.client.reset();
  } else {
    pair.client->Close();
  }
  while (!answer) co_await Sleep(world->executor(), 1ms);
  EXPECT_FALSE(answer->has_value());
  if (!answer->has_value()) EXPECT_EQ(answer->error().code, ErrorCode::kConnectionClosed);
  char buffer[10];
  const auto ended = co_await pair.server->Read(buffer);
  EXPECT_TRUE(ended.has_value());
  if (ended) EXPECT_EQ(*ended, 0u);
}

// Closing a stream, or destroying it, answers the Read under way, and the peer sees the end.
TEST_F(WorldConformance, CloseAnswersTheReadUnderWay) {
  bed_->Run(CloseUnderRead(&bed_->world(), bed_->host(), false));
  bed_->Run(CloseUnderRead(&bed_->world(), bed_->host(), true));
}

Task<void> WriteMuch(Stream* stream, std::size_t chunks, std::size_t* written) {
  for (std::size_t i = 0; i < chunks; ++i) {
    const Status status =
        co_await stream->Write(std::string(64 << 10, static_cast<char>('a' + i % 26)));
    if (!status) co_return;
    ++*written;
  }
  stream->ShutdownWrite();
}

Task<void> BackPressure(World* world, std::string host) {
  constexpr std::size_t kChunks = 1024;  // 64 MiB: more than any socket buffer
  Pair pair = co_await Connected(world, host);
  std::size_t written = 0;
  Scope scope;
  scope.Spawn(WriteMuch(pair.client.get(), kChunks, &written));
  std::size_t before = 1;
  while (before != written) {
    before = written;
    co_await Sleep(world->executor(), 20ms);
  }
  EXPECT_LT(written, kChunks);
  std::size_t total = 0;
  std::string buffer(256 << 10, '\0');
  for (;;) {
    const auto got = co_await pair.server->Read(buffer);
    EXPECT_TRUE(got.has_value());
    if (!got || *got == 0) break;
    EXPECT_EQ(buffer[0], static_cast<char>('a' + (total >> 16) % 26));
    total += *got;
  }
  EXPECT_EQ(total, kChunks << 16);
}

// A writer waits when nobody reads, and goes on when somebody does.
TEST_F(WorldConformance, WritesWaitForTheReader) {
  bed_->Run(BackPressure(&bed_->world(), bed_->host()));
}

Task<void> Refusals(World* world, std::string host) {
  Network& network = world->network();
  auto listener = network.Listen({host, 0});
  EXPECT_TRUE(listener.has_value());
  const Address at = (*listener)->local();
  EXPECT_NE(at.port, 0);
  const auto second = network.Listen(at);
  EXPECT_FALSE(second.has_value());
  if (!second) EXPECT_EQ(second.error().code, ErrorCode::kAddressInUse);
  const auto foreign = network.Listen({"203.0.113.1", 0});
  EXPECT_FALSE(foreign.has_value());
  if (!foreign) EXPECT_EQ(foreign.error().code, ErrorCode::kInvalidArgument);
  listener->reset();
  const auto refused = co_await network.Connect(at, 5s);
  EXPECT_FALSE(refused.has_value());
  if (!refused) EXPECT_EQ(refused.error().code, ErrorCode::kConnectFailed);
  const auto again = network.Listen(at);
  EXPECT_TRUE(again.has_value());
}

// A port has one listener; without one, connecting is refused; a port is free once its listener is
// gone.
TEST_F(WorldConformance, ListenAndConnectRefuse) {
  bed_->Run(Refusals(&bed_->world(), bed_->host()));
}

Task<void> AcceptOnce(Listener* listener, std::optional<ErrorCode>* out) {
  auto accepted = co_await listener->Accept();
  out->emplace(accepted ? ErrorCode::kUnimplemented : accepted.error().code);
}

Task<void> DestroyListener(World* world, std::string host) {
  auto listener = world->network().Listen({host, 0});
  std::optional<ErrorCode> code;
  Scope scope;
  scope.Spawn(AcceptOnce(listener->get(), &code));
  co_await Sleep(world->executor(), 1ms);
  listener->reset();
  co_await Sleep(world->executor(), 1ms);
  EXPECT_EQ(code, ErrorCode::kConnectionClosed);
}

TEST_F(WorldConformance, DestroyingAListenerAnswersAccept) {
  bed_->Run(DestroyListener(&bed_->world(), bed_->host()));
}

Task<void> Datagrams(World* world, std::string host) {
  auto a = world->network().Bind({host, 0});
  EXPECT_TRUE(a.has_value());
  auto b = world->network().Bind({host, 18077});
  EXPECT_TRUE(b.has_value());
  const auto taken = world->network().Bind({host, 18077});
  EXPECT_FALSE(taken.has_value());
  if (!taken) EXPECT_EQ(taken.error().code, ErrorCode::kAddressInUse);
  const Status sent = (*a)->Send({host, 18077}, "ping");
  EXPECT_TRUE(sent.has_value());
  const auto ping = co_await (*b)->Receive();
  EXPECT_EQ(ping->payload, "ping");
  EXPECT_EQ(ping->from.host, host);
  const Status back = (*b)->Send(ping->from, std::string(1400, 'x'));
  EXPECT_TRUE(back.has_value());
  const auto pong = co_await (*a)->Receive();
  EXPECT_EQ(pong->payload.size(), 1400u);
  const Status large = (*a)->Send(ping->from, std::string(1401, 'x'));
  EXPECT_FALSE(large.has_value());
  if (!large) EXPECT_EQ(large.error().code, ErrorCode::kTooLarge);
}

TEST_F(WorldConformance, DatagramsGoThereAndBack) {
  bed_->Run(Datagrams(&bed_->world(), bed_->host()));
}

Task<void> FileContents(World* world, std::string dir) {
  Disk& disk = world->disk();
  const std::string path = dir + "/file";
  const auto missing = co_await disk.Open(path, Disk::Mode::kOpenExisting);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  auto created = co_await disk.Open(path, Disk::Mode::kCreate);
  EXPECT_TRUE(created.has_value());
  const auto again = co_await disk.Open(path, Disk::Mode::kCreate);
  EXPECT_FALSE(again.has_value());
  File& file = **created;
  Status status = co_await file.Write(10'000, "far");
  EXPECT_TRUE(status.has_value());
  status = co_await file.WriteAndSync(0, std::string(200'000, 'a'));
  EXPECT_TRUE(status.has_value());
  status = co_await file.Write(10'000, "far");
  EXPECT_TRUE(status.has_value());
  status = co_await file.Sync();
  EXPECT_TRUE(status.has_value());
  auto read = co_await file.Read(9'998, 7);
  EXPECT_EQ(*read, "aafaraa");
  read = co_await file.Read(199'990, 100);
  EXPECT_EQ(*read, std::string(10, 'a'));
  read = co_await file.Read(200'000, 100);
  EXPECT_EQ(*read, "");
  read = co_await file.Read(0, 1 << 20);
  EXPECT_EQ(read->size(), 200'000u);
  status = co_await file.Truncate(100);
  EXPECT_TRUE(status.has_value());
  status = co_await file.Preallocate(10'000);
  EXPECT_TRUE(status.has_value());
  const auto size = co_await file.Size();
  EXPECT_EQ(*size, 10'000u);
  read = co_await file.Read(98, 9'902);
  EXPECT_EQ(*read, "aa" + std::string(9'900, '\0'));
}

// Writes land where they were aimed, reads stop at the end, and what was cut off reads as zeroes.
TEST_F(WorldConformance, FilesHoldWhatWasWritten) {
  bed_->Run(FileContents(&bed_->world(), bed_->dir()));
}

Task<void> DurableWrites(World* world, std::string dir) {
  Disk& disk = world->disk();
  auto created = co_await disk.Open(dir + "/log", Disk::Mode::kCreate);
  EXPECT_TRUE(created.has_value());
  File& file = **created;
  Status status = co_await file.Preallocate(100'000);
  EXPECT_TRUE(status.has_value());
  // The name changes under the open file, as that of a log's segment does.
  status = co_await disk.Rename(dir + "/log", dir + "/log2");
  EXPECT_TRUE(status.has_value());
  std::string expected(100'000, '\0');
  struct Place {
    std::size_t offset, size;
  };
  // Whole sectors and others, over one another, beyond the end, small and larger than one request.
  const Place places[] = {{0, 512},        {512, 512},       {700, 20},
                          {512, 1024},     {4096, 4096},     {4000, 200},
                          {3584, 1024},    {99'840, 512},    {100'352, 64},
                          {100'864, 1024}, {0, 1u << 20},    {512, (1u << 20) + 512},
                          {1, 511},        {1u << 21, 4096}, {(1u << 20) + 1, 9}};
  char letter = 'a';
  for (const Place& place : places) {
    const std::string data(place.size, letter++);
    if (expected.size() < place.offset + place.size) expected.resize(place.offset + place.size);
    expected.replace(place.offset, place.size, data);
    status = co_await file.WriteAndSync(place.offset, data);
    EXPECT_TRUE(status.has_value());
    const auto read = co_await file.Read(0, 4u << 20);
    EXPECT_TRUE(read.has_value());
    if (read) EXPECT_TRUE(*read == expected) << "after " << place.size << " at " << place.offset;
  }
}

// However a durable write is made, reads see it at once, and nothing beside it changes.
TEST_F(WorldConformance, DurableWritesAreReadAtOnce) {
  bed_->Run(DurableWrites(&bed_->world(), bed_->dir()));
}

Task<void> Touch(Disk* disk, std::string path) {
  auto file = co_await disk->Open(path, Disk::Mode::kOpenOrCreate);
  EXPECT_TRUE(file.has_value());
}

Task<void> Directories(World* world, std::string dir) {
  Disk& disk = world->disk();
  Status status = co_await disk.MakeDir(dir + "/a/b/c");
  EXPECT_TRUE(status.has_value());
  status = co_await disk.MakeDir(dir + "/a/b/c");
  EXPECT_TRUE(status.has_value());
  co_await Touch(&disk, dir + "/a/2");
  co_await Touch(&disk, dir + "/a/1");
  co_await Touch(&disk, dir + "/a/10");
  auto names = co_await disk.List(dir + "/a");
  EXPECT_EQ(*names, (std::vector<std::string>{"1", "10", "2", "b"}));
  status = co_await disk.Rename(dir + "/a/2", dir + "/a/1");
  EXPECT_TRUE(status.has_value());
  status = co_await disk.Rename(dir + "/a/2", dir + "/a/3");
  EXPECT_EQ(status.error().code, ErrorCode::kNotFound);
  status = co_await disk.SyncDir(dir + "/a");
  EXPECT_TRUE(status.has_value());
  status = co_await disk.Rename(dir + "/a", dir + "/z");
  EXPECT_TRUE(status.has_value());
  names = co_await disk.List(dir + "/z");
  EXPECT_EQ(*names, (std::vector<std::string>{"1", "10", "b"}));
  const auto old = co_await disk.List(dir + "/a");
  EXPECT_EQ(old.error().code, ErrorCode::kNotFound);
  status = co_await disk.Remove(dir + "/z");
  EXPECT_TRUE(status.has_value());
  status = co_await disk.Remove(dir + "/z");
  EXPECT_TRUE(status.has_value());
  const auto exists = co_await disk.Exists(dir + "/z/b/c");
  EXPECT_FALSE(*exists);
  const auto nowhere = co_await disk.Open(dir + "/z/file", Disk::Mode::kCreate);
  EXPECT_EQ(nowhere.error().code, ErrorCode::kNotFound);
  const auto space = co_await disk.Space(dir);
  EXPECT_GT(space->free, 0u);
  EXPECT_GE(space->total, space->free);
  const auto unit = co_await disk.WriteUnit(dir);
  EXPECT_TRUE(std::has_single_bit(*unit));
  EXPECT_GE(*unit, Disk::kWriteUnitMin);
  EXPECT_LE(*unit, Disk::kWriteUnitMax);
}

TEST_F(WorldConformance, DirectoriesListRenameAndRemove) {
  bed_->Run(Directories(&bed_->world(), bed_->dir()));
}

Task<void> Replace(World* world, std::string dir) {
  Disk& disk = world->disk();
  const std::string path = dir + "/state";
  Status status = co_await ReplaceFile(disk, path, "one");
  EXPECT_TRUE(status.has_value());
  status = co_await ReplaceFile(disk, path, "second");
  EXPECT_TRUE(status.has_value());
  const auto content = co_await ReadFile(disk, path, 100);
  EXPECT_EQ(*content, "second");
  const auto large = co_await ReadFile(disk, path, 5);
  EXPECT_EQ(large.error().code, ErrorCode::kTooLarge);
  const auto names = co_await disk.List(dir);
  EXPECT_EQ(*names, (std::vector<std::string>{"state"}));
  auto lock = co_await disk.Lock(dir + "/LOCK");
  EXPECT_TRUE(lock.has_value());
  const auto second = co_await disk.Lock(dir + "/LOCK");
  EXPECT_EQ(second.error().code, ErrorCode::kDataDirInUse);
  lock->reset();
  const auto third = co_await disk.Lock(dir + "/LOCK");
  EXPECT_TRUE(third.has_value());
}

TEST_F(WorldConformance, ReplacesAndLocksFiles) { bed_->Run(Replace(&bed_->world(), bed_->dir())); }

Task<void> NoteAfter(World* world, Duration delay, int id, std::vector<int>* order) {
  co_await Sleep(world->executor(), delay);
  order->push_back(id);
}

Task<void> Timers(World* world) {
  std::vector<int> order;
  const Instant start = world->Now();
  Scope scope;
  scope.Spawn(NoteAfter(world, 30ms, 3, &order));
  scope.Spawn(NoteAfter(world, 10ms, 1, &order));
  scope.Spawn(NoteAfter(world, 20ms, 2, &order));
  co_await Sleep(world->executor(), 40ms);
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
  EXPECT_GE(world->Now() - start, 40ms);
  const WallInterval wall = world->WallNow();
  EXPECT_LE(wall.earliest_ns, wall.latest_ns);
  EXPECT_GT(wall.earliest_ns, 1'500'000'000'000'000'000);
  int ran = 0;
  co_await world->Offload([&ran] { ran = 1; });
  EXPECT_EQ(ran, 1);
}

TEST_F(WorldConformance, TimersFireInOrderAndNotEarly) { bed_->Run(Timers(&bed_->world())); }

Task<void> Ignore(Task<Status> task) { (void)co_await std::move(task); }
template <class T>
Task<void> IgnoreResult(Task<Result<T>> task) {
  (void)co_await std::move(task);
}
Task<void> ReadForever(Stream* stream) {
  char buffer[100];
  for (;;) {
    const auto got = co_await stream->Read(buffer);
    if (!got || *got == 0) co_return;
  }
}

struct Cancellable {
  Pair pair;
  std::unique_ptr<Listener> listener;
  std::unique_ptr<DatagramSocket> socket;
  std::unique_ptr<File> file;
};

/// Starts one operation of every kind that can wait.
void SpawnAll(World* world, Cancellable* c, const std::string& dir, Scope* scope) {
  scope->Spawn(ReadForever(c->pair.client.get()));
  scope->Spawn(Ignore(c->pair.client->Write(std::string(32 << 20, 'w'))));
  scope->Spawn(IgnoreResult(c->listener->Accept()));
  scope->Spawn(IgnoreResult(world->network().Connect(c->listener->local(), 1s)));
  scope->Spawn(IgnoreResult(c->socket->Receive()));
  scope->Spawn(Ignore(c->file->WriteAndSync(0, std::string(300'000, 'd'))));
  scope->Spawn(IgnoreResult(c->file->Read(0, 1 << 20)));
  scope->Spawn(IgnoreResult(world->disk().Open(dir + "/x", Disk::Mode::kOpenOrCreate)));
  scope->Spawn(IgnoreResult(world->disk().List(dir)));
  scope->Spawn(Ignore(world->disk().SyncDir(dir)));
  scope->Spawn(Ignore(ReplaceFile(world->disk(), dir + "/y", "content")));
  scope->Spawn(world->Offload([] {}));
}

Task<void> CancelEverything(World* world, std::string host, std::string dir) {
  for (int round = 0; round < 40; ++round) {
    Cancellable c;
    c.pair = co_await Connected(world, host);
    auto listener = world->network().Listen({host, 0});
    c.listener = std::move(*listener);
    auto socket = world->network().Bind({host, 0});
    c.socket = std::move(*socket);
    auto file = co_await world->disk().Open(dir + "/f", Disk::Mode::kOpenOrCreate);
    c.file = std::move(*file);
    Scope scope;
    SpawnAll(world, &c, dir, &scope);
    if (round % 4 != 0)
      co_await Sleep(world->executor(), Duration(world->random().Below(1'000'000)));
    if (round % 2 == 0) {
      scope.Cancel();
    } else {
      c = Cancellable();  // the owners first: operations end by themselves or are cancelled after
      co_await Sleep(world->executor(), Duration(world->random().Below(200'000)));
    }
  }
}

// A scope may be cancelled while an operation of any kind is under way, and the objects operated on
// may go before it; nothing is touched afterwards (the sanitizers judge) and the World goes on
// working.
TEST_F(WorldConformance, OperationsMayBeCancelledAtAnyMoment) {
  bed_->Run(CancelEverything(&bed_->world(), bed_->host(), bed_->dir()));
  bed_->Run(BothWays(&bed_->world(), bed_->host()));
}

}  // namespace
}  // namespace coterie::runtime
