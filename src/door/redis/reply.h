#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace coterie::door::redis {

/// Appends RESP to a buffer, in the protocol version of one connection: what has no RESP2 form is
/// written as its RESP2 equivalent (a map as a flat array, null as a null bulk) [RESP3].
class Reply {
 public:
  explicit Reply(std::string& out, int protocol = 2) : out_(out), protocol_(protocol) {}
  int protocol() const { return protocol_; }
  std::string& out() { return out_; }

  void Simple(std::string_view text);  ///< "+OK"; no CR or LF in it
  void Ok() { Simple("OK"); }
  /// "-CODE message": CR and LF in it become spaces.
  void Error(std::string_view code_and_message);
  /// An error of ours: "-COT <code> ...", with cause, outcome and hint; those that Redis has a word
  /// for take its word (-WRONGTYPE, -OOM, -LOADING, -TRYAGAIN, -CLUSTERDOWN).
  void Error(const coterie::Error& error);
  void Integer(std::int64_t value);
  void Bulk(std::string_view bytes);
  void Double(double value);             ///< RESP2: bulk
  void Boolean(bool value);              ///< RESP2: integer
  void Null();                           ///< RESP2: null bulk
  void NullArray();                      ///< RESP3: null
  void Array(std::size_t n);             ///< n replies follow
  void Map(std::size_t n);               ///< 2n replies follow; RESP2: array of 2n
  void Set(std::size_t n);               ///< RESP2: array
  void Push(std::size_t n);              ///< RESP2: array
  void Verbatim(std::string_view text);  ///< RESP2: bulk

 private:
  std::string& out_;
  const int protocol_;
};

/// As Redis 7.0 prints a score: "1.5", "3.1400000000000001", "inf".
std::string FormatDouble(double value);

}  // namespace coterie::door::redis
