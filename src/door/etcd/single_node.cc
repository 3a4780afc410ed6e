// For this room's tests and measurements: the door over real sockets, on a node of one member that
// keeps everything in memory. `door_etcd_single_node 127.0.0.1:0` prints where it listens.
#include <fmt/format.h>

#include <cstdio>

#include "door/etcd/etcd_door.h"
#include "door/etcd/fake_node.h"
#include "net/http.h"
#include "runtime/real/real_world.h"

int main(int argc, char** argv) {
  using namespace coterie;
  if (argc != 2) {
    fmt::print(stderr, "usage: {} ADDRESS:PORT\n", argv[0]);
    return 1;
  }
  auto address = runtime::ParseAddress(argv[1]);
  auto world = runtime::RealWorld::Create();
  if (!address || !world) return 1;
  auto listener = (*world)->network().Listen(*address);
  if (!listener) {
    fmt::print(stderr, "{}\n", Describe(listener.error()));
    return 1;
  }
  const std::string at = runtime::ToText((*listener)->local());
  door::etcd::FakeNode node(**world);
  node.member_list[0].client_url = "http://" + at;
  door::etcd::EtcdDoor door(node, {});
  net::GrpcMethods methods;
  door.Register(methods);
  net::HttpServer server(**world, {}, methods, door.Http());
  server.Serve(std::move(*listener));
  fmt::print("{}\n", at);
  std::fflush(stdout);
  (*world)->Run();
  return 0;
}
