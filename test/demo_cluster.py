"""A demo cluster for end-to-end tests: started by `coterie demo --detach` in a directory of its own, and
always stopped. Nodes listen on 127.0.0.x with each protocol's own port, so tests take turns (ctest's
RESOURCE_LOCK demo)."""

import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BINARY = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else None


class Failure(Exception):
    """A claim of the test that did not hold."""


def claim(holds, text, *evidence):
    """Fails the test unless `holds`."""
    if not holds:
        raise Failure("\n".join([text, *map(str, evidence)]))


class Result:
    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    def json(self):
        return json.loads(self.out)

    def __str__(self):
        return f"exit code {self.code}\nstdout: {self.out}\nstderr: {self.err}"


def run(*words, environment=None, timeout=120):
    done = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=timeout, env={**os.environ, **(environment or {})})
    return Result(done)


class DemoCluster:
    """with DemoCluster(nodes=3) as demo: ..."""

    def __init__(self, nodes=3):
        self.count = nodes

    def __enter__(self):
        # A failing claim inside __enter__ must not leave nodes behind either.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        self.home = tempfile.TemporaryDirectory(prefix="coterie-e2e-")
        self.path = Path(self.home.name)
        self.environment = {"XDG_RUNTIME_DIR": self.home.name, "ETCDCTL_API": "3"}
        try:
            started = self.coterie("demo", "--detach", "--nodes", self.count, "--dir", self.path / "demo",
                                   "--output", "json")
            claim(started.code == 0, "the demo starts", started)
            self.nodes = {node["name"]: node for node in started.json()["nodes"]}
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind, error, trace):
        if error is not None:
            for log in sorted(self.path.glob("demo/n*.log")):
                tail = log.read_text(errors="replace").splitlines()[-15:]
                print(f"--- {log.name}", *tail, sep="\n", file=sys.stderr)
        self.coterie("demo", "--stop", "--dir", self.path / "demo")
        self.home.cleanup()

    def coterie(self, *words, **more):
        return run(BINARY, *words, environment=self.environment, **more)

    def endpoint(self, *names):
        return ",".join(f"{self.nodes[name]['address']}:2379" for name in names or self.nodes)

    def etcdctl(self, *words, at=(), timeout="10s"):
        return run("etcdctl", f"--endpoints={self.endpoint(*at)}", f"--command-timeout={timeout}", *words,
                   environment=self.environment)

    def get(self, *words, at=()):
        """The key-value pairs of a get, as text."""
        answer = self.etcdctl("get", "-w", "json", *words, at=at)
        claim(answer.code == 0, f"get {words} is answered", answer)
        decode = lambda text: base64.b64decode(text or "").decode()
        return {decode(kv["key"]): decode(kv.get("value")) for kv in answer.json().get("kvs", [])}

    def leader(self):
        """The name of the node that leads, once one does."""
        return wait_for("a leader is elected", self._leader)

    def _leader(self):
        status = self.coterie("status", "--output", "json")
        return status.json()["leader"] if status.code == 0 else None


def wait_for(what, condition, seconds=60):
    """The condition's first true value. The limit only ends a hang: no claim is about speed."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        claim(time.monotonic() < deadline, f"in {seconds} s: {what}")
        time.sleep(0.1)


def main(*tests):
    """Runs the tests and exits with 1 if one fails."""
    failed = 0
    for test in tests:
        try:
            test()
            print(f"ok      {test.__name__}")
        except (Failure, subprocess.TimeoutExpired) as failure:
            failed += 1
            print(f"FAILED  {test.__name__}: {failure}")
    sys.exit(1 if failed else 0)
