#!/usr/bin/env python3
"""An independent judge over real sockets: real processes, real faults, clients that contend, and checks that share
no code with the product (judge_checks.py).

usage: judge.py BINARY [--seconds N] [--seed S] [--nodes 3|5] [--faults kill,pause,...] [--classes exec,...] [--keep DIR]
       judge.py --self-test

Several processes with several clients each, which speak RESP by hand to every node of a demo cluster of its own,
while `coterie fault` kills, pauses, cuts, delays and heals. One JSON line is printed for each class of objects:
    registers     SET and GET on a raft keyspace: linearizable
    exec          WATCH, GET, MULTI, SET, EXEC on a raft keyspace: no update is lost
    incr          INCR on a raft keyspace: the same
    conditional-raft, conditional-paxos    SET NX, GETDEL and GET: linearizable
    conditional-lww    SET NX and GETDEL on lww, R=W=2: linearizable, no value is taken twice
    registers-paxos    SET and GET on a paxos keyspace: linearizable
    quorum        SET and GET on lww, R=W=2: no read tells what was overwritten before it began
    counters, sets     INCRBY, SADD and SREM on a crdt keyspace, R=W=1: additions count once, nothing acknowledged
                  is lost, nothing removed comes back, all nodes tell the same in the end
Exit codes: 0 all kept, 8 a violation, 1 it could not be judged. The faults and choices follow from the seed; what
the machine makes of them does not. A violation is printed, and its history kept in the directory of --keep."""

import argparse
import json
import multiprocessing
import os
import random
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

import judge_checks as checks

PATIENCE = 12  # seconds; longer than a node takes to refuse
EPOCH = 2.0    # seconds, after which clients go on to fresh keys
PROCESSES = 3
DATABASES = {"cart": 0, "main": 1, "lock": 2, "pair": 5}


class Refused(Exception):
    """The node answered that it did not happen."""


class Unknown(Exception):
    """It may have happened."""


class Client:
    """One connection at a time, to one node of `addresses` after the other."""

    def __init__(self, addresses, database, random_, pinned=False):
        self.addresses, self.database, self.random, self.pinned = addresses, database, random_, pinned
        self.address = random_.choice(addresses)
        self.stream = self.connection = None

    def call(self, *words):
        return self.calls([words])[0]

    def calls(self, commands):
        """The answers to commands that are sent at once; the first error of any ends all."""
        if self.stream is None:
            self._connect()
        try:
            self.stream.write(b"".join(map(self._encode, commands)))
            self.stream.flush()
            answers = [self._answer() for _ in commands]
        except (OSError, ValueError) as lost:
            self.close()
            raise Unknown(str(lost)) from lost
        for answer in answers:
            if isinstance(answer, Exception):
                if not self.pinned:
                    self.close()
                raise answer
        return answers

    def _connect(self):
        if not self.pinned:
            self.address = self.random.choice(self.addresses)
        try:
            self.connection = socket.create_connection((self.address, 6379), timeout=PATIENCE)
            self.stream = self.connection.makefile("rwb")
            self.stream.write(self._encode(("SELECT", self.database)))
            self.stream.flush()
            answer = self._answer()
        except (OSError, ValueError) as lost:
            self.close()
            time.sleep(0.02)
            raise Refused(str(lost)) from lost  # the command itself was never sent
        if isinstance(answer, Exception):
            self.close()
            raise Refused(str(answer))

    def close(self):
        for closing in (self.stream, self.connection):
            try:
                if closing is not None:
                    closing.close()
            except OSError:
                pass
        self.stream = self.connection = None

    @staticmethod
    def _encode(words):
        parts = [str(word).encode() for word in words]
        return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)

    def _answer(self):
        line = self.stream.readline()
        if not line.endswith(b"\r\n"):
            raise ValueError("the connection ended")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            # Without a word on the outcome it is taken for unknown, which excuses more.
            text = rest.decode(errors="replace")
            return Refused(text) if "(not applied)" in text else Unknown(text)
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.stream.read(int(rest) + 2)[:-2].decode(errors="replace")
        if kind == b"*":
            return None if rest == b"-1" else [self._answer() for _ in range(int(rest))]
        return rest.decode()


class Recorder:
    """What one client did, as JSON lines of its process's file."""

    def __init__(self, out, lock, name, who):
        self.out, self.lock, self.name, self.who = out, lock, name, who
        self.number = 0

    def unique(self):
        self.number += 1
        return f"{self.who}.{self.number}"

    def run(self, key, kind, perform, **known):
        """Performs, records, and gives the answer, or None if there is none."""
        op = {"class": self.name, "key": key, "kind": kind, **known, "start": time.monotonic_ns()}
        try:
            op.update(perform())
            op["outcome"] = "ok"
        except Refused as refused:
            op.update(outcome="fail", why=str(refused)[:160])
        except Unknown as unknown:
            op.update(outcome="unknown", why=str(unknown)[:160])
        op["end"] = time.monotonic_ns()
        with self.lock:
            self.out.write(json.dumps(op) + "\n")
        if op["outcome"] != "ok":
            time.sleep(0.05)
        return op


def epoch_key(name, random_, keys):
    return f"{name}/{int(time.monotonic() / EPOCH)}/{random_.randrange(keys)}"


def do_registers(client, record, random_, name):
    key, value = epoch_key(name, random_, 2), record.unique()
    if random_.random() < 0.5:
        record.run(key, "write", lambda: client.call("SET", key, value) and {}, value=value)
    else:
        record.run(key, "read", lambda: {"value": client.call("GET", key)})


def do_conditional(client, record, random_, name):
    key, value = epoch_key(name, random_, 2), record.unique()
    choice = random_.random()
    if choice < 0.5:
        record.run(key, "set-if-absent",
                   lambda: {"result": client.call("SET", key, value, "NX") is not None}, value=value)
    elif choice < 0.8 or name == "conditional-lww":  # reads there wait for two, and are judged as `quorum`
        record.run(key, "take", lambda: {"result": client.call("GETDEL", key)})
    else:
        record.run(key, "read", lambda: {"result": client.call("GET", key)})


def do_exec(client, record, random_, name):
    key = f"{name}/{random_.randrange(2)}"

    def attempt():
        client.call("WATCH", key)
        try:
            number = int(client.call("GET", key) or 0) + 1
        except (Unknown, Refused) as error:
            raise Refused(str(error)) from error  # nothing was asked for yet
        answers = client.calls([("MULTI",), ("SET", key, number), ("EXEC",)])
        if answers[2] is None:
            raise Refused("another was faster")
        return {"result": number}

    def guarded():
        try:
            return attempt()
        except BaseException:
            client.close()  # what is watched or queued goes with the connection
            raise
    # What fails before EXEC is sent did not happen; Unknown from WATCH is no more than that.
    record.run(key, "add", guarded)


def do_incr(client, record, random_, name):
    key = f"{name}/{random_.randrange(2)}"
    record.run(key, "add", lambda: {"result": client.call("INCR", key)})


def do_counters(client, record, random_, name):
    key = f"{name}/{random_.randrange(4)}"
    record.run(key, "add", lambda: client.call("INCRBY", key, 1) is None or {"result": None})


def do_sets(client, record, random_, name):
    key, value = f"{name}/{random_.randrange(4)}", record.unique()
    added = record.run(key, "add", lambda: {"result": client.call("SADD", key, value)}, value=value)
    # By the same node, which knows of the addition.
    if added["outcome"] == "ok" and random_.random() < 0.4:
        record.run(key, "remove", lambda: {"result": client.call("SREM", key, value)}, value=value)


CLASSES = {  # what its clients do, the keyspace, clients in each process, whether a client stays at its node
    "registers": (do_registers, "main", 2, False), "exec": (do_exec, "main", 3, False),
    "incr": (do_incr, "main", 1, False), "conditional-raft": (do_conditional, "main", 2, False),
    "conditional-paxos": (do_conditional, "lock", 2, False), "registers-paxos": (do_registers, "lock", 1, False),
    "conditional-lww": (do_conditional, "pair", 2, False), "quorum": (do_registers, "pair", 2, False),
    "counters": (do_counters, "cart", 1, True), "sets": (do_sets, "cart", 1, True),
}


def clients_process(number, addresses, classes, seed, path, stopping):
    with open(path, "w", buffering=1 << 16) as out:
        lock, threads = threading.Lock(), []

        def run(name, index):
            do, keyspace, _, pinned = CLASSES[name]
            random_ = random.Random(f"{seed}/{number}/{name}/{index}")
            client = Client(addresses, DATABASES[keyspace], random_, pinned)
            record = Recorder(out, lock, name, f"{number}{chr(97 + index)}")
            while not stopping.is_set():
                do(client, record, random_, name)
            client.close()

        for name in classes:
            for index in range(CLASSES[name][2]):
                threads.append(threading.Thread(target=run, args=(name, index)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


class Nemesis:
    """Faults of at most a minority at a time, now and then of all; each is healed before the next."""

    def __init__(self, demo, random_, kinds):
        self.demo, self.random, self.counts = demo, random_, {}
        self.names = list(demo.nodes)
        self.kinds = kinds or ["kill", "pause", "partition", "cut", "delay", "kill-all"]

    def fault(self, *words):
        done = self.demo.coterie("fault", *words)
        return done.code == 0

    def round(self, sleep):
        kind, wait = self.random.choice(self.kinds), lambda low, high: sleep(self.random.uniform(low, high))
        self.counts[kind] = self.counts.get(kind, 0) + 1
        some = self.random.sample(self.names, (len(self.names) - 1) // 2)
        victims = some[:self.random.randint(1, len(some))]
        if kind == "kill-all":
            for name in self.names:
                self.fault("kill", name)
            for name in self.random.sample(self.names, len(self.names)):
                self.restart(name)
        elif kind == "kill":
            for name in victims:
                self.fault("kill", name)
            wait(0.5, 4)
            for name in victims:
                self.restart(name)
        elif kind == "pause":
            for name in victims:
                self.fault("pause", name)
            wait(0.5, 5)
            for name in victims:
                self.fault("resume", name)
        elif kind == "partition":
            rest = [name for name in self.names if name not in victims]
            self.fault("partition", f"{','.join(victims)}|{','.join(rest)}")
            wait(1, 6)
        elif kind == "grow":
            added = self.demo.coterie("node", "add", "--patience", "60s", "--output", "json")
            wait(1, 4)
            if added.code == 0:
                self.demo.coterie("node", "drain", added.json()["name"], "--wait", "--patience", "90s")
        else:
            for _ in range(self.random.randint(1, 3)):
                one, other = self.random.sample(self.names, 2)
                self.fault(*(("cut", one, other) if kind == "cut" else
                             ("delay", one, other, f"{self.random.randint(5, 400)}ms")))
            wait(1, 5)
        self.fault("heal")
        wait(1, 4)

    def restart(self, name):
        if not self.fault("restart", name):
            self.fault("restart", name)


def settled(demo):
    """Everything healed and running; what is missing is said."""
    from demo_cluster import wait_for
    demo.coterie("fault", "heal")
    for name in demo.nodes:
        if demo.process_gone(name):
            demo.coterie("fault", "restart", name)
    wait_for("every keyspace is served again", lambda: demo.coterie("status").code == 0, seconds=180,
             evidence=lambda: demo.coterie("status"))
    wait_for("the replicas of cart converge", lambda: demo.coterie("keyspace", "digest", "cart").code == 0,
             seconds=180, evidence=lambda: demo.coterie("keyspace", "digest", "cart"))


def read_at(address, database, *words):
    client, last = Client([address], database, random.Random(0), pinned=True), None
    for _ in range(40):
        try:
            answer = client.call(*words)
            client.close()
            return answer
        except (Refused, Unknown) as error:
            last = error
            time.sleep(0.5)
    raise RuntimeError(f"{address} does not answer {words}: {last}")


def judge_key(name, key, history, addresses):
    """The first broken promise of one object, or None."""
    database = DATABASES[CLASSES[name][1]]
    if name in ("registers", "registers-paxos"):
        return checks.register(history)
    if name == "quorum":
        return checks.quorum_register(history)
    if name.startswith("conditional"):
        return checks.taken_once(history) or checks.conditional(history)
    told = [read_at(address, database, *(("SMEMBERS", key) if name == "sets" else ("GET", key)))
            for address in addresses]
    finals = [frozenset(value or ()) for value in told] if name == "sets" else [int(value or 0) for value in told]
    if len(set(finals)) > 1:
        return "the nodes tell different values" + ("" if name == "sets" else f": {finals}")
    return checks.elements(history, finals[0]) if name == "sets" else checks.increments(history, finals[0])


def verdicts(operations, addresses, classes):
    for name in classes:
        by_key, undecided, broken = {}, 0, []
        for op in operations:
            if op["class"] == name:
                by_key.setdefault(op["key"], []).append(op)
        for key, history in sorted(by_key.items()):
            history.sort(key=lambda op: op["start"])
            try:
                wrong = judge_key(name, key, history, addresses)
            except checks.Undecided:
                undecided += 1
                continue
            if wrong:
                broken.append({"key": key, "what": wrong, "history": history})
        count = lambda outcome: sum(op["outcome"] == outcome for history in by_key.values() for op in history)
        yield {"class": name, "ok": not broken and count("ok") > 0, "objects": len(by_key),
               "acknowledged": count("ok"), "refused": count("fail"), "unknown": count("unknown"),
               "undecided": undecided, "violations": len(broken),
               "first": {key: broken[0][key] for key in ("key", "what")} if broken else None}, broken


def run(options, classes):
    from demo_cluster import DemoCluster, claim
    seconds, random_ = options.seconds, random.Random(options.seed)
    with DemoCluster(nodes=options.nodes) as demo, tempfile.TemporaryDirectory(prefix="coterie-judge-") as home:
        made = demo.coterie("keyspace", "create", "pair", "--replication", "leaderless", "--conflict", "lww", "--read",
                            "2", "--write", "2", "--redis-database", DATABASES["pair"])
        claim(made.code == 0, "the keyspace of the judge is made", made)
        addresses = [node["address"] for node in demo.nodes.values()]
        context = multiprocessing.get_context("spawn")
        stopping = context.Event()
        paths = [f"{home}/{number}.jsonl" for number in range(PROCESSES)]
        processes = [context.Process(target=clients_process,
                                     args=(number, addresses, classes, options.seed, path, stopping))
                     for number, path in enumerate(paths)]
        nemesis = Nemesis(demo, random_, options.faults.split(",") if options.faults else
                          None if seconds < 300 else ["kill", "pause", "partition", "cut", "delay", "kill-all", "grow"])
        try:
            for process in processes:
                process.start()
            deadline = time.monotonic() + seconds
            left = lambda: deadline - time.monotonic()
            time.sleep(min(3, seconds))
            while left() > 0 and options.faults != "none":
                nemesis.round(lambda wanted: time.sleep(max(0, min(wanted, left()))))
            time.sleep(max(0, left()))
        finally:
            stopping.set()
            for process in processes:
                process.join(60)
                if process.is_alive():
                    process.kill()
                    process.join()
        settled(demo)
        operations = [json.loads(line) for path in paths for line in Path(path).read_text().splitlines()]
        kept = judged = True
        for verdict, broken in verdicts(operations, addresses, classes):
            print(json.dumps(verdict), flush=True)
            kept = kept and not broken
            judged = judged and verdict["acknowledged"] > 0
            if broken and options.keep:
                Path(options.keep).mkdir(parents=True, exist_ok=True)
                target = Path(options.keep) / f"{verdict['class']}-{options.seed}.json"
                target.write_text(json.dumps(broken[0], indent=1))
        print(json.dumps({"seed": options.seed, "nodes": options.nodes, "seconds": seconds,
                          "operations": len(operations), "faults": nemesis.counts, "kept": kept, "judged": judged}))
        sys.stdout.flush()
        return 8 if not kept else 0 if judged else 1


def main():
    if "--self-test" in sys.argv:
        failed = checks.self_test()
        print(json.dumps({"self_test": "ok" if not failed else "FAILED", "failed": failed}))
        return 8 if failed else 0
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("binary")
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3), "big"))
    parser.add_argument("--nodes", type=int, default=3, choices=(3, 5))
    parser.add_argument("--faults", default="")
    parser.add_argument("--classes", default=",".join(CLASSES))
    parser.add_argument("--keep", default="")
    options = parser.parse_args()
    return run(options, options.classes.split(","))


if __name__ == "__main__":
    sys.exit(main())
