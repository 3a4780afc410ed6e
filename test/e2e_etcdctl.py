#!/usr/bin/env python3
"""An unmodified etcdctl against a demo cluster: each etcd verb on whichever node."""

import subprocess
import tempfile

from demo_cluster import DemoCluster, claim, main, wait_for


def every_node_serves_every_verb():
    with DemoCluster() as demo:
        claim(demo.etcdctl("put", "a", "1", at=["n1"]).out == "OK\n", "n1 takes a put")
        claim(demo.get("a", at=["n3"]) == {"a": "1"}, "a read at n3 sees a put at n1")
        claim(demo.etcdctl("put", "b", "2", at=["n3"]).code == 0, "n3 takes a put")
        claim(demo.get("", "--prefix", at=["n2"]) == {"a": "1", "b": "2"}, "n2 sees both")
        claim(demo.etcdctl("del", "a", at=["n2"]).out == "1\n", "n2 deletes one key")
        claim(demo.get("a", at=["n1"]) == {}, "the deleted key is gone")
        members = demo.etcdctl("member", "list", "-w", "json").json()["members"]
        claim(sorted(m["name"] for m in members) == ["n1", "n2", "n3"], "all members are listed", members)
        health = demo.etcdctl("endpoint", "health")
        claim(health.code == 0, "all endpoints are healthy", health)


def transactions_compare_and_swap():
    with DemoCluster() as demo:
        claim(demo.etcdctl("put", "k", "old").code == 0, "put")
        script = 'value("k") = "old"\n\nput k new\n\nget k\n\n'
        for branch in ("SUCCESS", "FAILURE"):
            done = subprocess.run(
                ["etcdctl", f"--endpoints={demo.endpoint()}", "txn"], input=script, text=True,
                capture_output=True, timeout=60, env={**demo.environment, "PATH": "/usr/bin:/bin"})
            claim(done.stdout.startswith(branch), f"the branch taken is {branch}", done)
        claim(demo.get("k") == {"k": "new"}, "the swap happened once")


def leases_expire_and_watches_tell():
    with DemoCluster() as demo, tempfile.TemporaryFile("w+") as events:
        watch = subprocess.Popen(
            ["etcdctl", f"--endpoints={demo.endpoint('n2')}", "watch", "leased"], stdout=events,
            env={**demo.environment, "PATH": "/usr/bin:/bin"})
        try:
            lease = demo.etcdctl("lease", "grant", "2").out.split()[1]

            def put_seen():
                # Repeated, since the watch may not be registered yet when the first put lands.
                demo.etcdctl("put", "leased", "v", f"--lease={lease}")
                events.seek(0)
                return "PUT\nleased\nv\n" in events.read()

            wait_for("the watcher sees the put", put_seen)
            wait_for("the lease's end deletes its key", lambda: demo.get("leased") == {})

            def delete_seen():
                events.seek(0)
                return "DELETE\nleased\n" in events.read()

            wait_for("the watcher sees the deletion", delete_seen)
        finally:
            watch.terminate()
            watch.wait()


def data_outlives_a_stop_of_all_nodes():
    with DemoCluster() as demo:
        claim(demo.etcdctl("put", "kept", "yes").code == 0, "put")
        for name in demo.nodes:
            claim(demo.coterie("fault", "kill", name).code == 0, f"{name} is killed")
        for name in demo.nodes:
            claim(demo.coterie("fault", "restart", name).code == 0, f"{name} starts again")
        demo.leader()
        claim(demo.get("kept") == {"kept": "yes"}, "an acknowledged write outlives all processes")


if __name__ == "__main__":
    main(every_node_serves_every_verb, transactions_compare_and_swap, leases_expire_and_watches_tell,
         data_outlives_a_stop_of_all_nodes)
