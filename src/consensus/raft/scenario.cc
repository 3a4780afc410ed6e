#include "consensus/raft/scenario.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>
#include <utility>

namespace coterie::raft {
namespace {

constexpr const char* kRoles[] = {"follower", "pre-candidate", "candidate", "leader"};

std::string NamesOf(const std::vector<NodeId>& nodes) {
  std::string text;
  for (NodeId node : nodes) text += (text.empty() ? "" : ",") + std::to_string(node.value);
  return text;
}

std::string Describe(const Configuration& configuration) {
  std::string text = "{" + NamesOf(configuration.voters);
  if (!configuration.outgoing.empty()) text += " from " + NamesOf(configuration.outgoing);
  if (!configuration.learners.empty()) text += " learners " + NamesOf(configuration.learners);
  return text + "}";
}

}  // namespace

Scenario::Scenario() = default;
Scenario::~Scenario() = default;

void Scenario::Say(const std::string& line) { out_ += "  " + line + "\n"; }

Scenario::Node& Scenario::At(const std::string& word) {
  return *nodes_.at(NodeId(std::stoull(word)));
}

std::string Scenario::Play(std::string_view script) {
  std::istringstream lines{std::string(script)};
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("  ")) continue;  // an earlier answer
    out_ += line + "\n";
    std::istringstream in(line.substr(0, line.find('#')));
    Words words;
    for (std::string word; in >> word;) words.push_back(word);
    if (!words.empty()) Command(words);
  }
  return out_;
}

void Scenario::Command(const Words& words) {
  const bool known =
      GroupCommand(words) || ClientCommand(words) || NetworkCommand(words) || MachineCommand(words);
  if (!known) broken_ = "unknown command " + words[0];
  for (auto& [id, node] : nodes_) {
    if (node->raft) Settle(*node);
  }
}

void Scenario::Start(Node& node) {
  const Disk& disk = node.disk;
  Config config = config_;
  config.self = node.id;
  Restored restored{disk.hard,          disk.compacted, disk.compacted_term,
                    disk.configuration, disk.entries,   disk.applied};
  node.raft = std::make_unique<Raft>(config, std::move(restored), node.random, now_);
  node.applied = disk.applied;
  invariants_.OnRestart(node.id);
}

void Scenario::Settle(Node& node) {
  while (node.raft && node.raft->HasOutput()) Take(node);
  invariants_.Observe(*node.raft);
  std::string wrong = CheckInvariants(*node.raft);
  if (wrong.empty()) wrong = invariants_.Check();
  if (broken_.empty()) broken_ = wrong;
}

void Scenario::Take(Node& node) {
  Output output = node.raft->TakeOutput();
  const auto id = node.id.value;
  if (output.leadership_changed) {
    Say(fmt::format("{} is {} in term {}, leader {}", id,
                    kRoles[static_cast<int>(node.raft->role())], node.raft->term().value,
                    node.raft->leader().value));
  }
  Send(node.id, output.messages);
  if (output.install_snapshot) {
    node.applied = output.install_snapshot->last_index;
    Say(fmt::format("{} installs the state at {}", id, node.applied.value));
  }
  for (const EntryPtr& entry : output.committed) {
    if (entry->index != node.applied + 1) broken_ = "applied out of order";
    node.applied = entry->index;
    if (entry->kind == EntryKind::kCommand)
      Say(fmt::format("{} applies {} {}", id, entry->index.value, entry->payload));
  }
  for (const ReadReady& read : output.reads) {
    Say(fmt::format("{} answers read {} at {}", id, read.id.value, read.index.value));
  }
  for (ReadId read : output.reads_failed) Say(fmt::format("{} fails read {}", id, read.value));
  for (NodeId to : output.snapshot_wanted) {
    node.wanted.insert(to);
    Say(fmt::format("{} wants a state sent to {}", id, to.value));
  }
  for (NodeId from : output.forgetful) {
    Say(fmt::format("{} finds that {} has lost its log", id, from.value));
  }
  const std::uint64_t persist_id = output.persist_id;
  if (persist_id == 0) return;
  node.writes.push_back(std::move(output));
  if (!node.held) Persist(node, persist_id);
}

void Scenario::Persist(Node& node, std::uint64_t up_to) {
  while (!node.writes.empty() && node.writes.front().persist_id <= up_to) {
    const Output write = std::move(node.writes.front());
    node.writes.pop_front();
    Disk& disk = node.disk;
    if (write.install_snapshot) {
      disk = Disk{disk.hard,
                  write.install_snapshot->last_index,
                  write.install_snapshot->last_term,
                  write.install_snapshot->configuration,
                  {},
                  write.install_snapshot->last_index};
    }
    if (!write.entries.empty()) {
      disk.entries.resize(write.entries.front()->index - disk.compacted - 1);
      disk.entries.insert(disk.entries.end(), write.entries.begin(), write.entries.end());
    }
    if (write.hard_state) disk.hard = *write.hard_state;
    node.raft->OnPersisted(write.persist_id, now_);
    Send(node.id, write.messages_after_persist);
  }
}

void Scenario::Send(NodeId from, const std::vector<Envelope>& envelopes) {
  for (const Envelope& envelope : envelopes) {
    const bool lost = cut_.contains({from, envelope.to}) || !nodes_.contains(envelope.to) ||
                      !nodes_.at(envelope.to)->raft;
    if (loud_) {
      Say(fmt::format("{} -> {} {}{}", from.value, envelope.to.value, Describe(envelope.message),
                      lost ? " (lost)" : ""));
    }
    if (!lost) links_[{from, envelope.to}].push_back(envelope.message);
  }
}

void Scenario::Hand(NodeId from, NodeId to, const Message& message) {
  Node& node = *nodes_.at(to);
  if (!node.raft) return;
  node.raft->Step(from, message, now_);
  Settle(node);
}

void Scenario::RunAll() {
  for (int round = 0; round < 1000; ++round) {
    bool busy = false;
    for (auto& [id, node] : nodes_) {
      if (node->raft) Settle(*node);
    }
    std::map<Link, std::deque<Message>> links = std::exchange(links_, {});
    for (auto& [link, messages] : links) {
      for (const Message& message : messages) {
        busy = true;
        Hand(link.first, link.second, message);
      }
    }
    if (!busy) return;
  }
  broken_ = "never comes to rest";
}

void Scenario::Snapshot(Node& from, Node& to, bool ok) {
  from.wanted.erase(to.id);
  const LogIndex index = from.applied;
  if (ok) {
    Hand(from.id, to.id,
         InstallSnapshot{from.raft->term(), index, *from.raft->TermAt(index),
                         from.raft->ConfigurationAt(index)});
  }
  from.raft->OnSnapshotSent(to.id, index, ok, now_);
}

void Scenario::State() {
  for (auto& [id, node] : nodes_) {
    if (!node->raft) {
      Say(fmt::format("{} is down", id.value));
      continue;
    }
    const Raft& raft = *node->raft;
    std::string log;
    for (LogIndex i = raft.compacted_index() + 1; i <= raft.last_index(); ++i) {
      log += fmt::format(" {}/{}", i.value, raft.TermAt(i)->value);
    }
    Say(fmt::format("{} {} term {} leader {} commit {} applied {} {} log ({}]{}", id.value,
                    kRoles[static_cast<int>(raft.role())], raft.term().value, raft.leader().value,
                    raft.commit_index().value, node->applied.value, Describe(raft.configuration()),
                    raft.compacted_index().value, log));
  }
}

bool Scenario::GroupCommand(const Words& words) {
  if (words[0] == "group") {
    Configuration first;
    std::vector<NodeId> spares;
    std::vector<NodeId>* list = &first.voters;
    for (std::size_t i = 1; i < words.size(); ++i) {
      if (words[i] == "learners") {
        list = &first.learners;
      } else if (words[i] == "spare") {
        list = &spares;
      } else {
        list->push_back(NodeId(std::stoull(words[i])));
      }
    }
    for (const auto* nodes : {&first.voters, &first.learners, &spares}) {
      for (NodeId id : *nodes) {
        nodes_[id] = std::make_unique<Node>(id);
        nodes_[id]->disk.configuration = first;
        Start(*nodes_[id]);
      }
    }
  } else if (words[0] == "narrow") {
    config_.append_bytes_max = config_.inflight_messages_max = 1;
  } else if (words[0] == "notices") {
    config_.commit_notice_delay = std::chrono::milliseconds(std::stoll(words[1]));
  } else if (words[0] == "run") {
    RunAll();
  } else if (words[0] == "state") {
    State();
  } else if (words[0] == "quiet" || words[0] == "loud") {
    loud_ = words[0] == "loud";
  } else if (words[0] == "pass") {
    now_ += std::chrono::milliseconds(std::stoll(words[1]));
    for (auto& [id, node] : nodes_) {
      if (node->raft) node->raft->Tick(now_);
    }
  } else {
    return false;
  }
  return true;
}

bool Scenario::ClientCommand(const Words& words) {
  const std::string& verb = words[0];
  const auto answer = [&](const auto& result) {
    if (!result) Say(std::string("refused: ") + std::string(InfoOf(result.error().code).name));
  };
  if (verb == "propose") {
    const bool elsewhere = words.size() > 3 && words[3] == "elsewhere";
    answer(At(words[1]).raft->Propose(words[2], elsewhere));
  } else if (verb == "read") {
    answer(At(words[1]).raft->Read(ReadId(std::stoull(words[2])), now_));
  } else if (verb == "transfer") {
    answer(At(words[1]).raft->TransferLeadership(NodeId(std::stoull(words[2])), now_));
  } else if (verb == "compact") {
    Node& node = At(words[1]);
    const LogIndex to(std::stoull(words[2]));
    Disk& disk = node.disk;
    disk.configuration = node.raft->ConfigurationAt(to);
    disk.compacted_term = *node.raft->TermAt(to);
    disk.entries.erase(disk.entries.begin(),
                       disk.entries.begin() + static_cast<std::ptrdiff_t>(to - disk.compacted));
    disk.compacted = disk.applied = to;
    node.raft->Compact(to);
  } else if (verb == "change") {
    std::vector<NodeId> voters;
    std::vector<NodeId> learners;
    std::vector<NodeId>* list = &voters;
    for (std::size_t i = 2; i < words.size(); ++i) {
      if (words[i] == "learners") {
        list = &learners;
      } else {
        list->push_back(NodeId(std::stoull(words[i])));
      }
    }
    answer(At(words[1]).raft->ProposeConfiguration(voters, learners));
  } else {
    return false;
  }
  return true;
}

bool Scenario::NetworkCommand(const Words& words) {
  const std::string& verb = words[0];
  if (verb == "cut") {
    for (auto& [a, from] : nodes_) {
      for (auto& [b, to] : nodes_) {
        const bool inside = std::count(words.begin() + 1, words.end(), std::to_string(a.value)) > 0;
        const bool other = std::count(words.begin() + 1, words.end(), std::to_string(b.value)) > 0;
        if (inside != other) cut_.insert({a, b});
      }
    }
    for (const Link& link : cut_) links_.erase(link);
    return true;
  }
  if (verb == "heal") {
    cut_.clear();
    return true;
  }
  if (verb != "deliver" && verb != "drop" && verb != "repeat" && verb != "last") return false;
  const NodeId from(std::stoull(words[1]));
  const NodeId to(std::stoull(words[2]));
  const int count = words.size() > 3 ? std::stoi(words[3]) : 1;
  std::deque<Message>& link = links_[{from, to}];
  for (int i = 0; i < count; ++i) {
    if (link.empty()) {
      Say("nothing is under way");
      return true;
    }
    const Message message = verb == "last" ? link.back() : link.front();
    if (verb == "last") link.pop_back();
    if (verb == "deliver" || verb == "drop") link.pop_front();
    if (verb != "drop") Hand(from, to, message);
  }
  return true;
}

bool Scenario::MachineCommand(const Words& words) {
  const std::string& verb = words[0];
  if (verb == "timeout" || verb == "heartbeat" || verb == "notice") {
    Node& node = At(words[1]);
    // Others keep their patience: only this node's clock runs ahead.
    node.raft->Tick(std::max(now_, node.raft->NextDeadline()));
  } else if (verb == "hold") {
    At(words[1]).held = true;
  } else if (verb == "persist" || verb == "free") {
    Node& node = At(words[1]);
    if (verb == "free") node.held = false;
    Persist(node, words.size() > 2 ? std::stoull(words[2]) : ~std::uint64_t{0});
  } else if (verb == "snapshot" || verb == "snapshot_lost") {
    Snapshot(At(words[1]), At(words[2]), verb == "snapshot");
  } else if (verb == "crash") {
    Node& node = At(words[1]);
    node.raft.reset();
    node.writes.clear();
    for (auto& [link, messages] : links_) {
      if (link.second == node.id) messages.clear();
    }
  } else if (verb == "forget") {
    At(words[1]).disk.entries.clear();
  } else if (verb == "restart") {
    Start(At(words[1]));
  } else if (verb == "unreachable") {
    At(words[1]).raft->OnUnreachable(NodeId(std::stoull(words[2])));
  } else {
    return false;
  }
  return true;
}

}  // namespace coterie::raft
