#!/usr/bin/env python3
"""An independent judge: clients over real sockets, troubles, and checkers that know nothing of the product.

usage: judge.py BINARY [--seconds N] [--seed S] [--nodes 3|5] [--churn] [--only CLASS,...] [--faults KIND,...]

A run is rounds of about ten seconds. In each, every class of objects has one client at each node, on few keys, while
one trouble after another comes and goes; then the cluster is healed, the last state is read, and the round is judged:

  registers     main (raft): GET SET SETNX GETDEL SET..GET, WATCH-MULTI-EXEC as compare-and-set: linearizable
  locks         lock (paxos): GET SET SETNX GETDEL: linearizable
  conditionals  an lww keyspace, R=W=2: SETNX and GETDEL: linearizable
  quorums       the same, one writer a key: a read is not older than what was acknowledged before it began
  convergent    cart (crdt): additions count once, nothing acknowledged is lost, nothing removed comes back
  collections   main: the same of sets and counters there
  watches       etcd: every watcher sees every acknowledged put, in order of revision, once
  leases        etcd: a key is there while its lease is renewed, and gone some time after

Prints a JSON line for each class and exits with 8 if any was violated. It tests its checkers first."""

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import checkers
import demo_cluster
from checkers import INFINITY, Op
from clients import Etcd, NotApplied, Redis, Unknown, grpc
from demo_cluster import DemoCluster, wait_for
from faults import KINDS, Clocks, Faults

CART, MAIN, LOCK, LWW = 0, 1, 2, 5
ROUND_SECONDS = 9
EPOCH_SECONDS = 0.6  # a register lives that long, so that histories stay short
LEASE_TTL = 3


class Class:
    """One class of objects: `work` runs in a thread a node until the round stops, `judge` after it is healed."""

    def __init__(self, demo, number, seed):
        self.demo, self.number, self.random = demo, number, random.Random(f"{seed} {type(self).__name__}")
        self.stopping, self.lock = threading.Event(), threading.Lock()
        self.started, self.operations, self.undecided = time.monotonic(), 0, 0
        self.threads = [threading.Thread(target=self.guard, args=(name, node["address"]), daemon=True)
                        for name, node in sorted(demo.nodes.items())]
        self.crashed = []

    def guard(self, name, host):
        try:
            self.work(name, host, random.Random(f"{self.random.random()} {name}"))
        except Exception as error:  # the judge's own mistake must not look like a pass
            self.crashed.append(f"{type(self).__name__} at {name}: {error!r}")

    def start(self):
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        if self.crashed:
            raise RuntimeError(self.crashed[0])

    def key(self, kind, i=0):
        epoch = int((time.monotonic() - self.started) / EPOCH_SECONDS)
        return f"j/{kind}/{self.number}/{epoch}/{i}"


class Registers(Class):
    database, verbs = MAIN, ("get", "set", "setnx", "getdel", "getset", "cas", "cas")

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.histories = {}

    def work(self, name, host, draw):
        connection, number = Redis(host, self.database), 0
        while not self.stopping.is_set():
            number += 1
            verb, key, value = draw.choice(self.verbs), self.key("r", draw.randrange(2)), f"{name}.{number}"
            start = time.monotonic()
            try:
                op = self.perform(connection, verb, key, value, start, name)
            except NotApplied:
                time.sleep(0.02)
                continue
            except Unknown:
                op = None if verb == "get" else Op(start, INFINITY, verb, value, None, name)
            if op is None:
                continue
            with self.lock:
                self.operations += 1
                self.histories.setdefault(key, []).append(op)

    def perform(self, connection, verb, key, value, start, name):
        argument = result = None
        if verb == "get":
            result = connection.call("GET", key)
        elif verb == "set":
            argument = value
            connection.call("SET", key, value)
        elif verb == "setnx":
            argument, result = value, connection.call("SETNX", key, value) == 1
        elif verb == "getdel":
            result = connection.call("GETDEL", key)
        elif verb == "getset":
            argument, result = value, connection.call("SET", key, value, "GET")
        elif verb == "cas":
            return self.compare_and_set(connection, key, value, start, name)
        return Op(start, time.monotonic(), verb, argument, result, name)

    def compare_and_set(self, connection, key, value, start, name):
        connection.call("WATCH", key)
        old = connection.call("GET", key)
        try:
            replies = connection.calls([("MULTI",), ("SET", key, value), ("EXEC",)])
        except Unknown:
            return Op(start, INFINITY, "cas", (old, value), None, name)
        if replies[-1] is None:
            return None  # another was faster: nothing happened
        return Op(start, time.monotonic(), "cas", (old, value), True, name)

    def judge(self):
        violations, self.undecided = checkers.registers(self.histories)
        return violations


class Locks(Registers):
    database, verbs = LOCK, ("get", "set", "setnx", "setnx", "getdel")


class Conditionals(Registers):
    database, verbs = LWW, ("setnx", "getdel")


class Quorums(Class):
    """One writer a key; every client reads all of them."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.acknowledged, self.reads = {}, {}
        self.keys = {name: f"j/q/{self.number}/{name}" for name in self.demo.nodes}

    def work(self, name, host, draw):
        connection, written = Redis(host, LWW), 0
        while not self.stopping.is_set():
            start = time.monotonic()
            try:
                if draw.random() < 0.4:
                    written += 1
                    connection.call("SET", self.keys[name], written)
                    with self.lock:
                        self.acknowledged.setdefault(name, []).append((time.monotonic(), written))
                else:
                    owner = draw.choice(sorted(self.keys))
                    value = connection.call("GET", self.keys[owner])
                    with self.lock:
                        self.reads.setdefault(owner, []).append((start, value and int(value), name))
                self.operations += 1
            except (NotApplied, Unknown):
                time.sleep(0.02)

    def judge(self):
        return [text for name in self.keys for text in checkers.single_writer(
            self.keys[name], self.acknowledged.get(name, []), self.reads.get(name, []))]


class Collections(Class):
    """Unique members of one set, and additions to one counter, from every node."""

    database = MAIN

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.added, self.maybe_added, self.removed, self.maybe_removed = set(), set(), set(), set()
        self.sum, self.unknown = 0, []
        self.set, self.counter = f"j/s/{self.number}", f"j/c/{self.number}"

    def work(self, name, host, draw):
        connection, number, mine = Redis(host, self.database), 0, []
        while not self.stopping.is_set():
            number += 1
            choice = draw.random()
            member, amount = f"{name}.{number}", draw.randrange(1, 100)
            if choice < 0.4:
                words, sure, maybe = ("SADD", self.set, member), self.added, self.maybe_added
            elif choice < 0.6 and mine:
                member = mine.pop(draw.randrange(len(mine)))
                words, sure, maybe = ("SREM", self.set, member), self.removed, self.maybe_removed
            else:
                words, sure, maybe = ("INCRBY", self.counter, amount), None, None
            try:
                reply = connection.call(*words)
            except NotApplied:
                if words[0] == "SREM":
                    mine.append(member)
                time.sleep(0.02)
                continue
            except Unknown:
                with self.lock:
                    self.unknown.append(amount) if maybe is None else maybe.add(member)
                continue
            with self.lock:
                self.operations += 1
                if sure is None:
                    self.sum += amount
                elif words[0] == "SREM" and reply != 1:
                    self.maybe_removed.add(member)  # a replica that had not heard of it yet
                else:
                    sure.add(member)
            if words[0] == "SADD":
                mine.append(member)

    def judge(self):
        self.converge()
        violations = []
        for name, node in sorted(self.demo.nodes.items()):
            connection = Redis(node["address"], self.database)
            final = set(retry(lambda: connection.call("SMEMBERS", self.set)))
            total = int(retry(lambda: connection.call("GET", self.counter)) or 0)
            violations += checkers.members(f"{self.set} at {name}", self.added, self.maybe_added, self.removed,
                                           self.maybe_removed, final)
            violations += checkers.counter(f"{self.counter} at {name}", self.sum, self.unknown, total)
        return violations

    def converge(self):
        pass


class Convergent(Collections):
    database = CART

    def converge(self):
        wait_for("cart converges", lambda: self.demo.coterie("keyspace", "digest", "cart").code == 0, seconds=90,
                 evidence=lambda: self.demo.coterie("keyspace", "digest", "cart"))


class Watches(Class):
    """A writer and a watcher at each node."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.puts, self.events, self.seen = {}, {}, {}
        self.prefix = f"j/w/{self.number}/"
        self.watchers_stopping = threading.Event()
        etcd = Etcd(self.demo.nodes["n1"]["address"])
        self.begin = retry(lambda: etcd.get("x"))[1] + 1
        etcd.close()

    def start(self):
        self.watchers = [threading.Thread(target=self.watch, args=(name, node["address"]), daemon=True)
                         for name, node in self.demo.nodes.items()]
        for thread in self.watchers:
            thread.start()
        super().start()

    def watch(self, name, host):
        etcd, next_revision, events = Etcd(host), self.begin, []
        self.events[name] = events
        while not self.watchers_stopping.is_set():
            try:
                for batch in etcd.watch(self.prefix, next_revision, self.watchers_stopping):
                    events.extend(batch)
                    if batch:
                        next_revision = self.seen[name] = batch[-1][0] + 1
            except Unknown as error:
                if "compact" in str(error):
                    self.crashed.append(f"a watch was overtaken by a compaction: {error}")
                    return
                time.sleep(0.05)
        etcd.close()

    def work(self, name, host, draw):
        etcd, number = Etcd(host), 0
        while not self.stopping.is_set():
            number += 1
            key, value = f"{self.prefix}{draw.randrange(3)}", f"{name}.{number}"
            try:
                revision = etcd.put(key, value)
                with self.lock:
                    self.operations += 1
                    self.puts[revision] = (key, value)
            except Unknown:
                time.sleep(0.02)
            time.sleep(0.005)
        etcd.close()

    def judge(self):
        etcd = Etcd(self.demo.nodes["n1"]["address"])
        last = retry(lambda: etcd.put(self.prefix + "end", "end"))
        etcd.close()
        wait_for("every watcher sees the last put", lambda: all(
            self.seen.get(name, 0) > last for name in self.demo.nodes), seconds=60, evidence=lambda: (last, self.seen))
        self.watchers_stopping.set()
        for thread in self.watchers:
            thread.join()
        return checkers.watches(self.events, self.puts)


class Leases(Class):
    """A key with a lease that is renewed a few times and then left alone."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.left, self.early = [], []

    def work(self, name, host, draw):
        etcd, number = Etcd(host), 0
        while not self.stopping.is_set():
            number += 1
            key = f"j/l/{self.number}/{name}/{number}"
            try:
                renewed = time.monotonic()
                lease = etcd.grant(LEASE_TTL)
                etcd.put(key, "held", lease)
            except Unknown:
                time.sleep(0.1)
                continue
            self.operations += 1
            for _ in range(draw.randrange(1, 5)):
                self.stopping.wait(draw.uniform(0.2, 0.8))
                try:
                    if draw.random() < 0.5:
                        asked = time.monotonic()
                        if etcd.renew(lease) > 0:
                            renewed = asked
                    value, _ = etcd.get(key)
                except Unknown:
                    continue
                # The fastest clock may gain a twentieth.
                if value is None and time.monotonic() < renewed + LEASE_TTL * 0.95:
                    self.early.append(f"{key} was gone {time.monotonic() - renewed:.2f} s after a renewal of {LEASE_TTL} s")
                if value is None:
                    break
            with self.lock:
                self.left.append(key)
        etcd.close()

    def judge(self):
        etcd = Etcd(self.demo.nodes["n1"]["address"])
        for key in self.left:
            wait_for(f"{key} is gone after its lease", lambda: retry(lambda: etcd.get(key))[0] is None, seconds=60)
        etcd.close()
        return self.early


CLASSES = {"registers": Registers, "locks": Locks, "conditionals": Conditionals, "quorums": Quorums,
           "convergent": Convergent, "collections": Collections, "watches": Watches, "leases": Leases}
NEED_GRPC = {"watches", "leases"}


def retry(attempt, seconds=90):
    deadline = time.monotonic() + seconds
    while True:
        try:
            return attempt()
        except (NotApplied, Unknown) as error:
            if time.monotonic() > deadline:
                raise demo_cluster.Failure(f"healed, and still refused after {seconds} s: {error}") from error
            time.sleep(0.1)


def serves(demo):
    """Every node takes a write in every keyspace."""
    for name, node in sorted(demo.nodes.items()):
        for database in (CART, MAIN, LOCK, LWW):
            connection = Redis(node["address"], database)
            retry(lambda: connection.call("SET", f"j/serves/{name}", "1"))
            connection.close()


def churn(demo, names):
    """Machines come and go: one joins, one of the first ones' colleagues leaves."""
    added = demo.coterie("node", "add", timeout=200)
    if added.code != 0:
        return f"node add: exit code {added.code}"
    new = sorted({node["name"] for node in demo.coterie_state()["nodes"]} - set(names))[-1]
    drained = demo.coterie("node", "drain", new, "--wait", timeout=300)
    return f"{new} came and went (exit codes {added.code}, {drained.code})"


def round_of(demo, number, options, clocks, totals):
    draw = random.Random(f"{options.seed} {number}")
    classes = {name: CLASSES[name](demo, number, f"{options.seed} {number}") for name in options.only}
    faults = Faults(demo, draw, clocks, options.faults)
    for each in classes.values():
        each.start()
    if not options.churn or number % 3:
        faults.start()
        time.sleep(ROUND_SECONDS)
    else:
        faults.say(churn(demo, sorted(demo.nodes)))
    if faults.is_alive() or faults.done:
        faults.stop() if faults.ident else faults.heal()
    for each in classes.values():
        each.stop()
    serves(demo)
    violated = False
    for name, each in classes.items():
        violations = each.judge()
        total = totals[name]
        total["operations"] += each.operations
        total["undecided"] += each.undecided
        total["violations"] += len(violations)
        for text in violations[:3]:
            violated = True
            print(f"VIOLATION in round {number} (seed {options.seed}), {name}: {text}", file=sys.stderr, flush=True)
    if violated:
        for at, text in faults.done:
            print(f"    {at:.6f} {text}", file=sys.stderr, flush=True)
    return violated


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--churn", action="store_true", help="in every third round a machine comes and goes")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(CLASSES))
    parser.add_argument("--faults", type=lambda text: text.split(","), default=list(KINDS))
    options = parser.parse_args()
    checkers.self_test()
    if grpc is None:
        print("without python3-grpcio: no watches, no leases", file=sys.stderr)
        options.only = [name for name in options.only if name not in NEED_GRPC]
    totals = {name: {"class": name, "operations": 0, "undecided": 0, "violations": 0} for name in options.only}
    rounds = broken = 0
    with tempfile.TemporaryDirectory(prefix="coterie-judge-") as home:
        clocks = Clocks(Path(home) / "clocks")
        with DemoCluster(nodes=options.nodes, environment=clocks.environment()) as demo:
            made = demo.coterie("keyspace", "create", "judged", "--replication", "leaderless", "--conflict", "lww",
                                "--read", 2, "--write", 2, "--redis-database", LWW)
            demo_cluster.claim(made.code == 0, "the judged keyspace is made", made)
            serves(demo)
            started = time.monotonic()
            while rounds == 0 or time.monotonic() - started < options.seconds:
                rounds += 1
                broken += round_of(demo, rounds, options, clocks, totals)
    for total in totals.values():
        print(json.dumps({**total, "rounds": rounds, "nodes": options.nodes, "seed": options.seed}), flush=True)
    sys.exit(8 if broken else 0)


if __name__ == "__main__":
    main()
