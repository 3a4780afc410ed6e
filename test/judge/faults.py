"""What the judge does to a cluster: one trouble at a time, each undone after a while, drawn from a seed."""

import os
import struct
import subprocess
import threading
import time
from pathlib import Path

KINDS = ("kill", "kill all", "pause", "partition", "cut", "delay", "clock", "nothing")


class Clocks:
    """The nodes' real-time clocks, set apart by a preloaded library; None where there is no C compiler."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir()
        source, self.library = Path(__file__).with_name("clock_shim.c"), self.folder / "clock_shim.so"
        compiler = next((c for c in ("clang-19", "cc", "gcc") if subprocess.run(
            ["which", c], capture_output=True).returncode == 0), None)
        built = compiler and subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", self.library, source],
                                            capture_output=True, text=True)
        self.works = bool(built) and built.returncode == 0

    def environment(self):
        return {"JUDGE_CLOCKS": str(self.folder), "LD_PRELOAD": str(self.library)} if self.works else {}

    def set(self, pid, seconds):
        path = self.folder / str(pid)
        if path.exists():
            with open(path, "r+b") as file:
                file.write(struct.pack("<q", int(seconds * 1e9)))


class Faults(threading.Thread):
    """Draws troubles until `stop`; then heals everything. What was done is in `done`: [(time, text)]."""

    def __init__(self, demo, random, clocks, kinds=KINDS):
        super().__init__(daemon=True)
        self.demo, self.random, self.clocks = demo, random, clocks
        self.kinds = [kind for kind in kinds if kind != "clock" or clocks.works]
        self.stopping, self.done, self.broken = threading.Event(), [], None

    def run(self):
        try:
            self.stopping.wait(self.random.uniform(0.5, 1.5))
            while not self.stopping.is_set():
                self.one(self.random.choice(self.kinds))
                self.stopping.wait(self.random.uniform(0.3, 2))
        except Exception as error:  # a fault that cannot be undone is the run's end, not a thread's
            self.broken = error

    def stop(self):
        self.stopping.set()
        self.join()
        self.heal()
        if self.broken:
            raise self.broken

    def say(self, text):
        self.done.append((time.monotonic(), text))

    def fault(self, *words):
        done = self.demo.coterie("fault", *words)
        if done.code != 0 and words[0] not in ("heal", "partition", "cut", "delay"):
            raise RuntimeError(f"fault {' '.join(words)}: {done}")

    def names(self):
        return sorted(node["name"] for node in self.demo.coterie_state()["nodes"])

    def last(self, shortest=0.3, longest=4):
        self.stopping.wait(self.random.uniform(shortest, longest))

    def one(self, kind):
        names = self.names()
        victim = self.random.choice(names)
        other = self.random.choice([name for name in names if name != victim])
        self.say(f"{kind} {victim}")
        if kind == "kill":
            self.fault("kill", victim)
            self.last(0, 3)
            self.fault("restart", victim)
        elif kind == "kill all":
            for name in names:
                self.fault("kill", name)
            self.last(0, 0.5)
            threads = [threading.Thread(target=self.fault, args=("restart", name)) for name in names]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        elif kind == "pause":
            self.fault("pause", victim)
            self.last()
            self.fault("resume", victim)
        elif kind == "partition":
            self.fault("partition", victim)
            self.last()
            self.fault("heal")
        elif kind in ("cut", "delay"):
            self.fault(kind, victim, other, *(["80ms"] if kind == "delay" else []))
            self.last()
            self.fault("heal")
        elif kind == "clock":
            pid = next(node["pid"] for node in self.demo.coterie_state()["nodes"] if node["name"] == victim)
            self.clocks.set(pid, self.random.choice((-30, -3, -0.4, 0.4, 3, 30)))
            self.last()
            self.clocks.set(pid, 0)
        self.say(f"{kind} {victim} is over")

    def heal(self):
        for node in self.demo.coterie_state()["nodes"]:
            self.clocks.set(node["pid"], 0)
            if self.demo.process_gone(node["name"]):
                self.fault("restart", node["name"])
        self.fault("heal")
