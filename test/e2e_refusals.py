#!/usr/bin/env python3
"""What a node or the command must refuse: with a stable code, the reason in words, whether it happened, a hint,
and the right exit code; and without losing anything or leaving anything behind."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from demo_cluster import BINARY, NETWORK, DemoCluster, claim, main, run, wait_for

HOST = f"{NETWORK}.31"
LISTEN = [f"--etcd-listen={HOST}:2379", f"--admin-listen={HOST}:7070", f"--peer-listen={HOST}:7071"]


def refused(result, code, error, *texts, outcome="not applied"):
    claim(result.code == code, f"the exit code is {code}", result)
    for text in (error, f"({outcome})", "Hint:", *texts):
        claim(text in result.err, f"stderr says '{text}'", result)
    claim(len(result.err.strip().splitlines()) <= 3, "in few words", result)
    claim(result.out == "", "stdout stays empty", result)


def start(*words, timeout=30):
    """`coterie start` that must end by itself."""
    return run(BINARY, "start", *words, timeout=timeout)


def a_wrong_configuration_is_refused_with_its_place():
    with tempfile.TemporaryDirectory() as home:
        path, data = Path(home) / "n.toml", f'data_dir = "{home}/d"\n'
        path.write_text(data + 'hearbeat_interval = "100ms"\n')
        refused(start("--config", path), 1, "COT-0002", f"{path}:2", "did you mean 'heartbeat_interval'")
        for line, *texts in (('election_timeout = "fast"', "election_timeout"),
                             ('election_timeout = "50ms"', "at least 3 times heartbeat_interval"),
                             ('id = 0', "from 1 to"), ('wal_segment_bytes = "1 parsec"', "unit"),
                             ('demo = "perhaps"', "true or false"), ('log_level = "loud"', "debug, info"),
                             ('etcd_listen = "nowhere"', "address and a port"),
                             ('members = "1/n1/x"', "ID/NAME/PEER/ETCD"), ('name = "a b"', "letters")):
            path.write_text(f"{data}{line}\n")
            refused(start("--config", path), 1, "COT-0003", f"{path}:2", *texts)
        path.write_text("this is = = not toml")
        refused(start("--config", path), 1, "COT-0003", str(path))
        refused(start("--config", Path(home) / "none.toml"), 1, "COT-0003", "none.toml")
        refused(start("--data-dir", f"{home}/d", "--etcd-listen", "0.0.0.0:2379"), 1, "COT-0003", "TLS", "127.0.0.x")
        refused(start("--data-dir", f"{home}/d", "--etcd-listen", f"{HOST}:7070", "--admin-listen", f"{HOST}:7070"),
                1, "COT-0003", "same address")
        refused(run(BINARY, "start", "--data-dir", f"{home}/d", environment={"COTERIE_LOG_LEVL": "info"}), 1,
                "COT-0002", "COTERIE_LOG_LEVL", "log_level")
        flag = start("--electon-timeout", "5s")
        claim(flag.code == 1 and "--election-timeout" in flag.err, "an unknown flag names the nearest", flag)
        word = run(BINARY, "strat")
        claim(word.code == 1 and "`coterie start`" in word.err, "so does an unknown command", word)
        claim(not (Path(home) / "d").exists(), "a refused start makes no data directory")


def a_port_in_use_is_named():
    for port in (2379, 7070, 7071):
        with tempfile.TemporaryDirectory() as home, socket.create_server((HOST, port)):
            refused(start("--data-dir", f"{home}/d", *LISTEN), 4, "COT-0004", f"{HOST}:{port}")


def a_demo_on_used_ports_leaves_nothing_running():
    with DemoCluster() as demo, tempfile.TemporaryDirectory() as home:
        other = {"XDG_RUNTIME_DIR": home}
        second = [BINARY, "demo", "--detach", "--dir", f"{home}/second", "--first-address", f"{NETWORK}.3"]
        refused(run(*second, environment=other), 4, "COT-0004", "n1", f"{NETWORK}.3:2379")
        running = subprocess.run(["pgrep", "-f", f"{home}/second"], capture_output=True, text=True)
        claim(running.stdout == "", "no node of it runs", running.stdout)
        refused(run(BINARY, "status", environment=other), 2, "COT-0007")
        refused(demo.coterie("demo", "--detach", "--dir", demo.path / "demo"), 4, "COT-2008", "demo --stop")
        claim(demo.coterie("status").code == 0, "the first demo is not disturbed")


def data_of_others_is_refused_and_left_alone():
    with DemoCluster() as demo:
        demo.done("put", "k", "v")
        claim(demo.coterie("fault", "kill", "n2").code == 0, "n2 is killed")
        foreign, config = demo.path / "demo" / "n2", demo.path / "demo" / "n2.toml"
        before = sorted((str(p), p.stat().st_size) for p in foreign.rglob("*"))
        refused(start("--data-dir", foreign, *LISTEN, "--cluster", "other"), 4, "COT-2006", "'other'", "'demo'")
        refused(start("--data-dir", foreign, *LISTEN, "--cluster", "demo", "--id", "1"), 4, "COT-2006", "node 2")
        identity = foreign / "identity"
        ours = identity.read_text()
        identity.write_text(re.sub(r"coterie-data \d+", "coterie-data 99", ours))
        refused(start("--config", config), 4, "COT-2007", "99")
        identity.write_text("something else")
        refused(start("--config", config), 5, "COT-2005", "identity")
        identity.write_text(ours)
        used = demo.path / "demo" / "n1"
        refused(start("--data-dir", used, "--cluster", "demo", *LISTEN), 4, "COT-2008", str(used))
        after = sorted((str(p), p.stat().st_size) for p in foreign.rglob("*"))
        claim(before == after, "the refused starts changed nothing", before, after)
        claim(demo.coterie("fault", "restart", "n2").code == 0, "the data serves its own node")
        wait_for("and holds what it held", lambda: demo.get("k", "--consistency=s", at=["n2"]) == {"k": "v"})


@contextlib.contextmanager
def small_disks(demo_dir, nodes, mebibytes):
    """Every node's data directory on a disk of its own; None where mounting is not allowed."""
    mounted = []
    try:
        for node in nodes:
            path = demo_dir / node
            path.mkdir(parents=True)
            done = run("mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", path)
            if done.code != 0:
                yield None
                return
            mounted.append(path)
        yield mounted
    finally:
        for path in mounted:
            run("umount", "-l", path)


def a_full_disk_stops_its_node_and_loses_nothing():
    with tempfile.TemporaryDirectory(prefix="coterie-full-") as home:
        directory = Path(home) / "demo"
        with small_disks(directory, ["n1", "n2", "n3"], 24) as disks:
            if disks is None:
                print("        skipped: a file system of limited size cannot be mounted here")
                return
            os.environ["COTERIE_WAL_SEGMENT_BYTES"] = "1MiB"
            try:
                fill_disks(directory, disks)
            finally:
                del os.environ["COTERIE_WAL_SEGMENT_BYTES"]


def put_until(demo, name, ended, acknowledged, at):
    """Puts until `ended`; what was acknowledged is added to the set."""
    number = 0
    while not ended():
        claim(number < 2000, "it ends")
        key = f"{name}/{number:05}"
        if demo.etcdctl("put", key, stdin=key * 2000, at=at, timeout="5s").code == 0:
            acknowledged.add(key)
        number += 1


def fill_disks(directory, disks):
    with DemoCluster(directory=directory) as demo:
        acknowledged = set()
        gone = lambda name: demo.process_gone(name)
        for node in ("n1", "n2"):  # the second takes the majority away
            (directory / node / "filler").write_bytes(b"x")  # so that there is something to free
            with open(directory / node / "filler", "wb") as filler:
                with contextlib.suppress(OSError):
                    while True:
                        filler.write(b"x" * 65536)
                        filler.flush()
            put_until(demo, node, lambda: gone(node), acknowledged, at=["n3"])
            log = (directory / f"{node}.log").read_text()
            claim("COT-2002" in log and "Free space" in log, f"{node} says why it stopped", log[-2000:])
            early = run(BINARY, "start", "--config", directory / f"{node}.toml", timeout=60)
            claim(early.code == 5 and "COT-2002" in early.err, "it does not start on a full disk", early)
            if node == "n1":
                claim(demo.etcdctl("put", "more", "x", at=["n3"]).code == 0, "the others go on without n1")
        refusal = demo.etcdctl("put", "late", "x", at=["n3"], timeout="10s")
        claim(refusal.code != 0, "without a majority nothing is acknowledged", refusal)
        for node in ("n1", "n2"):
            (directory / node / "filler").unlink()
            restarted = demo.coterie("fault", "restart", node)
            claim(restarted.code == 0, f"{node} starts once there is space", restarted)
        demo.leader()
        for node in ("n1", "n2", "n3"):
            found = set(demo.done("get", "n", "--prefix", "--keys-only", at=[node]).split())
            claim(acknowledged <= found, f"{node} has everything acknowledged", sorted(acknowledged - found)[:5])
        claim(len(acknowledged) > 5, "there was something to lose", len(acknowledged))
        demo.done("put", "again", "x", at=["n1"])


def faults_and_status_need_a_demo():
    with tempfile.TemporaryDirectory() as home:
        empty = {"XDG_RUNTIME_DIR": home}
        for words in (["fault", "heal"], ["fault", "kill", "n1"], ["status"], ["demo", "--stop"]):
            refused(run(BINARY, *words, environment=empty), 2, "COT-0007", "coterie demo")
        result = run(BINARY, "status", "--endpoints", f"{HOST}:7070")
        claim(result.code == 2 and "No node answers" in result.out, "nobody there", result)


def faults_are_refused_where_they_make_no_sense():
    with DemoCluster() as demo:
        refused(demo.coterie("fault", "kill", "n7"), 1, "COT-0001", "n1, n2, n3")
        refused(demo.coterie("fault", "cut", "n1", "n1"), 1, "COT-0001", "itself")
        refused(demo.coterie("fault", "delay", "n1", "n2", "soon"), 1, "COT-0001", "1ms to 60s")
        refused(demo.coterie("fault", "partition", "n1|n2"), 1, "COT-0001")
        refused(demo.coterie("fault", "restart", "n1"), 4, "COT-2008", "kill it first")
        claim(demo.coterie("status").code == 0, "nothing was broken")


def what_a_person_mistypes_is_named_and_what_is_lost_is_asked_for():
    with DemoCluster() as demo:
        create = lambda database: demo.coterie("keyspace", "create", "x", "--replication", "raft",
                                               "--redis-database", database)
        refused(create(0), 1, "COT-0009", "keyspace 'cart', which has it")
        refused(demo.coterie("keyspace", "drop", "crat", "--yes"), 4, "COT-0011", "did you mean 'cart'?", "cart, lock, main")
        refused(demo.coterie("keyspace", "digest", "crat"), 4, "COT-0011", "did you mean 'cart'?")
        refused(demo.coterie("keyspace", "drop", "main", "--yes"), 1, "COT-0009", "etcd clients see")
        refused(demo.coterie("keyspace", "drop", "cart"), 1, "COT-0001", "--yes")
        claim(demo.coterie("keyspace", "drop", "cart", "--yes").code == 0, "said, it is done")
        claim(create(0).code == 0, "then database 0 is free")
        version = demo.coterie("--version")
        claim(version.code == 0 and version.out.startswith("coterie "), "--version", version)
        helped = demo.coterie("help", "keyspace", "create")
        claim(helped.code == 0 and "--replication" in helped.out and "{json,text}" in helped.out, "help", helped)
        for name in ("kNoLeader", "no-leader", "NoLeader", "1002", "cot-1002"):
            told = demo.coterie("errors", name)
            claim(told.code == 0 and "COT-1002 NoLeader" in told.out, f"errors {name}", told)
        refused(demo.coterie("errors", "NoLeadr"), 1, "COT-0001", "did you mean NoLeader?")


def files_of_a_node_are_its_users_alone_and_a_closed_terminal_does_not_end_it():
    with DemoCluster() as demo:
        demo.done("put", "k", "v")
        for path in demo.directory.rglob("*"):
            claim(path.stat().st_mode & 0o077 == 0, f"{path} is its user's alone", oct(path.stat().st_mode))
        for node in demo.nodes.values():
            os.kill(node["pid"], signal.SIGHUP)
        for name in demo.nodes:
            claim(demo.etcdctl("put", "k", name, at=[name]).code == 0, f"{name} goes on")
            claim(not demo.process_gone(name), f"{name} runs")
        config = (demo.directory / "n1.toml").read_text()
        claim("for a demo" in config and "POST /fault" in config, "a demo's file says so", config)
        log = (demo.directory / "n1.log").read_text()
        claim("starts node n1 of cluster demo" in log and "shard 1:" in log, "logs say who and which shard", log)


def endpoints_may_be_names():
    with DemoCluster() as demo:
        missing = demo.coterie("status", "--endpoints", "no-such-host.invalid:7070")
        refused(missing, 2, "COT-3001", "no-such-host.invalid")
        elsewhere = demo.coterie("status", "--endpoints", "localhost:7")
        claim(elsewhere.code == 2 and "No node answers" in elsewhere.out, "a name is looked up", elsewhere)


if __name__ == "__main__":
    main(a_wrong_configuration_is_refused_with_its_place, a_port_in_use_is_named,
         a_demo_on_used_ports_leaves_nothing_running, data_of_others_is_refused_and_left_alone,
         a_full_disk_stops_its_node_and_loses_nothing, faults_and_status_need_a_demo,
         faults_are_refused_where_they_make_no_sense, what_a_person_mistypes_is_named_and_what_is_lost_is_asked_for,
         files_of_a_node_are_its_users_alone_and_a_closed_terminal_does_not_end_it, endpoints_may_be_names)
