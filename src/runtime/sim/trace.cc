#include "runtime/sim/trace.h"

#include <fmt/format.h>

#include <array>

namespace coterie::runtime {

std::string_view NameOf(EventKind kind) {
  static constexpr std::array kNames = {
      std::string_view("run"),         std::string_view("timer"),  std::string_view("start"),
      std::string_view("kill"),        std::string_view("crash"),  std::string_view("pause"),
      std::string_view("resume"),      std::string_view("send"),   std::string_view("deliver"),
      std::string_view("stall"),       std::string_view("fin"),    std::string_view("reset"),
      std::string_view("connect"),     std::string_view("refuse"), std::string_view("packet"),
      std::string_view("packet_lost"), std::string_view("read"),   std::string_view("write"),
      std::string_view("sync"),        std::string_view("name"),   std::string_view("disk_fault"),
      std::string_view("cut"),         std::string_view("heal"),   std::string_view("clock")};
  static_assert(kNames.size() == static_cast<std::size_t>(EventKind::kClock) + 1);
  return kNames[static_cast<std::size_t>(kind)];
}

void Trace::Print(Instant now, std::uint32_t node, EventKind kind, std::uint64_t a,
                  std::uint64_t b) {
  const auto ns = now.time_since_epoch().count();
  sink_(fmt::format("{}.{:09} {} {} {} {}", ns / 1'000'000'000, ns % 1'000'000'000, node,
                    NameOf(kind), a, b));
}

}  // namespace coterie::runtime
