#pragma once

// For this room's tests: a client on a real socket that reads replies of both protocols as text.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace coterie::door::redis {

class PeerClient {
 public:
  /// "127.0.0.1:6379"; tries until something listens there, 10 s at most.
  explicit PeerClient(const std::string& at) {
    const std::size_t colon = at.rfind(':');
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(at.substr(colon + 1))));
    ::inet_pton(AF_INET, at.substr(0, colon).c_str(), &address.sin_addr);
    for (int i = 0; i < 1000; ++i) {
      socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) break;
      ::close(socket_);
      socket_ = -1;
      ::usleep(10'000);
    }
    const int on = 1;
    ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  PeerClient(const PeerClient&) = delete;
  ~PeerClient() {
    if (socket_ >= 0) ::close(socket_);
  }
  bool connected() const { return socket_ >= 0; }

  static std::string Encode(const std::vector<std::string>& words) {
    std::string request = "*" + std::to_string(words.size()) + "\r\n";
    for (const std::string& word : words)
      request += "$" + std::to_string(word.size()) + "\r\n" + word + "\r\n";
    return request;
  }
  void Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
  /// The next reply as it came; "" if the connection ended.
  std::string ReceiveRaw() {
    for (;;) {
      std::size_t at = 0;
      if (Whole(at)) {
        std::string reply = input_.substr(0, at);
        input_.erase(0, at);
        return reply;
      }
      char buffer[65536];
      const ssize_t n = ::recv(socket_, buffer, sizeof buffer, 0);
      if (n <= 0) return "";
      input_.append(buffer, static_cast<std::size_t>(n));
    }
  }
  /// All that comes until the other side ends, once it knows that nothing more is sent.
  std::string ReceiveToEnd() {
    ::shutdown(socket_, SHUT_WR);
    for (;;) {
      char buffer[65536];
      const ssize_t n = ::recv(socket_, buffer, sizeof buffer, 0);
      if (n <= 0) return std::exchange(input_, {});
      input_.append(buffer, static_cast<std::size_t>(n));
    }
  }
  /// A reply as one line. Sets and maps in order of their elements; with `group` > 0 the elements
  /// of an outermost array, too, `group` of them together.
  std::string Receive(std::size_t group = 0) {
    const std::string raw = ReceiveRaw();
    std::string_view in = raw;
    return raw.empty() ? "(closed)" : Text(in, group);
  }
  std::string Ask(const std::vector<std::string>& words, std::size_t group = 0) {
    Send(Encode(words));
    return Receive(group);
  }

  static std::string Text(std::string_view& in, std::size_t group = 0) {
    const char type = in.front();
    const std::size_t end = in.find("\r\n");
    const std::string head(in.substr(1, end - 1));
    in.remove_prefix(end + 2);
    if (type == '$' || type == '=') {
      if (head == "-1") return "(nil)";
      const auto size = static_cast<std::size_t>(std::stoul(head));
      const std::string body(in.substr(0, size));
      in.remove_prefix(size + 2);
      return "\"" + body + "\"";
    }
    if (type != '*' && type != '~' && type != '%' && type != '>') return type + head;
    if (head == "-1") return "(nil array)";
    const bool map = type == '%';
    const std::size_t elements = static_cast<std::size_t>(std::stoul(head)) * (map ? 2 : 1);
    const std::size_t together = map ? 2 : std::max<std::size_t>(group, 1);
    std::vector<std::string> parts;
    for (std::size_t i = 0; i < elements; ++i) {
      if (i % together == 0) parts.emplace_back();
      parts.back() += Text(in) + " ";
    }
    if (map || type == '~' || group > 0) std::ranges::sort(parts);
    std::string text = std::string(1, type) + "[";
    for (const std::string& part : parts) text += part;
    return text + "]";
  }

 private:
  bool Whole(std::size_t& at) const {
    const std::size_t end = input_.find("\r\n", at);
    if (end == std::string::npos) return false;
    const char type = input_[at];
    const bool sized = std::string_view("$=*~%>").find(type) != std::string_view::npos;
    const long size = sized ? std::stol(input_.substr(at + 1, end - at - 1)) : 0;
    at = end + 2;
    if ((type == '$' || type == '=') && size >= 0) at += static_cast<std::size_t>(size) + 2;
    const long elements = type == '%' ? 2 * size : size;
    if (type == '*' || type == '~' || type == '%' || type == '>')
      for (long i = 0; i < elements; ++i)
        if (!Whole(at)) return false;
    return at <= input_.size();
  }

  int socket_ = -1;
  std::string input_;
};

}  // namespace coterie::door::redis
