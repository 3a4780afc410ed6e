#!/usr/bin/env python3
"""What a node or the command must refuse, with the reason in words and the right exit code."""

import socket
import tempfile
from pathlib import Path

from demo_cluster import BINARY, DemoCluster, claim, main, run

HOST = "127.0.0.31"
LISTEN = [f"--etcd-listen={HOST}:2379", f"--admin-listen={HOST}:7070", f"--peer-listen={HOST}:7071"]


def refused(result, code, *texts):
    claim(result.code == code, f"the exit code is {code}", result)
    for text in texts:
        claim(text in result.err, f"stderr says '{text}'", result)
    claim(result.out == "", "stdout stays empty", result)


def a_wrong_configuration_is_refused_with_its_place():
    with tempfile.TemporaryDirectory() as home:
        path = Path(home) / "n.toml"
        path.write_text(f'data_dir = "{home}/d"\nhearbeat_interval = "100ms"\n')
        refused(run(BINARY, "start", "--config", path), 1, "COT-0002", f"{path}:2", "heartbeat_interval")
        path.write_text(f'data_dir = "{home}/d"\nelection_timeout = "fast"\n')
        refused(run(BINARY, "start", "--config", path), 1, "COT-0003", f"{path}:2", "election_timeout")
        refused(run(BINARY, "start", "--config", Path(home) / "none.toml"), 1, "COT-0003", "none.toml")
        refused(run(BINARY, "start", "--data-dir", f"{home}/d", "--etcd-listen", "0.0.0.0:2379"), 1,
                "COT-0003", "TLS", "127.0.0.x")
        claim(not (Path(home) / "d").exists(), "a refused start makes no data directory")


def a_port_in_use_is_named():
    with tempfile.TemporaryDirectory() as home, socket.create_server((HOST, 2379)):
        result = run(BINARY, "start", "--data-dir", f"{home}/d", *LISTEN)
        refused(result, 4, "COT-0004", f"{HOST}:2379")


def a_demo_on_used_ports_leaves_nothing_running():
    with DemoCluster() as demo, tempfile.TemporaryDirectory() as home:
        other = {"XDG_RUNTIME_DIR": home}
        result = run(BINARY, "demo", "--detach", "--dir", f"{home}/second", environment=other)
        refused(result, 4, "COT-0004", "n1", "127.0.0.1:2379")
        refused(run(BINARY, "status", environment=other), 2, "COT-0007")
        claim(demo.coterie("status").code == 0, "the first demo is not disturbed")


def another_nodes_data_is_refused():
    with DemoCluster() as demo:
        claim(demo.etcdctl("put", "k", "v").code == 0, "put")
        claim(demo.coterie("fault", "kill", "n2").code == 0, "n2 is killed")
        foreign = demo.path / "demo" / "n2"
        start = [BINARY, "start", "--data-dir", foreign, *LISTEN]
        refused(run(*start, "--cluster", "other"), 4, "COT-2006")
        used = demo.path / "demo" / "n1"
        refused(run(BINARY, "start", "--data-dir", used, "--cluster", "demo", *LISTEN), 4, "COT-2008")
        claim(demo.coterie("fault", "restart", "n2").code == 0, "the data was left as it was")


def faults_need_a_demo():
    with tempfile.TemporaryDirectory() as home:
        refused(run(BINARY, "fault", "heal", environment={"XDG_RUNTIME_DIR": home}), 2, "COT-0007")


if __name__ == "__main__":
    main(a_wrong_configuration_is_refused_with_its_place, a_port_in_use_is_named,
         a_demo_on_used_ports_leaves_nothing_running, another_nodes_data_is_refused, faults_need_a_demo)
