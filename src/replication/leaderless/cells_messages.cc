#include "replication/leaderless/messages.h"
#include "replication/leaderless/wire.h"

namespace coterie::leaderless {

namespace {
using wire::Put;
using wire::PutMany;
using wire::Reader;

// A request begins with its place in CellsRequest.
void PutHead(std::string& out, ShardId shard, Epoch epoch) {
  PutVarint(out, shard.value);
  PutVarint(out, epoch.value);
}
void PutRanges(std::string& out, const std::vector<KeyRange>& ranges) {
  PutMany(out, ranges, [&](const KeyRange& range) {
    PutLengthPrefixed(out, range.from);
    PutLengthPrefixed(out, range.to);
  });
}
void PutCells(std::string& out, const std::vector<KeyCell>& cells) {
  PutMany(out, cells, [&](const KeyCell& cell) {
    PutLengthPrefixed(out, cell.key);
    PutLengthPrefixed(out, cell.cell);
  });
}
std::vector<KeyRange> Ranges(Reader& in) {
  return in.Many([&] {
    KeyRange range;
    range.from = in.Text();
    range.to = in.Text();
    return range;
  });
}
std::vector<KeyCell> Cells(Reader& in) {
  return in.Many([&] {
    KeyCell cell;
    cell.key = in.Text();
    cell.cell = in.Text();
    return cell;
  });
}

struct PutRequest {
  std::string& out;
  void operator()(const DotsRequest& request) const {
    PutHead(out, request.shard, request.epoch);
    clock::Put(out, request.applied);
  }
  void operator()(const SummariesRequest& request) const {
    PutHead(out, request.shard, request.epoch);
    PutRanges(out, request.ranges);
  }
  void operator()(const FetchRequest& request) const {
    PutHead(out, request.shard, request.epoch);
    PutRanges(out, request.ranges);
  }
  void operator()(const GiveRequest& request) const {
    PutHead(out, request.shard, request.epoch);
    clock::Put(out, request.applied);
    PutCells(out, request.cells);
  }
  void operator()(const ObjectRequest& request) const {
    PutHead(out, request.shard, request.epoch);
    PutLengthPrefixed(out, request.key);
    clock::Put(out, request.applied);
  }
  void operator()(const DigestsRequest& request) const {
    PutMany(out, request.shards, [&](ShardId shard) { PutVarint(out, shard.value); });
  }
};

template <class Request>
Request Head(Reader& in) {
  Request request;
  request.shard = in.Shard();
  request.epoch = in.InEpoch();
  return request;
}

std::optional<CellsRequest> ReadRequest(std::uint64_t kind, Reader& in) {
  switch (kind) {
    case 0: {
      auto request = Head<DotsRequest>(in);
      request.applied = in.Vector();
      return request;
    }
    case 1: {
      auto request = Head<SummariesRequest>(in);
      request.ranges = Ranges(in);
      return request;
    }
    case 2: {
      auto request = Head<FetchRequest>(in);
      request.ranges = Ranges(in);
      return request;
    }
    case 3: {
      auto request = Head<GiveRequest>(in);
      request.applied = in.Vector();
      request.cells = Cells(in);
      return request;
    }
    case 4: {
      auto request = Head<ObjectRequest>(in);
      request.key = in.Text();
      request.applied = in.Vector();
      return request;
    }
    case 5:
      return DigestsRequest{in.Many([&] { return in.Shard(); })};
    default:
      return std::nullopt;
  }
}
}  // namespace

std::string Encode(const CellsRequest& request) {
  std::string out;
  PutVarint(out, request.index());
  std::visit(PutRequest{out}, request);
  return out;
}

std::optional<CellsRequest> DecodeCellsRequest(std::string_view bytes) {
  Reader in(bytes);
  const std::uint64_t kind = in.Varint();
  if (!in.ok()) return std::nullopt;
  auto request = ReadRequest(kind, in);
  if (!in.done()) return std::nullopt;
  return request;
}

std::string Encode(const DotsReply& reply) {
  std::string out;
  clock::Put(out, reply.applied);
  PutVarint(out, reply.more ? 1 : 0);
  PutVarint(out, reply.beyond ? 1 : 0);
  PutMany(out, reply.mutations, [&](const std::string& m) { PutLengthPrefixed(out, m); });
  return out;
}

std::optional<DotsReply> DecodeDotsReply(std::string_view bytes) {
  Reader in(bytes);
  DotsReply reply;
  reply.applied = in.Vector();
  reply.more = in.Flag();
  reply.beyond = in.Flag();
  reply.mutations = in.Many([&] { return in.Text(); });
  if (!in.done()) return std::nullopt;
  return reply;
}

std::string Encode(const SummariesReply& reply) {
  std::string out;
  clock::Put(out, reply.applied);
  PutMany(out, reply.summaries, [&](const Summary& summary) {
    PutMany(out, summary.items, [&](const Item& item) {
      PutLengthPrefixed(out, item.key);
      Put(out, item.id);
    });
    PutMany(out, summary.parts, [&](const Summary::Part& part) {
      PutLengthPrefixed(out, part.from);
      Put(out, part.fingerprint);
    });
  });
  return out;
}

std::optional<SummariesReply> DecodeSummariesReply(std::string_view bytes) {
  Reader in(bytes);
  SummariesReply reply;
  reply.applied = in.Vector();
  reply.summaries = in.Many([&] {
    Summary summary;
    summary.items = in.Many([&] {
      Item item;
      item.key = in.Text();
      item.id = in.Id();
      return item;
    });
    summary.parts = in.Many([&] {
      Summary::Part part;
      part.from = in.Text();
      part.fingerprint = in.Print();
      return part;
    });
    return summary;
  });
  if (!in.done()) return std::nullopt;
  return reply;
}

std::string Encode(const FetchReply& reply) {
  std::string out;
  clock::Put(out, reply.applied);
  PutCells(out, reply.cells);
  PutVarint(out, reply.resume_range);
  PutLengthPrefixed(out, reply.resume_key);
  return out;
}

std::optional<FetchReply> DecodeFetchReply(std::string_view bytes) {
  Reader in(bytes);
  FetchReply reply;
  reply.applied = in.Vector();
  reply.cells = Cells(in);
  reply.resume_range = in.Varint();
  reply.resume_key = in.Text();
  if (!in.done()) return std::nullopt;
  return reply;
}

std::string Encode(const ObjectReply& reply) {
  std::string out;
  clock::Put(out, reply.applied);
  PutVarint(out, reply.large ? 1 : 0);
  PutCells(out, reply.cells);
  return out;
}

std::optional<ObjectReply> DecodeObjectReply(std::string_view bytes) {
  Reader in(bytes);
  ObjectReply reply;
  reply.applied = in.Vector();
  reply.large = in.Flag();
  reply.cells = Cells(in);
  if (!in.done()) return std::nullopt;
  return reply;
}

std::string Encode(const DigestsReply& reply) {
  std::string out;
  PutMany(out, reply.digests, [&](const DigestsReply::Digest& digest) {
    PutVarint(out, digest.shard.value);
    PutFixed64(out, digest.digest);
    PutLengthPrefixed(out, digest.applied);
  });
  return out;
}

std::optional<DigestsReply> DecodeDigestsReply(std::string_view bytes) {
  Reader in(bytes);
  DigestsReply reply;
  reply.digests = in.Many([&] {
    DigestsReply::Digest digest;
    digest.shard = in.Shard();
    digest.digest = in.Fixed64();
    digest.applied = in.Text();
    return digest;
  });
  if (!in.done()) return std::nullopt;
  return reply;
}

}  // namespace coterie::leaderless
