#!/usr/bin/env python3
"""Faults while clients write: no acknowledged write is lost, a minority refuses, healing heals.

Writers use etcdctl. An acknowledged write must be there at the end; one that was not acknowledged may be
there or not; nothing else may be there; and all nodes must hold the same."""

import threading

from demo_cluster import DemoCluster, claim, main, wait_for

WRITERS = 4
PROGRESS = 25  # acknowledged writes after a fault before the test goes on


class Writers:
    """Threads that put unique keys, each its own, and remember what was acknowledged."""

    def __init__(self, demo):
        self.demo, self.stopping = demo, threading.Event()
        self.acknowledged, self.unknown, self.lock = {}, {}, threading.Lock()
        self.threads = [threading.Thread(target=self.write, args=(i,)) for i in range(WRITERS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def write(self, writer):
        number = 0
        while not self.stopping.is_set():
            key, value = f"w/{writer}/{number:06}", f"v{writer}.{number}"
            done = self.demo.etcdctl("put", key, value, timeout="3s")
            with self.lock:
                (self.acknowledged if done.code == 0 else self.unknown)[key] = value
            number += 1

    def progress(self, what):
        with self.lock:
            before = len(self.acknowledged)
        wait_for(f"writes go on {what}", lambda: len(self.acknowledged) >= before + PROGRESS, seconds=90)


def check_nothing_lost(demo, writers):
    for name in demo.nodes:
        found = demo.get("w/", "--prefix", at=[name])
        lost = {k: v for k, v in writers.acknowledged.items() if found.get(k) != v}
        claim(not lost, f"{name}: every acknowledged write is there", f"lost: {sorted(lost.items())[:5]}")
        sent = {**writers.unknown, **writers.acknowledged}
        foreign = {k: v for k, v in found.items() if sent.get(k) != v}
        claim(not foreign, f"{name}: nothing is there that nobody wrote", f"{sorted(foreign.items())[:5]}")

    def hashes_agree():
        answer = demo.etcdctl("endpoint", "hashkv", "-w", "json")
        if answer.code != 0:
            return False
        hashes = {(row["HashKV"]["header"]["revision"], row["HashKV"]["hash"]) for row in answer.json()}
        return len(hashes) == 1

    wait_for("all nodes hold the same history", hashes_agree)


def killing_the_leader_loses_no_acknowledged_write():
    with DemoCluster() as demo, Writers(demo) as writers:
        writers.progress("at the start")
        for _ in range(2):
            victim = demo.leader()
            claim(demo.coterie("fault", "kill", victim).code == 0, f"{victim} is killed")
            writers.progress(f"without {victim}, which led")
            claim(demo.coterie("fault", "restart", victim).code == 0, f"{victim} starts again")
            writers.progress(f"with {victim} again")
        writers.__exit__()
        wait_for("all nodes are back", lambda: all_reachable(demo))
        check_nothing_lost(demo, writers)


def partitioning_the_leader_loses_no_acknowledged_write():
    with DemoCluster() as demo, Writers(demo) as writers:
        writers.progress("at the start")
        alone = demo.leader()
        claim(demo.coterie("fault", "partition", alone).code == 0, f"{alone} is cut off")
        writers.progress(f"without {alone}, which led")
        claim(demo.coterie("fault", "heal").code == 0, "the network heals")
        wait_for("all nodes are back", lambda: all_reachable(demo))
        writers.progress("after healing")
        writers.__exit__()
        check_nothing_lost(demo, writers)


def a_paused_leader_is_replaced_and_comes_back():
    with DemoCluster() as demo, Writers(demo) as writers:
        writers.progress("at the start")
        paused = demo.leader()
        claim(demo.coterie("fault", "pause", paused).code == 0, f"{paused} is paused")
        writers.progress(f"without {paused}, which led")
        claim(demo.coterie("fault", "resume", paused).code == 0, f"{paused} goes on")
        wait_for("all nodes are back", lambda: all_reachable(demo))
        writers.__exit__()
        check_nothing_lost(demo, writers)


def a_minority_refuses_and_status_says_why():
    with DemoCluster() as demo:
        claim(demo.etcdctl("put", "k", "before").code == 0, "put")
        for name in ("n1", "n2"):
            claim(demo.coterie("fault", "kill", name).code == 0, f"{name} is killed")
        write = demo.etcdctl("put", "k", "after", at=["n3"], timeout="5s")
        claim(write.code != 0, "a node without a majority refuses a write", write)
        stale = demo.get("k", "--consistency=s", at=["n3"])
        claim(stale == {"k": "before"}, "it still answers a serializable read", stale)
        status = wait_for("status says that nothing is served", lambda: unserved(demo))
        claim("1 of 3" in status["keyspaces"][0]["sentence"], "status says why", status)
        for name in ("n1", "n2"):
            claim(demo.coterie("fault", "restart", name).code == 0, f"{name} starts again")
        wait_for("all nodes are back", lambda: all_reachable(demo))
        claim(demo.get("k")["k"] in ("before", "after"), "the refused write happened or did not")


def all_reachable(demo):
    status = demo.coterie("status", "--output", "json")
    return status.code == 0 and all(k["reachable"] == 3 for k in status.json()["keyspaces"])


def unserved(demo):
    status = demo.coterie("status", "--output", "json")
    return status.json() if status.code == 6 else None


if __name__ == "__main__":
    main(killing_the_leader_loses_no_acknowledged_write,
         partitioning_the_leader_loses_no_acknowledged_write,
         a_paused_leader_is_replaced_and_comes_back, a_minority_refuses_and_status_says_why)
