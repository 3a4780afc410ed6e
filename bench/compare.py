#!/usr/bin/env python3
"""Coterie and etcd side by side: the same machine, disk, generator and sizes, in turns.

usage: bench/compare.py [--rounds N] [--seconds S] [--keys K] [--binary PATH] [--json FILE]

Each round starts a three-node cluster of one system, loads it, stops it, and does the same with the
other; medians over the rounds go into a table, with ratios. Load comes from `coterie bench etcd` and, as
a second opinion, from h2load. Processor time is that of the three servers, from /proc. Nothing here
passes or fails: machines differ, and their neighbours do too.
"""

import argparse
import datetime
import json
import os
import re
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# name, arguments of `coterie bench etcd`
LOADS = [
    ("put, 16 connections, 256 at once", ["--op", "put", "--clients", "16", "--inflight", "256"]),
    ("linearizable range, 16 connections, 256 at once", ["--op", "range", "--clients", "16", "--inflight", "256"]),
    ("put, one client", ["--op", "put", "--clients", "1", "--inflight", "1"]),
    ("linearizable range, one client", ["--op", "range", "--loaded", "--clients", "1", "--inflight", "1"]),
]
SIZES = ["--key-bytes", "32", "--value-bytes", "256"]
START_SECONDS = 30


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def resident_mib(pids):
    total = 0
    for pid in pids:
        match = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
        total += int(match.group(1)) if match else 0
    return total / 1024


class Coterie:
    name = "coterie"

    def __init__(self, binary, directory):
        self.binary, self.directory = binary, directory / "coterie"
        self.environment = dict(os.environ, XDG_RUNTIME_DIR=str(directory))

    def start(self):
        out = subprocess.run(
            [self.binary, "demo", "--detach", "--nodes", "3", "--dir", self.directory,
             "--first-address", "127.0.0.21", "--output", "json"],
            check=True, capture_output=True, text=True, env=self.environment).stdout
        nodes = json.loads(out)["nodes"]
        self.pids = [node["pid"] for node in nodes]
        self.endpoints = [f"{node['address']}:2379" for node in nodes]

    def stop(self):
        subprocess.run([self.binary, "demo", "--stop", "--dir", self.directory],
                       capture_output=True, env=self.environment)
        shutil.rmtree(self.directory, ignore_errors=True)


class Etcd:
    name = "etcd"

    def __init__(self, _binary, directory):
        self.directory = directory / "etcd"
        self.processes = []

    def start(self):
        hosts = [f"127.0.0.{i}" for i in (11, 12, 13)]
        cluster = ",".join(f"e{i}=http://{h}:2380" for i, h in enumerate(hosts))
        self.directory.mkdir()
        for i, host in enumerate(hosts):
            with open(self.directory / f"e{i}.log", "wb") as log:
                self.processes.append(subprocess.Popen(
                    ["etcd", "--name", f"e{i}", "--data-dir", self.directory / f"e{i}",
                     "--listen-peer-urls", f"http://{host}:2380",
                     "--initial-advertise-peer-urls", f"http://{host}:2380",
                     "--listen-client-urls", f"http://{host}:2379",
                     "--advertise-client-urls", f"http://{host}:2379",
                     "--initial-cluster", cluster, "--initial-cluster-state", "new"],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        self.pids = [process.pid for process in self.processes]
        self.endpoints = [f"{host}:2379" for host in hosts]
        deadline = time.monotonic() + START_SECONDS
        check = ["etcdctl", "--endpoints", ",".join(self.endpoints), "endpoint", "health"]
        while subprocess.run(check, env=dict(os.environ, ETCDCTL_API="3"),
                             capture_output=True).returncode != 0:
            if time.monotonic() > deadline:
                raise RuntimeError(f"etcd did not become ready; see {self.directory}")
            time.sleep(0.2)

    def stop(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes = []
        shutil.rmtree(self.directory, ignore_errors=True)


def field(number, data):
    """A length-delimited protobuf field."""
    length, size = b"", len(data)
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + data


def grpc_body(message):
    return struct.pack(">BI", 0, len(message)) + message


def h2load(endpoint, method, message, seconds, directory):
    """Calls per second by h2load's own count; it repeats one request."""
    body = directory / "h2load.body"
    body.write_bytes(grpc_body(message))
    out = subprocess.run(
        ["h2load", "-D", str(seconds), "--warm-up-time=1", "-c", "16", "-m", "16", "-t", "1",
         "-d", body, "-H", "content-type: application/grpc", "-H", "te: trailers",
         f"http://{endpoint}/etcdserverpb.KV/{method}"],
        capture_output=True, text=True, timeout=seconds + 60).stdout
    rate = re.search(r"([\d.]+) req/s", out)
    failed = re.search(r"(\d+) failed", out)
    return {"per_second": float(rate.group(1)) if rate else 0.0,
            "failed": int(failed.group(1)) if failed else -1}


def measure(system, options, directory):
    """name of load -> figure -> value"""
    results = {}
    for name, arguments in LOADS:
        print(f"  {name}", file=sys.stderr)
        done = subprocess.run(
            [options.binary, "bench", "etcd", "--leader", "--endpoints", ",".join(system.endpoints),
             "--seconds", str(options.seconds), "--cpu-of", ",".join(map(str, system.pids)),
             "--output", "json", "--keys", str(options.keys), *SIZES, *arguments],
            capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{system.name}: {name}: {done.stderr}")
        results[name] = json.loads(done.stdout)
        leader = results[name]["endpoints"][0]
    before = cpu_seconds(system.pids)
    key, value = b"bench/" + b"7" * 26, os.urandom(256)
    put = h2load(leader, "Put", field(1, key) + field(2, value), options.seconds, directory)
    spent = cpu_seconds(system.pids) - before
    # h2load warms up for one second of the same load, which the processor time includes.
    put["cpu_us_per_call"] = spent * 1e6 / max(put["per_second"] * (options.seconds + 1), 1)
    results["h2load: put one key, 16 x 16 streams"] = put
    results["memory of the three servers"] = {"mib": resident_mib(system.pids)}
    return results


def machine():
    text = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", text)
    return f"{os.cpu_count()} x {model.group(1) if model else 'processor'}"


def print_table(rounds, peer, decimals=0):
    """`rounds`: system -> a list of {load: {figure: value}}. Medians beside each other; above 1 is better than `peer`."""
    figures = [("per_second", "calls/s", True), ("p50_us", "p50 us", False), ("p99_us", "p99 us", False),
               ("cpu_us_per_call", "server CPU us/call", False), ("mib", "MiB", False)]
    print(f"| load | figure | {peer} | coterie | ratio |\n|---|---|---|---|---|")
    for load in rounds["coterie"][0]:
        for figure, label, more_is_better in figures:
            values = [[r[load][figure] for r in rounds[who] if figure in r.get(load, {})] for who in ("coterie", peer)]
            ours, theirs = (statistics.median(v) if v else None for v in values)
            if not ours or not theirs:
                continue
            ratio = ours / theirs if more_is_better else theirs / ours
            print(f"| {load} | {label} | {theirs:,.{decimals}f} | {ours:,.{decimals}f} | {ratio:.2f} |")


def arguments():
    """What both comparisons take."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keys", type=int, default=100000)
    parser.add_argument("--binary", default=ROOT / "build/release/coterie", type=Path)
    parser.add_argument("--json", type=Path, help="write every figure of every round there")
    return parser


def in_turns(kinds, measure, options):
    """Starts, measures and stops each system in each round: system -> what `measure(system, options, directory)`
    answered, a round each."""
    options.binary = options.binary.resolve()
    # So that an interruption unwinds to the stop() below.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    rounds = {kind.name: [] for kind in kinds}
    # Below build/, not in /tmp: there the disk may be memory, and fsync free.
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=ROOT / "build") as name:
        for number in range(options.rounds):
            for kind in kinds:
                system = kind(options.binary, Path(name))
                print(f"round {number + 1} of {options.rounds}: {kind.name}", file=sys.stderr)
                try:
                    system.start()
                    rounds[kind.name].append(measure(system, options, Path(name)))
                finally:
                    system.stop()
    if options.json:
        options.json.write_text(json.dumps(rounds, indent=1))
    return rounds


def commit():
    return subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"],
                          capture_output=True, text=True).stdout.strip()


def main():
    parser = arguments()
    parser.add_argument("--seconds", type=int, default=8)
    options = parser.parse_args()
    rounds = in_turns((Etcd, Coterie), measure, options)
    etcd = subprocess.run(["etcd", "--version"], capture_output=True, text=True).stdout.split("\n")[0]
    print(f"{datetime.date.today()}, {machine()}, {etcd}, coterie {commit()}; three nodes each on one machine,\n"
          f"fsync on, {options.keys} keys of 32 bytes, values of 256 bytes, medians of {options.rounds} rounds of "
          f"{options.seconds} s. Ratio: above 1 is better than etcd.\n")
    print_table(rounds, "etcd")
    return 0


if __name__ == "__main__":
    sys.exit(main())
