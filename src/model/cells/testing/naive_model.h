#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "keyspace/promise.h"
#include "model/cells/store.h"

namespace coterie::cells::testing {

/// What the objects are by definition: everything that ever happened to a cell, and who had seen
/// what. The state at a vector is worked out from the events that it covers, each time anew.
class NaiveModel {
 public:
  explicit NaiveModel(keyspace::Conflict policy) : policy_(policy) {}

  enum class What { kPut, kDelete, kAdd };
  struct Event {
    Dot dot;
    std::uint64_t sequence;  ///< within the mutation
    HybridTime time;
    /// What had happened to the cell as far as its maker, or the client, knew; without gaps: an
    /// actor's dot stands for the earlier ones, but for those of its own that survived it.
    VersionVector seen;
    std::set<std::pair<Dot, std::uint64_t>> kept;
    What what;
    std::optional<std::string> value;  ///< kPut; nullopt: "nothing"
    double amount = 0;                 ///< kAdd
  };
  /// Kinds: r(egister) c(ounter) x(pire) H(ll) o(peration) f(ield) m(ember) z(set) s(tream) h(rank)
  using CellId = std::pair<char, std::string>;
  using Cells = std::map<CellId, std::vector<Event>>;

  /// Where one edit stands: what its maker has applied, with its own dot from its first change on.
  struct At {
    VersionVector seen;
    Dot dot;
    HybridTime time;
    std::uint64_t sequence = 0;
    std::uint64_t wall_ms = 0;
  };

  void SetString(At& at, const std::string& key, const std::string& value, bool keep_expiry);
  void SetStringOver(At& at, const std::string& key, const VersionVector& context,
                     const std::string& value);
  std::optional<std::int64_t> Increment(At& at, const std::string& key, std::int64_t amount,
                                        const std::string& operation);
  bool RemoveKey(At& at, const std::string& key);
  void SetExpiry(At& at, const std::string& key, std::optional<std::uint64_t> at_ms);
  bool Put(At& at, const std::string& key, char kind, const std::string& element,
           const std::string& value);
  bool Remove(At& at, const std::string& key, char kind, const std::string& element);
  std::optional<std::int64_t> HashIncrement(At& at, const std::string& key,
                                            const std::string& field, std::int64_t amount);
  double ScoreIncrement(At& at, const std::string& key, const std::string& member, double amount);
  bool Raise(At& at, const std::string& key, const std::string& index, std::uint8_t rank);
  void HllCreate(At& at, const std::string& key);

  /// All that readers see of an object, as text; "none".
  std::string Show(const At& at, const std::string& key) const;

 private:
  struct View {
    std::vector<const Event*> puts;  ///< that nobody superseded, greatest last
    std::vector<const Event*> adds;
    bool live(keyspace::Conflict policy, char kind) const;
    std::int64_t sum() const;
  };
  View Look(const At& at, const std::string& key, const CellId& cell) const;
  bool Live(const At& at, const std::string& key, const CellId& cell) const;
  bool HasData(const At& at, const std::string& key) const;
  void KeepDeadline(At& at, const std::string& key);
  std::optional<std::uint64_t> Deadline(const At& at, const std::string& key) const;
  bool Expired(const At& at, const std::string& key) const;
  bool Visible(const At& at, const std::string& key) const;
  std::vector<std::string> LiveElements(const At& at, const std::string& key, char kind) const;
  std::optional<std::string> Assigned(const At& at, const std::string& key,
                                      const CellId& cell) const;
  std::optional<std::string> FieldText(const At& at, const std::string& key,
                                       const std::string& field) const;
  double Score(const At& at, const std::string& key, const std::string& member) const;
  std::optional<std::int64_t> Added(const At& at, const std::string& key) const;
  std::optional<std::string> Text(const At& at, const std::string& key) const;
  void Do(At& at, const std::string& key, const CellId& cell, What what,
          std::optional<std::string> value, double amount = 0,
          const VersionVector* context = nullptr);
  void Erase(At& at, const std::string& key, const CellId& cell);
  void EraseOthers(At& at, const std::string& key);
  bool EraseAll(At& at, const std::string& key);
  void Open(At& at, const std::string& key);

  const keyspace::Conflict policy_;
  std::map<std::string, Cells> objects_;
};

/// The names of these elements in the model: in their order.
std::string IdText(StreamId id);
std::string IndexText(std::uint16_t index);

/// The same text of a store's object.
std::string Show(Store& store, ShardId shard, const std::string& key);

}  // namespace coterie::cells::testing
