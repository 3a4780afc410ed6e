#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "runtime/network.h"
#include "runtime/sim/knobs.h"
#include "runtime/sim/scheduler.h"

namespace coterie::runtime {

class Connection;
class SimListener;
class SimDatagramSocket;

/// The network between all nodes of a simulation: hosts, links per ordered pair of nodes, and what
/// is under way. Node numbers start at 1.
class Fabric {
 public:
  Fabric(Scheduler& scheduler, SimExecutor& kernel, std::uint64_t seed);
  Fabric(const Fabric&) = delete;
  ~Fabric();

  // Nodes.
  void AddHost(std::uint32_t node, const std::string& host);
  /// 0 if no node has it. The loopback addresses are the asking node's own.
  std::uint32_t NodeAt(const std::string& host, std::uint32_t asking) const;
  const std::string& HostOf(std::uint32_t node) const { return hosts_[node]; }
  void NodeUp(std::uint32_t node);
  /// Ends the node's side of all its streams. Its frames, and with them its sockets, go next.
  void NodeDown(std::uint32_t node, Death death);
  /// Whether the node's process runs, and whether its machine answers at all.
  bool up(std::uint32_t node) const { return up_[node]; }
  bool powered(std::uint32_t node) const { return powered_[node]; }

  // Faults.
  void SetLink(std::uint32_t from, std::uint32_t to, LinkKnobs knobs) {
    At(from, to).knobs = knobs;
  }
  void SetAllLinks(LinkKnobs knobs);
  void SetStreams(StreamKnobs knobs) { streams_ = knobs; }
  void Cut(std::uint32_t from, std::uint32_t to);
  void Heal(std::uint32_t from, std::uint32_t to);
  bool IsCut(std::uint32_t from, std::uint32_t to) const { return At(from, to).cut; }

  // For sockets.
  const StreamKnobs& streams() const { return streams_; }
  /// A draw of how long something takes from one node to the other; longer if a stream's bytes are
  /// lost.
  Duration DrawDelay(std::uint32_t from, std::uint32_t to, bool reliable);
  void SendPacket(std::uint32_t from, Datagram datagram, const Address& to);
  std::uint16_t FreePort(std::uint32_t node);
  Scheduler& scheduler() { return scheduler_; }
  SimExecutor& kernel() { return kernel_; }
  Random& random() { return random_; }
  Trace& trace() { return scheduler_.trace(); }
  ListNode& connections() { return connections_; }

  std::map<Address, SimListener*> listeners;
  std::map<Address, SimDatagramSocket*> sockets;
  /// Per node: streams, listeners and datagram sockets that live. All gone when a node has died.
  std::vector<std::int64_t> open_sockets;

 private:
  struct Link {
    LinkKnobs knobs;
    bool cut = false;
  };
  struct Packet;

  Link& At(std::uint32_t from, std::uint32_t to) { return links_[from * up_.size() + to]; }
  const Link& At(std::uint32_t from, std::uint32_t to) const {
    return links_[from * up_.size() + to];
  }
  void Launch(std::uint32_t from, std::uint32_t target, Datagram datagram, const Address& to);
  void Land(Packet& packet);

  Scheduler& scheduler_;
  SimExecutor& kernel_;
  Random random_;
  StreamKnobs streams_;
  LinkKnobs default_link_;
  std::vector<std::string> hosts_;
  std::vector<bool> up_;
  std::vector<bool> powered_;
  std::vector<std::uint16_t> next_port_;
  std::vector<Link> links_;
  std::map<std::string, std::uint32_t, std::less<>> by_host_;
  std::vector<std::unique_ptr<Packet>> packets_;
  std::vector<Packet*> free_packets_;
  ListNode connections_;
};

/// One node's view of the Fabric.
class SimNetwork final : public Network {
 public:
  SimNetwork(Fabric& fabric, SimExecutor& executor) : fabric_(fabric), executor_(executor) {}
  Result<std::unique_ptr<Listener>> Listen(const Address& at) override;
  Task<Result<std::unique_ptr<Stream>>> Connect(Address to, Duration timeout) override;
  Result<std::unique_ptr<DatagramSocket>> Bind(const Address& at) override;

 private:
  Result<Address> OwnAddress(const Address& at) const;

  Fabric& fabric_;
  SimExecutor& executor_;
};

}  // namespace coterie::runtime
