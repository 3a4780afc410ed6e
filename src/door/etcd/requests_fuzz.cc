#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/coding.h"
#include "door/etcd/door_fixture.h"

// Any bytes as requests of every RPC, on a real kv::Store: each is answered, with a message or a
// status. Two bytes say which method and how many bytes are its request.

namespace coterie::door::etcd {
namespace {

constexpr std::string_view kUnary[] = {
    "/etcdserverpb.KV/Range",           "/etcdserverpb.KV/Put",
    "/etcdserverpb.KV/DeleteRange",     "/etcdserverpb.KV/Txn",
    "/etcdserverpb.KV/Compact",         "/etcdserverpb.Lease/LeaseGrant",
    "/etcdserverpb.Lease/LeaseRevoke",  "/etcdserverpb.Lease/LeaseTimeToLive",
    "/etcdserverpb.Lease/LeaseLeases",  "/etcdserverpb.Cluster/MemberList",
    "/etcdserverpb.Maintenance/Status", "/etcdserverpb.Maintenance/HashKV",
    "/etcdserverpb.Maintenance/Alarm",  "/etcdserverpb.Maintenance/MoveLeader"};
constexpr std::string_view kStreams[] = {"/etcdserverpb.Watch/Watch",
                                         "/etcdserverpb.Lease/LeaseKeepAlive"};

class Fuzzed final : public DoorTest {
 public:
  void TestBody() override {}
  void Run(std::string_view input) {
    OpenStream watch(world, methods, kStreams[0]);
    OpenStream keep_alive(world, methods, kStreams[1]);
    while (input.size() >= 2) {
      const auto which = static_cast<unsigned char>(input[0]);
      std::size_t bytes = static_cast<unsigned char>(input[1]);
      input.remove_prefix(2);
      bytes = std::min(bytes, input.size());
      std::string request(input.substr(0, bytes));
      input.remove_prefix(bytes);
      const std::size_t method = which % (std::size(kUnary) + 2);
      if (method < std::size(kUnary)) {
        const net::UnaryHandler* handler = methods.FindUnary(kUnary[method]);
        COT_ASSERT(handler != nullptr);
        std::optional<net::GrpcReply> reply;
        runtime::Scope scope;
        scope.Spawn(Collect((*handler)(context, std::move(request)), &reply));
        world.executor().Settle();
        COT_ASSERT(reply.has_value());
        continue;
      }
      OpenStream& stream = method == std::size(kUnary) ? watch : keep_alive;
      if (stream.ended) continue;
      stream.stream.ClientSend(std::move(request));
      world.executor().Settle();
      while (stream.stream.ClientTake()) world.executor().Settle();
    }
  }
};

}  // namespace
}  // namespace coterie::door::etcd

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  coterie::door::etcd::Fuzzed fuzzed;
  fuzzed.Run({reinterpret_cast<const char*>(data), size});
  return 0;
}
