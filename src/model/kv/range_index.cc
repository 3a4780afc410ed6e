#include "model/kv/range_index.h"

#include <utility>

#include "base/assert.h"

namespace coterie::kv {

// The priorities only shape the tree, so the seed may be any constant.
RangeIndex::RangeIndex() : random_(0x72616e6765) {}
RangeIndex::~RangeIndex() = default;

void RangeIndex::Update(Node& node) {
  node.greatest_end = node.end;
  for (const Node* child : {node.left.get(), node.right.get()}) {
    if (child == nullptr || node.greatest_end.empty()) continue;
    if (child->greatest_end.empty() || child->greatest_end > node.greatest_end) {
      node.greatest_end = child->greatest_end;
    }
  }
}

bool RangeIndex::Before(const Node& node, std::string_view begin, std::uint64_t id) {
  const int order = std::string_view(node.begin).compare(begin);
  return order != 0 ? order < 0 : node.id < id;
}

void RangeIndex::Split(NodePtr tree, std::string_view begin, std::uint64_t id, NodePtr& low,
                       NodePtr& high) {
  if (!tree) {
    low.reset();
    high.reset();
    return;
  }
  Node& node = *tree;
  NodePtr inner;
  if (Before(node, begin, id)) {
    Split(std::move(node.right), begin, id, inner, high);
    node.right = std::move(inner);
    low = std::move(tree);
  } else {
    Split(std::move(node.left), begin, id, low, inner);
    node.left = std::move(inner);
    high = std::move(tree);
  }
  Update(node);
}

RangeIndex::NodePtr RangeIndex::Merge(NodePtr low, NodePtr high) {
  if (!low) return high;
  if (!high) return low;
  NodePtr& top = low->priority >= high->priority ? low : high;
  NodePtr result = std::move(top);
  if (!low) {
    result->right = Merge(std::move(result->right), std::move(high));
  } else {
    result->left = Merge(std::move(low), std::move(result->left));
  }
  Update(*result);
  return result;
}

void RangeIndex::Insert(std::string begin, std::string end, std::uint64_t id,
                        WatchCursor* watcher) {
  COT_ASSERT(watcher != nullptr);
  COT_ASSERT(!end.empty());
  if (end == std::string_view("\0", 1)) end.clear();
  NodePtr low, high;
  Split(std::move(root_), begin, id, low, high);
  auto node = std::make_unique<Node>();
  node->begin = std::move(begin);
  node->end = std::move(end);
  node->id = id;
  node->watcher = watcher;
  node->priority = random_.Next();
  Update(*node);
  root_ = Merge(Merge(std::move(low), std::move(node)), std::move(high));
}

void RangeIndex::Remove(std::string_view begin, std::uint64_t id) {
  root_ = RemoveFrom(std::move(root_), begin, id);
}

RangeIndex::NodePtr RangeIndex::RemoveFrom(NodePtr tree, std::string_view begin, std::uint64_t id) {
  COT_ASSERT(tree != nullptr);
  if (tree->id == id && tree->begin == begin)
    return Merge(std::move(tree->left), std::move(tree->right));
  NodePtr& side = Before(*tree, begin, id) ? tree->right : tree->left;
  side = RemoveFrom(std::move(side), begin, id);
  Update(*tree);
  return tree;
}

}  // namespace coterie::kv
