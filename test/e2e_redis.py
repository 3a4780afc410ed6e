#!/usr/bin/env python3
"""Unmodified Redis clients on a demo cluster: redis-cli, redis-benchmark and redis-py use all three kinds of
keyspace, and bytes that are not the protocol's get a clear error, in bounded memory."""

import re
import socket
import subprocess
import threading
import time
from pathlib import Path

import redis

from demo_cluster import DemoCluster, claim, main, wait_for

CART, MAIN, LOCK = 0, 1, 2  # the demo's databases


def client(demo, name, database, **more):
    return redis.Redis(host=demo.nodes[name]["address"], port=6379, db=database, socket_timeout=10,
                       decode_responses=True, **more)


def refused(call, *words):
    """The error's text; a claim that there is one with these words."""
    try:
        answer = call()
    except redis.RedisError as error:
        for word in words:
            claim(word.lower() in str(error).lower(), f"the refusal says {word}", error)
        return str(error)
    claim(False, f"refused with {words}", answer)


def connection(demo, name):
    return socket.create_connection((demo.nodes[name]["address"], 6379), timeout=30)


def resident_mib(demo, name):
    pid = next(node["pid"] for node in demo.coterie_state()["nodes"] if node["name"] == name)
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text()).group(1)) / 1024


def read_until(link, ending, limit=1 << 20):
    got = b""
    while not got.endswith(ending) and len(got) < limit:
        part = link.recv(65536)
        if not part:
            break
        got += part
    return got


def ended(link):
    try:
        return link.recv(10) == b""
    except ConnectionResetError:  # what it had not read yet makes it one
        return True


def a_library_uses_crdt_values_at_every_node(demo):
    a, b = client(demo, "n1", CART), client(demo, "n2", CART)

    def everywhere(read, expected):
        wait_for(f"another node reads {expected!r}", lambda: read(b) == expected, evidence=lambda: read(b))
        claim(read(a) == expected, "the first reads the same", read(a))

    a.set("s", "v", ex=100)
    everywhere(lambda c: c.get("s"), "v")
    claim(90 < b.ttl("s") <= 100, "the time to live goes along", b.ttl("s"))
    a.incrby("n", 5)
    b.decr("n")
    everywhere(lambda c: c.get("n"), "4")
    a.hset("h", mapping={"f": "1", "g": "2"})
    everywhere(lambda c: c.hgetall("h"), {"f": "1", "g": "2"})
    a.sadd("set", "x", "y", "z")
    everywhere(lambda c: c.smembers("set"), {"x", "y", "z"})
    b.srem("set", "x")
    everywhere(lambda c: c.scard("set"), 2)
    a.zadd("z", {"one": 1, "two": 2, "three": 3})
    a.zincrby("z", 10, "one")
    everywhere(lambda c: c.zrange("z", 0, -1, withscores=True), [("two", 2.0), ("three", 3.0), ("one", 11.0)])
    a.pfadd("hll", *(f"m{i}" for i in range(1000)))
    everywhere(lambda c: 950 < c.pfcount("hll") < 1050, True)
    first = a.xadd("stream", {"k": "v"})
    everywhere(lambda c: c.xrange("stream"), [(first, {"k": "v"})])
    wait_for("XREAD serves the stable prefix", lambda: b.xread({"stream": "0"}) == [["stream", [(first, {"k": "v"})]]],
             evidence=lambda: b.xread({"stream": "0"}))
    claim(set(a.scan_iter()) >= {"s", "n", "h", "set", "z", "hll", "stream"}, "SCAN finds all", list(a.scan_iter()))
    a.delete("h", "set")
    everywhere(lambda c: c.exists("h", "set"), 0)
    refused(lambda: a.setnx("s", "w"), "NOTCRDT")
    refused(lambda: a.spop("set"), "raft")
    refused(lambda: a.blpop("l", 1), "BLPOP")


def a_library_uses_an_ordered_keyspace_at_every_node(demo):
    a, b = client(demo, "n1", MAIN), client(demo, "n3", MAIN)
    claim(a.set("greeting", "hello", nx=True) and b.set("greeting", "again", nx=True) is None, "NX is decided once")
    claim(demo.get("greeting") == {"greeting": "hello"}, "etcdctl reads what redis-py wrote", demo.get("greeting"))
    demo.done("put", "greeting", "from etcdctl")
    claim(b.get("greeting") == "from etcdctl", "and the reverse", b.get("greeting"))
    claim(a.incr("n") == 1 and b.incrby("n", 4) == 5, "counters")
    a.hset("h", mapping={"f": "1"})
    claim(b.hgetall("h") == {"f": "1"} and b.hincrby("h", "f", 2) == 3, "hashes")
    a.sadd("set", 1, 2, 3)
    claim(b.spop("set") in {"1", "2", "3"} and a.scard("set") == 2, "sets give an element out once")
    a.zadd("z", {"x": 1, "y": 2})
    claim(b.zpopmin("z") == [("x", 1.0)], "sorted sets")
    with a.pipeline(transaction=True) as pipe:
        pipe.set("t", 1)
        pipe.incr("t")
        claim(pipe.execute() == [True, 2], "MULTI and EXEC")
    with a.pipeline() as pipe:
        pipe.watch("t")
        b.set("t", 9)
        pipe.multi()
        pipe.set("t", 0)
        try:
            pipe.execute()
            claim(False, "EXEC notices the change of a watched key")
        except redis.WatchError:
            claim(a.get("t") == "9", "and does nothing")
    a.set("short", "lived", px=200)
    wait_for("it expires", lambda: b.get("short") is None)


def a_library_uses_registers_decided_by_ballots(demo):
    clients = [client(demo, name, LOCK) for name in ("n1", "n2", "n3")]
    threads = [threading.Thread(target=lambda c=c: [c.incr("n") for _ in range(50)]) for c in clients]
    won = [c.set("lock", name, nx=True, px=60000) for name, c in enumerate(clients)]
    claim(sum(map(bool, won)) == 1, "one of three takes the lock", won)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    claim([c.get("n") for c in clients] == ["150"] * 3, "no increment is lost", [c.get("n") for c in clients])
    claim(set(clients[1].scan_iter()) == {"n", "lock"}, "SCAN", set(clients[1].scan_iter()))
    refused(lambda: clients[0].hset("h", "f", "v"), "NOTPAXOS")


def messages_reach_subscribers_at_other_nodes(demo):
    subscriber = client(demo, "n3", CART).pubsub()
    subscriber.subscribe("news")
    subscriber.psubscribe("n*")
    for _ in range(2):
        claim(subscriber.get_message(timeout=5) is not None, "it is subscribed")
    client(demo, "n1", CART).publish("news", "hello")
    got = [subscriber.get_message(timeout=5) for _ in range(2)]
    claim({(m["type"], m["data"]) for m in got if m} == {("message", "hello"), ("pmessage", "hello")},
          "the message arrives by name and by pattern", got)
    subscriber.close()


def redis_benchmark_runs(demo):
    for database, tests in ((CART, "ping,set,get,incr,sadd,hset,zadd,mset"),
                            (MAIN, "ping,set,get,incr,sadd,hset,spop,zadd,zpopmin,mset")):
        done = subprocess.run(["redis-benchmark", "-h", demo.nodes["n2"]["address"], "--dbnum", str(database), "-n",
                               "2000", "-c", "20", "-r", "1000", "-t", tests, "-q"], capture_output=True, text=True,
                              timeout=300)
        claim(done.returncode == 0 and "ERR" not in done.stdout and "rror" not in done.stderr,
              "redis-benchmark runs", done.stdout, done.stderr)
        claim(done.stdout.count("requests per second") >= len(tests.split(",")), "every test", done.stdout)


def bytes_that_are_not_the_protocols_are_refused(demo):
    for sent, answer in ((b"*1\r\n$9999999999999\r\n", b"-ERR Protocol error: invalid bulk length"),
                         (b"*99999999999\r\n", b"-ERR Protocol error: invalid multibulk length"),
                         (b"*1\r\n:5\r\n", b"-ERR Protocol error: expected '$', got ':'"),
                         (b"*1\r\n$-5\r\n", b"-ERR Protocol error: invalid bulk length"),
                         (b"x" * 70000, b"-ERR Protocol error: too big inline request")):
        with connection(demo, "n1") as link:
            link.sendall(sent)
            got = read_until(link, b"\r\n")
            claim(got.startswith(answer), f"{sent[:30]} is refused in Redis's words", got)
            claim(ended(link), "and the connection ends")
    with connection(demo, "n1") as link:
        link.sendall(b"PING\r\n*1\r\n$7\r\nUNHEARD\r\n*2\r\n$3\r\nGET\r\n$1\r\nx\r\n*1\r\n$3\r\nGET\r\n")
        got = read_until(link, b"command\r\n")
        claim(got.startswith(b"+PONG\r\n-ERR unknown command 'UNHEARD'") and b"$-1\r\n" in got and
              b"wrong number of arguments for 'get' command" in got, "others are answered and it stays", got)


def a_claimed_length_costs_nothing(demo):
    before = resident_mib(demo, "n1")
    links = [connection(demo, "n1") for _ in range(50)]
    for link in links:
        link.sendall(b"*2\r\n$3\r\nGET\r\n$60000000\r\nabc")
    time.sleep(0.5)
    grown = resident_mib(demo, "n1") - before
    for link in links:
        link.close()
    claim(grown < 64, "memory grows with bytes that came, not with those announced", grown)


def a_pipeline_of_a_million_commands_runs_in_bounded_memory(demo):
    count, before = 1_000_000, resident_mib(demo, "n1")
    with connection(demo, "n1") as link:
        peak = [before]

        def send():
            chunk = b"*3\r\n$3\r\nSET\r\n$4\r\npipe\r\n$5\r\nvalue\r\n" * 10000
            for _ in range(count // 10000):
                link.sendall(chunk)

        sender = threading.Thread(target=send)
        sender.start()
        time.sleep(1)  # nobody reads: the node must stop taking
        got = 0
        while got < 5 * count:
            part = link.recv(1 << 20)
            claim(part, "every command is answered", got)
            got += len(part)
            peak[0] = max(peak[0], resident_mib(demo, "n1"))
        sender.join()
    claim(got == 5 * count, "each with OK", got)
    claim(peak[0] - before < 400, "memory stays bounded", f"{before:.0f} MiB before, {peak[0]:.0f} MiB at most")


def a_slow_subscriber_is_dropped_and_others_are_not(demo):
    slow, before = connection(demo, "n1"), resident_mib(demo, "n1")
    slow.sendall(b"SUBSCRIBE flood\r\n")
    read_until(slow, b":1\r\n")
    publisher, data = client(demo, "n1", CART), "x" * 100000
    for _ in range(1500):
        publisher.publish("flood", data)
    claim(resident_mib(demo, "n1") - before < 300, "what it does not read is bounded", resident_mib(demo, "n1"))
    claim(publisher.ping(), "others are served")
    slow.close()


def all_of_it():
    with DemoCluster() as demo:
        for part in (a_library_uses_crdt_values_at_every_node, a_library_uses_an_ordered_keyspace_at_every_node,
                     a_library_uses_registers_decided_by_ballots, messages_reach_subscribers_at_other_nodes,
                     redis_benchmark_runs, bytes_that_are_not_the_protocols_are_refused,
                     a_claimed_length_costs_nothing, a_pipeline_of_a_million_commands_runs_in_bounded_memory,
                     a_slow_subscriber_is_dropped_and_others_are_not):
            part(demo)
            print(f"        {part.__name__}", flush=True)


def keyspaces_are_declared_listed_explained_and_dropped():
    with DemoCluster() as demo:
        made = demo.coterie("keyspace", "create", "orders", "--replication", "leaderless", "--replicas", "3",
                            "--read", "2", "--write", "2", "--conflict", "lww", "--durability", "interval")
        claim(made.code == 0, "a keyspace is made", made)
        listed = {k["name"]: k for k in demo.coterie("keyspace", "list", "--output", "json").json()}
        claim({"main", "cart", "lock", "orders"} == set(listed), "it is listed beside the demo's", listed)
        orders = listed["orders"]
        claim(orders["replication"] == "leaderless" and orders["promise"]["write"] == 2 and orders["shards"],
              "with its promise", orders)
        c = client(demo, "n2", orders["redis_database"])
        wait_for("it serves", lambda: works(lambda: c.set("k", "v")))
        claim(client(demo, "n3", orders["redis_database"]).get("k") == "v", "R + W > N: others read it at once")
        claim(c.set("k", "w", nx=True) is None and c.set("new", "w", nx=True), "conditional writes are decided")
        explained = demo.coterie("keyspace", "explain", "orders")
        claim(explained.code == 0 and "2" in explained.out, "explained", explained)
        wrong = demo.coterie("keyspace", "create", "x", "--replication", "raft", "--conflict", "crdt")
        claim(wrong.code == 4 or wrong.code == 1, "contradictions are refused", wrong)
        claim("crdt" in wrong.err and "raft" in wrong.err, "naming both sides", wrong)
        claim(demo.coterie("keyspace", "drop", "orders", "--yes").code == 0, "dropped")
        refused(lambda: client(demo, "n1", orders["redis_database"]).get("k"), "DB index is out of range")


def works(call):
    try:
        return call()
    except redis.RedisError:
        return False


if __name__ == "__main__":
    main(all_of_it, keyspaces_are_declared_listed_explained_and_dropped)
