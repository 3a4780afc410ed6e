#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/random.h"

namespace coterie::kv {

class WatchCursor;

/// Half-open key ranges, searched by a key inside them: a treap ordered by begin where each node
/// knows the greatest end below it (an interval tree [CLRS §14.3]). Insert and Remove O(log n),
/// Stab O(log n + matches) for ranges that do not pile up.
class RangeIndex {
 public:
  RangeIndex();
  ~RangeIndex();
  RangeIndex(const RangeIndex&) = delete;
  RangeIndex& operator=(const RangeIndex&) = delete;

  /// [begin, end); `end` "\0": no end. `watcher` must be removed before it goes.
  void Insert(std::string begin, std::string end, std::uint64_t id, WatchCursor* watcher);
  void Remove(std::string_view begin, std::uint64_t id);
  bool empty() const { return !root_; }

  /// Calls visit(WatchCursor*) for every range that holds `key`, in order of begin, then id.
  template <class Visit>
  void Stab(std::string_view key, Visit&& visit) const {
    StabNode(root_.get(), key, visit);
  }

 private:
  struct Node {
    std::string begin;
    std::string end;  // "" : no end
    std::uint64_t id;
    WatchCursor* watcher;
    std::uint64_t priority;
    std::string_view greatest_end;  // of this subtree: views the end of one of its nodes
    std::unique_ptr<Node> left, right;
  };
  using NodePtr = std::unique_ptr<Node>;

  static bool EndsAfter(std::string_view end, std::string_view key) {
    return end.empty() || key < end;
  }
  static void Update(Node& node);
  static bool Before(const Node& node, std::string_view begin, std::uint64_t id);
  /// Splits into nodes before (begin, id) and the others.
  static void Split(NodePtr tree, std::string_view begin, std::uint64_t id, NodePtr& low,
                    NodePtr& high);
  static NodePtr Merge(NodePtr low, NodePtr high);
  static NodePtr RemoveFrom(NodePtr tree, std::string_view begin, std::uint64_t id);

  template <class Visit>
  static void StabNode(const Node* node, std::string_view key, Visit& visit) {
    if (node == nullptr || !EndsAfter(node->greatest_end, key)) return;
    StabNode(node->left.get(), key, visit);
    if (key < std::string_view(node->begin)) return;
    if (EndsAfter(node->end, key)) visit(node->watcher);
    StabNode(node->right.get(), key, visit);
  }

  Random random_;
  NodePtr root_;
};

}  // namespace coterie::kv
