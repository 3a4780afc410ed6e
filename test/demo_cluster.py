"""A demo cluster for end-to-end tests: started by `coterie demo --detach` in a directory of its own, and
always stopped. Nodes listen with each protocol's own port on loopback addresses that depend on the test and
on where the binary lies, so that two builds, and two tests of one build, can run at once. Those that load
the machine take turns all the same (ctest's RESOURCE_LOCK demo)."""

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

BINARY = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else None
NETWORK = "127.{0}.{1}".format(*(byte % 200 + 20 for byte in zlib.crc32(f"{sys.argv[0]} {BINARY}".encode()).to_bytes(4, "big")))


class Failure(Exception):
    """A claim of the test that did not hold."""


def claim(holds, text, *evidence):
    """Fails the test unless `holds`."""
    if not holds:
        raise Failure("\n".join([text, *map(str, evidence)]))


class Result:
    """What a command did: exit code, stdout, stderr."""

    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    def json(self):
        return json.loads(self.out)

    def __str__(self):
        return f"exit code {self.code}\nstdout: {self.out}\nstderr: {self.err}"


def run(*words, environment=None, timeout=120, stdin=""):
    done = subprocess.run([str(word) for word in words], input=stdin, capture_output=True, text=True,
                          timeout=timeout, env={**os.environ, **(environment or {})})
    return Result(done)


class Running:
    """A command that runs in the background."""

    def __init__(self, process, out):
        self.process, self.out = process, out

    def output(self):
        # A reader's own offset must not move the writer's: both share it.
        return os.pread(self.out.fileno(), 1 << 20, 0).decode()

    def waits_for(self, text, why):
        wait_for(why, lambda: text in self.output(), evidence=self.output)


class DemoCluster:
    """with DemoCluster(nodes=3) as demo: ..."""

    def __init__(self, nodes=3, directory=None, environment=None):
        self.count, self.directory, self.more_environment = nodes, directory, environment or {}

    def __enter__(self):
        # A failing claim inside __enter__ must not leave nodes behind either.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        self.home = tempfile.TemporaryDirectory(prefix="coterie-e2e-")
        self.path = Path(self.home.name)
        self.directory = self.directory or self.path / "demo"
        self.environment = {"XDG_RUNTIME_DIR": self.home.name, "ETCDCTL_API": "3", **self.more_environment}
        try:
            started = self.coterie("demo", "--detach", "--nodes", self.count, "--dir", self.directory,
                                   "--first-address", f"{NETWORK}.1", "--output", "json")
            claim(started.code == 0, "the demo starts", started)
            self.nodes = {node["name"]: node for node in started.json()["nodes"]}
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind, error, trace):
        if error is not None and not (kind is SystemExit and error.code == 0):
            for log in sorted(self.directory.glob("n*.log")):
                tail = log.read_text(errors="replace").splitlines()[-60:]
                print(f"--- {log.name}", *tail, sep="\n", file=sys.stderr)
        self.coterie("demo", "--stop", "--dir", self.directory)
        self.home.cleanup()

    def coterie(self, *words, **more):
        return run(BINARY, *words, environment=self.environment, **more)

    def coterie_state(self):
        """What the demo wrote down of itself: process numbers change with restarts."""
        return json.loads((self.directory / "demo.json").read_text())

    def process_gone(self, name):
        pid = next(node["pid"] for node in self.coterie_state()["nodes"] if node["name"] == name)
        try:
            return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
        except FileNotFoundError:
            return True

    def endpoint(self, *names):
        return ",".join(f"{self.nodes[name]['address']}:2379" for name in names or self.nodes)

    def etcdctl(self, *words, at=(), timeout="20s", stdin=""):
        return run("etcdctl", f"--endpoints={self.endpoint(*at)}", f"--command-timeout={timeout}", *words,
                   environment=self.environment, stdin=stdin)

    def done(self, *words, **more):
        """What etcdctl printed; a claim that it succeeded."""
        result = self.etcdctl(*words, **more)
        claim(result.code == 0, f"etcdctl {' '.join(map(str, words))} succeeds", result)
        return result.out

    @contextlib.contextmanager
    def etcdctl_running(self, *words, at=()):
        """An etcdctl that runs until the block ends; its output so far is in the file that is given."""
        with tempfile.TemporaryFile("w+") as out:
            process = subprocess.Popen(
                ["etcdctl", f"--endpoints={self.endpoint(*at)}", *map(str, words)], stdin=subprocess.DEVNULL,
                stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **self.environment})
            try:
                yield Running(process, out)
            finally:
                process.send_signal(signal.SIGINT)  # so that locks and elections are given back
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def get(self, *words, at=(), **more):
        """The key-value pairs of a get, as text, in the order of the answer."""
        answer = json.loads(self.done("get", "-w", "json", *words, at=at, **more))
        decode = lambda text: base64.b64decode(text or "").decode()
        return {decode(kv["key"]): decode(kv.get("value")) for kv in answer.get("kvs", [])}

    def revision(self):
        return json.loads(self.done("get", "-w", "json", "any"))["header"]["revision"]

    def leader(self):
        """The name of the node that leads, once one does."""
        return wait_for("a leader is elected", self._leader)

    def _leader(self):
        status = self.coterie("status", "--output", "json")
        return status.json()["leader"] if status.code == 0 else None


def wait_for(what, condition, seconds=60, evidence=lambda: ""):
    """The condition's first true value. The limit only ends a hang: no claim is about speed."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        claim(time.monotonic() < deadline, f"in {seconds} s: {what}", evidence())
        time.sleep(0.05)


def main(*tests):
    """Runs the tests, or those whose names hold a word of the command line; exits with 1 if one fails."""
    words = sys.argv[2:]
    failed = ran = 0
    for test in tests:
        if words and not any(word in test.__name__ for word in words):
            continue
        ran += 1
        try:
            test()
            print(f"ok      {test.__name__}", flush=True)
        except (Failure, subprocess.TimeoutExpired) as failure:
            failed += 1
            print(f"FAILED  {test.__name__}: {failure}", flush=True)
    sys.exit(1 if failed or not ran else 0)
