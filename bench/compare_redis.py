#!/usr/bin/env python3
"""A leaderless keyspace and Redis side by side: the same machine, disk, generator and sizes, in turns.

usage: bench/compare_redis.py [--rounds N] [--requests N] [--keys K] [--binary PATH] [--json FILE]

Redis: one primary and two replicas, appendfsync everysec. Coterie: three nodes, a keyspace with N=3, W=2,
R=1 and interval durability. Note what is compared: Redis acknowledges a write that one copy has, Coterie one
that two copies have. Load comes from Redis's own redis-benchmark, at one node. Processor time is that of the
three servers together, from /proc. Nothing here passes or fails: machines differ, and their neighbours do too.
"""

import csv
import datetime
import json
import os
import shutil
import subprocess
import sys
import time

from compare import arguments, commit, cpu_seconds, in_turns, machine, print_table, resident_mib

# name, test of redis-benchmark, pipeline depth, how many times --requests
LOADS = [("SET", "set", 1, 1), ("GET", "get", 1, 1), ("SET, pipelines of 16", "set", 16, 4),
         ("GET, pipelines of 16", "get", 16, 4)]
START_SECONDS = 30


def wait_until(condition, what):
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(what)
        time.sleep(0.1)


def redis_cli(address, *words):
    return subprocess.run(["redis-cli", "-h", address, *words], capture_output=True, text=True).stdout


class Redis:
    name = "redis"
    addresses = ["127.0.0.31", "127.0.0.32", "127.0.0.33"]

    def __init__(self, _binary, directory):
        self.directory, self.processes = directory / "redis", []

    def start(self):
        for i, address in enumerate(self.addresses):
            home = self.directory / str(i)
            home.mkdir(parents=True)
            follow = ["--replicaof", self.addresses[0], "6379"] if i else []
            with open(home / "log", "wb") as log:
                self.processes.append(subprocess.Popen(
                    ["redis-server", "--bind", address, "--port", "6379", "--dir", home, "--save", "",
                     "--appendonly", "yes", "--appendfsync", "everysec", *follow],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        self.pids = [process.pid for process in self.processes]
        self.endpoint, self.database = self.addresses[0], 0
        wait_until(lambda: all("master_link_status:up" in redis_cli(a, "info", "replication")
                               for a in self.addresses[1:]), "the replicas did not connect")

    def stop(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(20)
        shutil.rmtree(self.directory, ignore_errors=True)


class Coterie:
    name = "coterie"

    def __init__(self, binary, directory):
        self.binary, self.directory = binary, directory / "coterie"
        self.environment = dict(os.environ, XDG_RUNTIME_DIR=str(directory))

    def run(self, *words):
        return subprocess.run([self.binary, *words, "--dir", self.directory, "--output", "json"],
                              check=True, capture_output=True, text=True, env=self.environment).stdout

    def start(self):
        out = self.run("demo", "--detach", "--nodes", "3", "--first-address", "127.0.0.21")
        nodes = json.loads(out)["nodes"]
        self.pids, self.endpoint = [node["pid"] for node in nodes], nodes[0]["address"]
        self.run("keyspace", "create", "bench", "--replication", "leaderless", "--replicas", "3",
                 "--read", "1", "--write", "2", "--conflict", "crdt", "--durability", "interval")
        self.database = next(k["redis_database"] for k in json.loads(self.run("keyspace", "list"))
                             if k["name"] == "bench")
        wait_until(lambda: redis_cli(self.endpoint, "-n", str(self.database), "set", "k", "v").strip() == "OK",
                   "the keyspace does not serve")

    def stop(self):
        subprocess.run([self.binary, "demo", "--stop", "--dir", self.directory],
                       capture_output=True, env=self.environment)
        shutil.rmtree(self.directory, ignore_errors=True)


def load(system, options, test, depth, requests):
    before, started = cpu_seconds(system.pids), time.monotonic()
    done = subprocess.run(
        ["redis-benchmark", "-h", system.endpoint, "--dbnum", str(system.database), "-c", "50", "-d", "256",
         "-r", str(options.keys), "-n", str(requests), "-P", str(depth), "-t", test, "--csv"],
        capture_output=True, text=True, check=True)
    seconds = time.monotonic() - started
    rows = list(csv.DictReader(done.stdout.splitlines()))
    spent = cpu_seconds(system.pids) - before
    return {"per_second": float(rows[0]["rps"]), "p50_us": float(rows[0]["p50_latency_ms"]) * 1000,
            "p99_us": float(rows[0]["p99_latency_ms"]) * 1000, "cpu_us_per_call": spent * 1e6 / requests,
            "seconds": seconds}


def measure(system, options, _directory):
    load(system, options, "set", 16, options.keys * 2)  # warm: most keys are there
    results = {}
    for name, test, depth, times in LOADS:
        print(f"  {name}", file=sys.stderr)
        results[name] = load(system, options, test, depth, options.requests * times)
    results["memory of the three servers"] = {"mib": resident_mib(system.pids)}
    return results


def main():
    parser = arguments()
    parser.add_argument("--requests", type=int, default=500000)
    options = parser.parse_args()
    rounds = in_turns((Redis, Coterie), measure, options)
    redis = subprocess.run(["redis-server", "--version"], capture_output=True, text=True).stdout.split(" sha")[0]
    print(f"{datetime.date.today()}, {machine()}, {redis}, coterie {commit()}; three servers each on one machine,\n"
          f"redis-benchmark -c 50, {options.keys} keys, values of 256 bytes, medians of {options.rounds} rounds.\n"
          "Redis: one primary, two replicas, appendfsync everysec, acknowledges from one copy.\n"
          "Coterie: leaderless N=3 W=2 R=1, interval durability, acknowledges from two copies.\n"
          "Ratio: above 1 is better than Redis.\n")
    print_table(rounds, "redis", decimals=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
