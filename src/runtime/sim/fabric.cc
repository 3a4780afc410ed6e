#include "runtime/sim/fabric.h"

#include <algorithm>

#include "runtime/sim/connection.h"
#include "runtime/sim/sim_sockets.h"

namespace coterie::runtime {

struct Fabric::Packet final : Timer {
  Fabric* fabric = nullptr;
  std::uint32_t from = 0;
  std::uint32_t target = 0;
  Datagram datagram;
  Address to;
  void Fire() override { fabric->Land(*this); }
};

Fabric::Fabric(Scheduler& scheduler, SimExecutor& kernel, std::uint64_t seed)
    : scheduler_(scheduler), kernel_(kernel), random_(seed) {
  AddHost(0, "");
}

Fabric::~Fabric() { COT_ASSERT(connections_.front() == nullptr); }

void Fabric::AddHost(std::uint32_t node, const std::string& host) {
  COT_ASSERT(node == hosts_.size());
  COT_ASSERT(!by_host_.contains(host));
  const std::size_t before = hosts_.size();
  hosts_.push_back(host);
  by_host_.emplace(host, node);
  next_port_.push_back(32768);
  open_sockets.push_back(0);
  std::vector<Link> links((before + 1) * (before + 1), Link{default_link_, false});
  for (std::size_t i = 0; i < before; ++i) {
    for (std::size_t j = 0; j < before; ++j) links[i * (before + 1) + j] = links_[i * before + j];
  }
  links_ = std::move(links);
  up_.push_back(false);
  powered_.push_back(true);
}

std::uint32_t Fabric::NodeAt(const std::string& host, std::uint32_t asking) const {
  const auto found = by_host_.find(host);
  if (found != by_host_.end() && found->second != 0) return found->second;
  return host == "127.0.0.1" || host == "::1" ? asking : 0;
}

void Fabric::NodeUp(std::uint32_t node) {
  up_[node] = true;
  powered_[node] = true;
  for (ListNode* at = connections_.front(); at != nullptr; at = connections_.after(*at)) {
    static_cast<Connection*>(at)->NodeBack(node);
  }
}

void Fabric::NodeDown(std::uint32_t node, Death death) {
  up_[node] = false;
  powered_[node] = death != Death::kPowerOff;
  for (ListNode* at = connections_.front(); at != nullptr; at = connections_.after(*at)) {
    auto* connection = static_cast<Connection*>(at);
    for (int side = 0; side < 2; ++side) {
      if (connection->end(side).node == node) connection->Die(side, death);
    }
  }
}

void Fabric::SetAllLinks(LinkKnobs knobs) {
  default_link_ = knobs;
  for (Link& link : links_) link.knobs = knobs;
}

void Fabric::Cut(std::uint32_t from, std::uint32_t to) {
  if (At(from, to).cut) return;
  At(from, to).cut = true;
  trace().Note(scheduler_.now(), from, EventKind::kCut, to);
}

void Fabric::Heal(std::uint32_t from, std::uint32_t to) {
  if (!At(from, to).cut) return;
  At(from, to).cut = false;
  trace().Note(scheduler_.now(), from, EventKind::kHeal, to);
  for (ListNode* at = connections_.front(); at != nullptr; at = connections_.after(*at)) {
    static_cast<Connection*>(at)->LinkHealed(from, to);
  }
}

Duration Fabric::DrawDelay(std::uint32_t from, std::uint32_t to, bool reliable) {
  if (from == to) return Duration(random_.Between(5'000, 20'000));
  const LinkKnobs& knobs = At(from, to).knobs;
  Duration delay(random_.Between(knobs.delay_min.count(), knobs.delay_max.count()));
  if (knobs.slow > 0 && random_.Chance(knobs.slow)) {
    delay += Duration(random_.Between(0, knobs.slow_max.count()));
  }
  if (reliable && knobs.loss > 0) {
    Duration retransmit = knobs.retransmit;
    for (int tries = 0; tries < 6 && random_.Chance(knobs.loss); ++tries) {
      delay += retransmit;
      retransmit *= 2;
    }
  }
  return delay;
}

std::uint16_t Fabric::FreePort(std::uint32_t node) {
  for (int tries = 0; tries < 28'000; ++tries) {
    const std::uint16_t port = next_port_[node];
    next_port_[node] = port >= 60'999 ? 32'768 : static_cast<std::uint16_t>(port + 1);
    const Address address{hosts_[node], port};
    if (!listeners.contains(address) && !sockets.contains(address)) return port;
  }
  return 0;
}

void Fabric::SendPacket(std::uint32_t from, Datagram datagram, const Address& to) {
  const std::uint32_t target = NodeAt(to.host, from);
  if (target == 0) return;
  const LinkKnobs& knobs = At(from, target).knobs;
  if (from != target && knobs.loss > 0 && random_.Chance(knobs.loss)) {
    trace().Note(scheduler_.now(), from, EventKind::kPacketLost, target, datagram.payload.size());
    return;
  }
  if (from != target && knobs.duplicate > 0 && random_.Chance(knobs.duplicate)) {
    Launch(from, target, datagram, to);
  }
  Launch(from, target, std::move(datagram), to);
}

void Fabric::Launch(std::uint32_t from, std::uint32_t target, Datagram datagram,
                    const Address& to) {
  if (free_packets_.empty()) {
    packets_.push_back(std::make_unique<Packet>());
    free_packets_.push_back(packets_.back().get());
  }
  Packet& packet = *free_packets_.back();
  free_packets_.pop_back();
  packet.fabric = this;
  packet.from = from;
  packet.target = target;
  packet.datagram = std::move(datagram);
  packet.to = {hosts_[target], to.port};
  kernel_.Arm(packet, scheduler_.now() + DrawDelay(from, target, false));
}

void Fabric::Land(Packet& packet) {
  const auto socket = sockets.find(packet.to);
  const bool lost = At(packet.from, packet.target).cut || socket == sockets.end();
  trace().Note(scheduler_.now(), packet.target, lost ? EventKind::kPacketLost : EventKind::kPacket,
               packet.from, packet.datagram.payload.size());
  if (!lost) socket->second->Deliver(std::move(packet.datagram));
  packet.datagram = {};
  free_packets_.push_back(&packet);
}

}  // namespace coterie::runtime
