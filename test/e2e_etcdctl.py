#!/usr/bin/env python3
"""An unmodified etcdctl against a demo cluster: each etcd verb, on whichever node.

One cluster serves all tests, each with keys of its own."""

import json
import re
import threading

from demo_cluster import DemoCluster, claim, main, wait_for

NODES = ["n1", "n2", "n3"]


def with_cluster(test):
    def run_it():
        test(CLUSTER)
    run_it.__name__ = test.__name__
    return run_it


def equal(found, wanted, text):
    claim(found == wanted, text, f"found:  {found!r}", f"wanted: {wanted!r}")


@with_cluster
def every_node_takes_puts_gets_and_deletes(demo):
    for number, node in enumerate(NODES):
        key, reader, remover = f"kv/{node}", NODES[(number + 1) % 3], NODES[(number + 2) % 3]
        equal(demo.done("put", key, node, at=[node]), "OK\n", f"{node} takes a put")
        equal(demo.get(key, at=[reader]), {key: node}, f"{reader} reads what {node} took")
        equal(demo.done("put", key, "new", "--prev-kv", at=[reader]), f"OK\n{key}\n{node}\n", "the value before")
        equal(demo.done("put", key, "--ignore-value", at=[node]), "OK\n", "the value may stay as it is")
        equal(demo.done("del", key, "--prev-kv", at=[remover]), f"1\n{key}\nnew\n", f"{remover} deletes it")
        equal(demo.get(key, at=[node]), {}, f"{node} knows that it is gone")
        equal(demo.get(key, "--consistency=s", at=[remover]), {}, "a serializable read answers too")
    binary = "\u00e4 \u2192 \n line"
    demo.done("put", "kv/text", "--", stdin=binary)
    equal(demo.get("kv/text"), {"kv/text": binary}, "values are bytes")


@with_cluster
def ranges_are_cut_and_sorted_as_asked(demo):
    for value, key in enumerate(["r/c", "r/a", "r/d", "r/b"]):
        demo.done("put", key, 9 - value, at=[NODES[value % 3]])
    for node in NODES:
        keys = lambda *words: list(demo.get(*words, at=[node]))
        equal(keys("r/", "--prefix"), ["r/a", "r/b", "r/c", "r/d"], "a prefix, by key")
        equal(keys("r/b", "r/d"), ["r/b", "r/c"], "a range without its end")
        equal(keys("r/c", "--from-key", "--limit=2"), ["r/c", "r/d"], "from a key on")
        equal(keys("r/", "--prefix", "--limit=3"), ["r/a", "r/b", "r/c"], "at most three")
        equal(keys("r/", "--prefix", "--order=DESCEND"), ["r/d", "r/c", "r/b", "r/a"], "downwards")
        equal(keys("r/", "--prefix", "--sort-by=CREATE"), ["r/c", "r/a", "r/d", "r/b"], "by creation")
        equal(keys("r/", "--prefix", "--sort-by=VALUE"), ["r/b", "r/d", "r/a", "r/c"], "by value")
        equal(keys("r/", "--prefix", "--sort-by=MODIFY", "--order=DESCEND", "--limit=1"), ["r/b"], "the newest")
        equal(demo.done("get", "r/", "--prefix", "--keys-only", at=[node]).split(), ["r/a", "r/b", "r/c", "r/d"],
              "keys only")
    equal(demo.done("del", "r/b", "r/d"), "2\n", "a range is deleted")
    equal(demo.done("del", "r/", "--prefix"), "2\n", "a prefix is deleted")


@with_cluster
def old_revisions_are_read_until_compacted(demo):
    demo.done("put", "c/k", "one")
    first = demo.revision()
    demo.done("put", "c/k", "two", at=["n2"])
    demo.done("del", "c/k", at=["n3"])
    for node in NODES:
        equal(demo.get("c/k", f"--rev={first}", at=[node]), {"c/k": "one"}, "the first revision")
        equal(demo.get("c/k", f"--rev={first + 1}", at=[node]), {"c/k": "two"}, "the second")
        equal(demo.get("c/k", f"--rev={first + 2}", at=[node]), {}, "the deletion")
        beyond = demo.etcdctl("get", "c/k", f"--rev={first + 100000}", at=[node])
        claim(beyond.code == 1 and "required revision is a future revision" in beyond.err, "the future", beyond)
    equal(demo.done("compaction", first + 1, "--physical"), f"compacted revision {first + 1}\n", "compaction")
    for node in NODES:
        gone = demo.etcdctl("get", "c/k", f"--rev={first}", at=[node])
        claim(gone.code == 1 and "required revision has been compacted" in gone.err, "compacted away", gone)
        equal(demo.get("c/k", f"--rev={first + 1}", at=[node]), {"c/k": "two"}, "what it left")
    again = demo.etcdctl("compaction", first)
    claim(again.code == 1 and "required revision has been compacted" in again.err, "no second time", again)


@with_cluster
def transactions_compare_and_swap(demo):
    demo.done("put", "t/k", "old")
    script = 'value("t/k") = "old"\n\nput t/k new\nput t/l more\n\nget t/k\n\n'
    equal(demo.done("txn", stdin=script, at=["n2"]), "SUCCESS\n\nOK\n\nOK\n", "compared and swapped")
    equal(demo.done("txn", stdin=script, at=["n3"]), "FAILURE\n\nt/k\nnew\n", "the other branch reads")
    equal(demo.get("t/", "--prefix"), {"t/k": "new", "t/l": "more"}, "the swap happened once")
    equal(demo.done("txn", stdin='mod("t/k") > "0"\nversion("t/k") = "2"\ncreate("t/no") = "0"\n\ndel t/ --prefix\n\n\n'),
          "SUCCESS\n\n2\n", "versions, revisions and absence are compared")
    twice = demo.etcdctl("txn", stdin='\nput t/k 1\nput t/k 2\n\n\n')
    claim(twice.code != 0 and "duplicate key given in txn request" in twice.err, "one key twice", twice)


@with_cluster
def concurrent_swaps_lose_nothing(demo):
    """Six clients at three nodes increment a counter by compare-and-swap: the sum is what they did."""
    demo.done("put", "t/n", "0")
    swapped = []

    def increment(node):
        for _ in range(10):
            value = int(demo.get("t/n", at=[node])["t/n"])
            script = f'value("t/n") = "{value}"\n\nput t/n {value + 1}\n\n\n'
            if demo.done("txn", stdin=script, at=[node]).startswith("SUCCESS"):
                swapped.append(value)

    threads = [threading.Thread(target=increment, args=(NODES[i % 3],)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(sorted(swapped), list(range(len(swapped))), "no value was swapped twice")
    equal(demo.get("t/n"), {"t/n": str(len(swapped))}, "the counter counts the swaps")


@with_cluster
def watches_tell_history_and_news(demo):
    demo.done("put", "w/a", "1")
    first = demo.revision()
    demo.done("put", "w/a", "2")
    demo.done("put", "w/b", "3")
    told = "PUT\nw/a\n1\nPUT\nw/a\n1\nw/a\n2\nPUT\nw/b\n3\n"
    news = "DELETE\nw/a\n2\nw/a\n\nPUT\nw/b\n3\nw/b\n4\n"
    for number, node in enumerate(NODES):
        # History is told from the revision asked for, with the value before each change.
        with demo.etcdctl_running("watch", "w/", "--prefix", "--prev-kv", f"--rev={first}", at=[node]) as watch:
            watch.waits_for(told, f"{node} tells what was")
            equal(watch.output(), told, "in order, once each")
            if number == 0:
                demo.done("del", "w/a", at=["n3"])
                demo.done("put", "w/b", "4", at=["n2"])
            watch.waits_for(told + news, f"{node} tells what comes")
            equal(watch.output(), told + news, "in order, once each")
        told, news = told + news, ""
    with demo.etcdctl_running("watch", "w/c", "-w", "json", at=["n2"]) as watch:
        # Repeated, since nothing says when the watch is registered.
        wait_for("a watch without a revision tells what comes",
                 lambda: demo.done("put", "w/c", "x") and '"Events"' in watch.output())
    demo.done("compaction", demo.revision())
    with demo.etcdctl_running("watch", "w/", "--prefix", f"--rev={first}", at=["n3"]) as watch:
        watch.waits_for("required revision has been compacted", "a watch of compacted history is refused")


@with_cluster
def leases_live_as_long_as_they_are_kept(demo):
    lease = demo.done("lease", "grant", "60", at=["n2"]).split()[1]
    for node in NODES:
        demo.done("put", f"l/{node}", "v", f"--lease={lease}", at=[node])
    for node in NODES:
        claim(lease in demo.done("lease", "list", at=[node]), f"{node} lists the lease")
        told = demo.done("lease", "timetolive", lease, "--keys", at=[node])
        claim(re.search(r"granted with TTL\(60s\), remaining\((5\d|60)s\)", told), "its time is told", told)
        claim("attached keys([l/n1 l/n2 l/n3])" in told, "its keys are told", told)
        claim("keepalived with TTL(60)" in demo.done("lease", "keep-alive", "--once", lease, at=[node]), "kept")
    equal(demo.done("put", "l/n1", "free"), "OK\n", "a put without the lease frees the key")
    equal(demo.done("lease", "revoke", lease, at=["n3"]), f"lease {lease} revoked\n", "revoked")
    equal(demo.get("l/", "--prefix"), {"l/n1": "free"}, "its keys went with it")
    for verb in (["revoke", lease], ["keep-alive", "--once", lease]):
        gone = demo.etcdctl("lease", *verb)
        claim(gone.code != 0 and "requested lease not found" in gone.err, f"{verb[0]} of a lease gone", gone)
    claim("already expired" in demo.done("lease", "timetolive", lease), "and told so")
    bad = demo.etcdctl("put", "l/x", "v", "--lease=1234")
    claim(bad.code != 0 and "requested lease not found" in bad.err, "no put without its lease", bad)


@with_cluster
def a_lease_that_nobody_keeps_ends(demo):
    kept, left = (demo.done("lease", "grant", "2").split()[1] for _ in range(2))
    demo.done("put", "e/kept", "v", f"--lease={kept}")
    demo.done("put", "e/left", "v", f"--lease={left}")
    with demo.etcdctl_running("lease", "keep-alive", kept, at=["n2"]):
        with demo.etcdctl_running("watch", "e/left", f"--rev={demo.revision()}", at=["n3"]) as watch:
            watch.waits_for("DELETE\ne/left\n", "the end of a lease deletes its key, and watchers hear it")
        equal(demo.get("e/", "--prefix"), {"e/kept": "v"}, "the lease that was kept lives")
    wait_for("once nobody keeps it, it ends too", lambda: demo.get("e/", "--prefix") == {})


@with_cluster
def a_lock_is_held_by_one_at_a_time(demo):
    """Eight holders at three nodes: each creates a directory that must not exist, and removes it."""
    script = demo.path / "hold"  # etcdctl would take flags of the command for its own
    script.write_text(f"#!/bin/sh\nmkdir {demo.path}/held && sleep 0.05 && rmdir {demo.path}/held\n")
    script.chmod(0o755)
    results = []

    def hold(node):
        results.append(demo.etcdctl("lock", "mutex", script, at=[node], timeout="60s"))

    threads = [threading.Thread(target=hold, args=(NODES[i % 3],)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        claim(result.code == 0, "each held it alone", result)
    equal(demo.get("mutex/", "--prefix"), {}, "nobody holds it in the end")


@with_cluster
def an_election_has_one_leader_and_then_the_next(demo):
    with demo.etcdctl_running("elect", "-l", "chair", at=["n3"]) as listener:
        with demo.etcdctl_running("elect", "chair", "first", at=["n1"]) as first:
            first.waits_for("first", "the first candidate is elected")
            listener.waits_for("first", "the listener hears of it")
            with demo.etcdctl_running("elect", "chair", "second", at=["n2"]) as second:
                wait_for("the second is a candidate", lambda: len(demo.get("chair/", "--prefix")) == 2)
                claim("second" not in second.output() + listener.output(), "but not elected yet")
                first.process.terminate()
                second.waits_for("second", "when the first resigns, the second is elected")
                listener.waits_for("second", "and the listener hears of that")


@with_cluster
def endpoints_tell_their_state(demo):
    demo.done("put", "s/k", "v")
    for form in ("simple", "table", "json", "fields"):
        for what in ("status", "health", "hashkv"):
            for flags in (["--cluster"], []):
                told = demo.etcdctl("endpoint", what, *flags, "-w", form, at=["n2"] if flags else [])
                claim(told.code == 0 and told.out + told.err, f"endpoint {what} {flags} as {form}", told)
    rows = json.loads(demo.done("endpoint", "status", "--cluster", "-w", "json", at=["n3"]))
    equal(sorted(row["Endpoint"] for row in rows), sorted(f"http://{demo.endpoint(n)}" for n in NODES), "all nodes")
    equal(len({row["Status"]["leader"] for row in rows}), 1, "they agree who leads")
    equal(len({row["Status"]["header"]["cluster_id"] for row in rows}), 1, "they are one cluster")
    claim(all(row["Status"]["dbSize"] > 0 for row in rows), "the size of the data is told", rows)
    hashes = json.loads(demo.done("endpoint", "hashkv", "--cluster", "-w", "json"))
    equal(len({row["HashKV"]["hash"] for row in hashes}), 1, "they hold the same")
    members = json.loads(demo.done("member", "list", "-w", "json"))["members"]
    equal([member["name"] for member in members], NODES, "all members are listed")
    equal(demo.done("alarm", "list"), "", "no alarm is raised")
    claim("Finished defragmenting" in demo.done("defrag"), "defragmenting is answered")


@with_cluster
def leadership_moves_where_it_is_sent(demo):
    ids = {m["name"]: m["ID"] for m in json.loads(demo.done("member", "list", "-w", "json"))["members"]}
    for _ in range(3):
        leader = demo.leader()
        heir = NODES[(NODES.index(leader) + 1) % 3]
        told = demo.done("move-leader", f"{ids[heir]:x}")
        equal(told, f"Leadership transferred from {ids[leader]:x} to {ids[heir]:x}\n", "leadership moves")
        equal(demo.leader(), heir, "status agrees")
        demo.done("put", "m/k", heir, at=[leader])
    stranger = demo.etcdctl("move-leader", "99")
    claim(stranger.code != 0, "a stranger cannot lead", stranger)


@with_cluster
def what_is_not_served_says_so(demo):
    equal(demo.done("user", "list") + demo.done("role", "list"), "", "nobody while authentication is off, as in etcd")
    for words in (["user", "add", "u:p"], ["role", "add", "r"], ["snapshot", "save", demo.path / "s"],
                  ["member", "remove", "3"], ["member", "add", "x", "--peer-urls=http://127.0.0.1:1"]):
        refused = demo.etcdctl(*words, at=["n1"])
        claim(refused.code != 0 and "Unimplemented" in refused.err, f"{words[0]} {words[1]} is refused", refused)
    enabled = demo.etcdctl("auth", "enable", at=["n1"])
    claim(enabled.code != 0 and "root user does not exist" in enabled.err, "etcd's word for it", enabled)
    big = demo.etcdctl("put", "big", stdin="x" * 1700000)
    claim(big.code != 0 and "request is too large" in big.err, "a value over the bound", big)
    equal(demo.done("put", "big", stdin="x" * (1 << 20)), "OK\n", "a value of 1 MiB is taken")
    equal(len(demo.get("big", at=["n3"])["big"]), 1 << 20, "and read")
    empty = demo.etcdctl("put", "", "v")
    claim(empty.code != 0 and "key is not provided" in empty.err, "an empty key", empty)


if __name__ == "__main__":
    with DemoCluster() as CLUSTER:
        main(every_node_takes_puts_gets_and_deletes, ranges_are_cut_and_sorted_as_asked,
             old_revisions_are_read_until_compacted, transactions_compare_and_swap, concurrent_swaps_lose_nothing,
             watches_tell_history_and_news, leases_live_as_long_as_they_are_kept,
             a_lease_that_nobody_keeps_ends, a_lock_is_held_by_one_at_a_time,
             an_election_has_one_leader_and_then_the_next, endpoints_tell_their_state,
             leadership_moves_where_it_is_sent, what_is_not_served_says_so)
