#!/usr/bin/env python3
"""Faults while clients write: no acknowledged write is lost, a minority refuses, healing heals.

Writers use etcdctl, two at each node, while `coterie bench etcd` loads the cluster as well. An acknowledged
write must be there at the end, on every node; one that was not acknowledged may be there or not; nothing else
may be there; and all nodes must hold the same. The longest time in which no client of the other nodes got an
acknowledgement is printed: it depends on the machine too, hence it is not judged."""

import os
import signal
import subprocess
import threading
import time

from demo_cluster import BINARY, DemoCluster, claim, main, wait_for

NODES = ["n1", "n2", "n3"]
PROGRESS = 25  # acknowledged writes after a fault before the test goes on
PROMISE_SECONDS = 3


class Writers:
    """Threads that put unique keys at one node each, and remember what was acknowledged, and when."""

    def __init__(self, demo, nodes=NODES):
        self.demo, self.stopping = demo, threading.Event()
        self.acknowledged, self.unknown, self.lock = {}, {}, threading.Lock()
        self.acks = {node: [] for node in nodes}
        self.threads = [threading.Thread(target=self.write, args=(i, node))
                        for i, node in enumerate([*nodes, *nodes])]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        # Keys of its own, so that the writers' are checked one by one.
        self.load = subprocess.Popen(
            [BINARY, "bench", "etcd", "--endpoints", self.demo.endpoint(), "--op", "put", "--clients", "3",
             "--inflight", "12", "--keys", "1000", "--key-bytes", "32", "--value-bytes", "256", "--seconds", "600"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.load.kill()
        self.load.wait()
        for thread in self.threads:
            thread.join()

    def write(self, writer, node):
        number = 0
        while not self.stopping.is_set():
            key, value = f"w/{writer}/{number:06}", f"v{writer}.{number}"
            done = self.demo.etcdctl("put", key, value, at=[node], timeout="3s")
            with self.lock:
                (self.acknowledged if done.code == 0 else self.unknown)[key] = value
                if done.code == 0:
                    self.acks[node].append(time.monotonic())
            number += 1

    def progress(self, what, nodes=NODES):
        before = {node: len(self.acks[node]) for node in nodes}
        wait_for(f"writes go on {what}", seconds=90,
                 condition=lambda: all(len(self.acks[node]) >= before[node] + PROGRESS for node in nodes))

    def longest_gap(self, nodes, since):
        """The longest time without an acknowledgement to any client of these nodes, in seconds."""
        with self.lock:
            times = [since, *sorted(at for node in nodes for at in self.acks[node] if at >= since)]
        return max(later - earlier for earlier, later in zip(times, times[1:]))


def others(victim):
    return [node for node in NODES if node != victim]


def tell_gap(writers, fault, victim, since):
    gap = writers.longest_gap(others(victim), since)
    print(f"        {fault} of the leader: no write acknowledged at the other nodes for {gap:.2f} s at most "
          f"(promised: {PROMISE_SECONDS} s{', NOT KEPT HERE' if gap > PROMISE_SECONDS else ''})", flush=True)


def check_nothing_lost(demo, writers):
    claim(len(writers.acknowledged) > 2 * PROGRESS, "there is something to lose")
    for name in NODES:
        found = demo.get("w/", "--prefix", at=[name])
        lost = {k: v for k, v in writers.acknowledged.items() if found.get(k) != v}
        claim(not lost, f"{name}: every acknowledged write is there", f"lost: {sorted(lost.items())[:5]}")
        sent = {**writers.unknown, **writers.acknowledged}
        foreign = {k: v for k, v in found.items() if sent.get(k) != v}
        claim(not foreign, f"{name}: nothing is there that nobody wrote", f"{sorted(foreign.items())[:5]}")

    def hashes():
        answer = demo.etcdctl("endpoint", "hashkv", "-w", "json")
        if answer.code != 0:
            return set()
        return {(row["HashKV"]["header"]["revision"], row["HashKV"]["hash"]) for row in answer.json()}

    wait_for("all nodes hold the same history", lambda: len(hashes()) == 1, evidence=hashes)


def all_back(demo):
    wait_for("all nodes are back", lambda: all_reachable(demo), evidence=lambda: demo.coterie("status"))


def all_reachable(demo):
    status = demo.coterie("status", "--output", "json")
    return status.code == 0 and all(k["reachable"] == 3 for k in status.json()["keyspaces"])


def sentence(demo):
    status = demo.coterie("status", "--output", "json")
    return of_main(status.json())["sentence"] if status.code in (0, 6) else ""


def of_main(status):
    return next(k for k in status["keyspaces"] if k["name"] == "main")


def fault(demo, *words):
    done = demo.coterie("fault", *words)
    claim(done.code == 0, f"fault {' '.join(words)}", done)


def killing_the_leader_loses_no_acknowledged_write():
    with DemoCluster() as demo, Writers(demo) as writers:
        writers.progress("at the start")
        for _ in range(2):
            victim = demo.leader()
            since = time.monotonic()
            fault(demo, "kill", victim)
            writers.progress(f"without {victim}, which led", others(victim))
            tell_gap(writers, "kill -9", victim, since)
            wait_for("status says that nothing more may fail",
                     lambda: "can lose no more nodes" in sentence(demo), evidence=lambda: sentence(demo))
            fault(demo, "restart", victim)
            writers.progress(f"with {victim} again")
        writers.__exit__()
        all_back(demo)
        check_nothing_lost(demo, writers)


def cutting_the_leader_off_loses_no_acknowledged_write():
    with DemoCluster() as demo, Writers(demo) as writers:
        writers.progress("at the start")
        alone = demo.leader()
        since = time.monotonic()
        fault(demo, "partition", alone)
        writers.progress(f"without {alone}, which led", others(alone))
        tell_gap(writers, "partition", alone, since)
        wait_for("status says who is cut off and what it still answers", seconds=30,
                 condition=lambda: f"{alone} is cut off: only possibly stale" in sentence(demo),
                 evidence=lambda: demo.coterie("status"))
        late = demo.etcdctl("put", "x", "y", at=[alone], timeout="15s")
        claim(late.code != 0, "a node that is cut off refuses writes", late)
        read = demo.etcdctl("get", "x", at=[alone], timeout="15s")
        claim(read.code != 0, "and linearizable reads", read)
        demo.get("x", "--consistency=s", at=[alone])
        fault(demo, "heal")
        all_back(demo)
        writers.progress("after healing")
        writers.__exit__()
        check_nothing_lost(demo, writers)


def a_paused_leader_is_replaced_and_comes_back():
    with DemoCluster() as demo, Writers(demo) as writers:
        writers.progress("at the start")
        paused = demo.leader()
        since = time.monotonic()
        fault(demo, "pause", paused)
        writers.progress(f"without {paused}, which led", others(paused))
        tell_gap(writers, "pause", paused, since)
        fault(demo, "resume", paused)
        all_back(demo)
        writers.progress(f"with {paused} again")
        writers.__exit__()
        check_nothing_lost(demo, writers)


def killing_all_nodes_at_once_loses_no_acknowledged_write():
    with DemoCluster() as demo, Writers(demo) as writers:
        for _ in range(2):
            writers.progress("before all nodes are killed")
            pids = [node["pid"] for node in demo.coterie_state()["nodes"]]
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            for name in NODES:
                wait_for(f"{name} starts again",
                         lambda: demo.coterie("fault", "restart", name).code == 0)
            all_back(demo)
            writers.progress("after all nodes were killed")
        writers.__exit__()
        check_nothing_lost(demo, writers)


def a_minority_refuses_and_status_says_why():
    with DemoCluster() as demo:
        demo.done("put", "k", "before")
        for name in ("n1", "n2"):
            fault(demo, "kill", name)
        write = demo.etcdctl("put", "k", "after", at=["n3"], timeout="15s")
        claim(write.code != 0, "a node without a majority refuses a write", write)
        stale = demo.get("k", "--consistency=s", at=["n3"])
        claim(stale == {"k": "before"}, "it still answers a serializable read", stale)
        status = wait_for("status says that nothing is served", lambda: unserved(demo))
        words = of_main(status)["sentence"]
        claim("no writes and no linearizable reads: 1 of 3" in words, "status says why", status)
        claim("reads at n3" in words, "and what is still served", status)
        for name in ("n1", "n2"):
            fault(demo, "restart", name)
        all_back(demo)
        claim(demo.get("k")["k"] in ("before", "after"), "the refused write happened or did not")


def a_one_way_cut_and_a_slow_link_are_survived():
    with DemoCluster() as demo, Writers(demo) as writers:
        writers.progress("at the start")
        leader = demo.leader()
        first, second = others(leader)
        fault(demo, "cut", leader, first)
        fault(demo, "delay", leader, second, "20ms")
        writers.progress("at a majority", [second])
        fault(demo, "heal")
        all_back(demo)
        writers.progress("after healing")
        writers.__exit__()
        check_nothing_lost(demo, writers)


def unserved(demo):
    status = demo.coterie("status", "--output", "json")
    return status.json() if status.code == 6 else None


if __name__ == "__main__":
    main(killing_the_leader_loses_no_acknowledged_write, cutting_the_leader_off_loses_no_acknowledged_write,
         a_paused_leader_is_replaced_and_comes_back, killing_all_nodes_at_once_loses_no_acknowledged_write,
         a_minority_refuses_and_status_says_why, a_one_way_cut_and_a_slow_link_are_survived)
