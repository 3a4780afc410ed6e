#!/usr/bin/env python3
"""What `coterie status` and /healthz say is what the doors do: in each state of a cluster, every keyspace is
read and written at every node, and the verdicts must be those of the answers. A verdict may be behind by the
seconds that it takes to notice a fault, so a state is asked until both agree, and must then agree."""

import http.client
import json
import socket
import threading

from demo_cluster import DemoCluster, claim, main, wait_for

DATABASES = {"cart": 0, "main": 1, "lock": 2, "orders": 3, "pair": 4}
KEYS = [f"status/{number}" for number in range(48)]  # of 16 shards each gets some
PATIENCE = 12  # longer than a node takes to refuse


def answers(address, database, *words):
    """Whether the Redis door answers each of these commands without an error; they are sent one by one."""
    try:
        with socket.create_connection((address, 6379), timeout=PATIENCE) as connection:
            stream = connection.makefile("rwb")
            for command in [("SELECT", database), *words]:
                parts = [str(word).encode() for word in command]
                stream.write(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))
                stream.flush()
                line = stream.readline()
                if not line or line.startswith(b"-"):
                    return False
                if line.startswith(b"$") and not line.startswith(b"$-1"):
                    stream.read(int(line[1:]) + 2)
        return True
    except OSError:
        return False


def healthy(address):
    try:
        connection = http.client.HTTPConnection(address, 7070, timeout=PATIENCE)
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False


def doors(addresses):
    """{(node, keyspace, "reads" or "writes"), (node, "", "health")} that were answered."""
    found, threads = set(), []

    def ask(node, address, keyspace, kind):
        commands = [("GET", key) if kind == "reads" else ("SET", key, node) for key in KEYS]
        if answers(address, DATABASES[keyspace], *commands):
            found.add((node, keyspace, kind))

    def ask_health(node, address):
        if healthy(address):
            found.add((node, "", "health"))

    for node, address in addresses.items():
        threads.append(threading.Thread(target=ask_health, args=(node, address)))
        for keyspace in DATABASES:
            for kind in ("reads", "writes"):
                threads.append(threading.Thread(target=ask, args=(node, address, keyspace, kind)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def verdict(demo, *more):
    """What status says will be answered, and where the members are that answered it."""
    result = demo.coterie("status", "--output", "json", *more)
    status = result.json()
    addresses = {node["name"]: node["admin"].split(":")[0] for node in status["nodes"]
                 if node["member"] and node["status"]}
    said = {(node, keyspace["name"], kind) for keyspace in status["keyspaces"]
            for kind in ("reads", "writes") for node in keyspace[f"{kind}_at"]}
    for node in addresses:
        if all((node, keyspace, kind) in said for keyspace in DATABASES for kind in ("reads", "writes")):
            said.add((node, "", "health"))
    served = all(any((node, keyspace, "reads") in said and (node, keyspace, "writes") in said for node in addresses)
                 for keyspace in DATABASES)
    claim(result.code == (0 if served else 6), "the exit code is that of the verdict", result)
    return said, addresses


def agree(demo, state, check=lambda said: True):
    last = []

    def asked():
        before, addresses = verdict(demo)
        told = doors(addresses)
        after, _ = verdict(demo)
        last[:] = [f"only said: {sorted(before - told)}", f"only answered: {sorted(told - before)}"]
        return before == after == told and check(before)

    wait_for(f"status and the doors agree {state}", asked, seconds=120,
             evidence=lambda: "\n".join([*last, str(demo.coterie("status"))]))
    print(f"        agreed {state}", flush=True)


def fault(demo, *words):
    done = demo.coterie("fault", *words)
    claim(done.code == 0, f"fault {' '.join(words)}", done)


def sees(demo, texts, *more):
    return all(text in demo.coterie("status", *more).out for text in texts)


def status_is_what_the_doors_do():
    with DemoCluster() as demo:
        for words in (["orders", "--replication", "raft", "--redis-database", "3"],
                      ["pair", "--replication", "leaderless", "--conflict", "lww", "--read", "2", "--write", "2",
                       "--redis-database", "4"]):
            created = demo.coterie("keyspace", "create", *words)
            claim(created.code == 0, "created", created)
        agree(demo, "when all is well")
        first = next(iter(demo.nodes.values()))["address"]
        alone, _ = verdict(demo, "--endpoints", f"{first}:7070")
        claim(alone == verdict(demo)[0], "one endpoint is enough to know the same", alone)

        fault(demo, "kill", "n3")
        agree(demo, "with one node dead", lambda said: ("n1", "main", "writes") in said)
        fault(demo, "restart", "n3")
        agree(demo, "with it back", lambda said: ("n3", "", "health") in said)

        leader = demo.leader()
        fault(demo, "partition", leader)
        agree(demo, "with the leader cut off", lambda said: (leader, "main", "writes") not in said)
        fault(demo, "heal")
        agree(demo, "once healed", lambda said: (leader, "", "health") in said)

        added = demo.coterie("node", "add")
        claim(added.code == 0, "n4 is added", added)
        agree(demo, "while a node joins")
        agree(demo, "with four nodes", lambda said: ("n4", "", "health") in said)
        claim(not sees(demo, ["5 of"]) and sees(demo, ["3 of 3 replicas up"]), "no replica too many",
              demo.coterie("status"))
        fault(demo, "kill", "n2")
        agree(demo, "with one of four dead", lambda said: ("n4", "main", "writes") in said)
        fault(demo, "restart", "n2")
        agree(demo, "with it back", lambda said: ("n2", "", "health") in said)

        drained = demo.coterie("node", "drain", "n4")
        claim(drained.code == 0, "n4 drains", drained)
        agree(demo, "while it drains")
        wait_for("it is forgotten", seconds=120, evidence=lambda: demo.coterie("status"),
                 condition=lambda: sees(demo, ["3 nodes, led by", "no member"]))
        agree(demo, "after that")
        claim("dead" not in demo.coterie("status").out, "who has left is not called dead", demo.coterie("status"))
        digest = demo.coterie("keyspace", "digest", "cart")
        claim(digest.code == 0 and "converged" in digest.out, "what is left converges", digest)

        fault(demo, "kill", "n1")
        fault(demo, "kill", "n2")
        agree(demo, "without a majority", lambda said: ("n3", "cart", "writes") in said)
        refused = demo.coterie("keyspace", "create", "late", "--replication", "raft")
        claim(refused.code == 6 and "COT-1002" in refused.err, "what cannot be kept now is exit code 6", refused)


def members_outside_the_demo_are_shown():
    with DemoCluster() as demo:
        state = demo.directory / "demo.json"
        text = state.read_text()
        fault(demo, "kill", "n3")
        # As if its process had been started by hand: the demo does not know of it.
        document = json.loads(text)
        document["nodes"] = [node for node in document["nodes"] if node["name"] != "n3"]
        state.write_text(json.dumps(document))
        try:
            shown = wait_for("the dead member is shown and counted", seconds=60,
                             condition=lambda: sees(demo, ["3 nodes", "n3       unreachable", "2 of 3 replicas up"]),
                             evidence=lambda: demo.coterie("status"))
            claim(shown, "shown")
        finally:
            state.write_text(text)


def an_add_without_a_majority_ends_in_time_and_keeps_nobody_from_mending():
    with DemoCluster() as demo:
        fault(demo, "kill", "n1")
        fault(demo, "kill", "n2")
        added = demo.coterie("node", "add", "--patience", "4s")
        claim(added.code == 7 and "COT-1005" in added.err and "outcome unknown" in added.err, "unknown", added)
        claim("goes on joining" in added.err and "(not applied" not in added.err, "in words, too", added)
        fault(demo, "restart", "n1")
        wait_for("the node joins by itself", seconds=120, condition=lambda: sees(demo, ["n4 ", "4 nodes"]),
                 evidence=lambda: demo.coterie("status"))


if __name__ == "__main__":
    main(status_is_what_the_doors_do, members_outside_the_demo_are_shown,
         an_add_without_a_majority_ends_in_time_and_keeps_nobody_from_mending)
