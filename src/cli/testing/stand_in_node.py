#!/usr/bin/env python3
"""Stands in for a node in the tests of the command: `stand_in_node.py start --config FILE`.

It reads the same configuration file, listens on the admin, etcd, redis and peer addresses, and
answers the admin door's GET /status and POST /fault as a node does, with n1 leading; one that joins
takes its id from its name. It replicates nothing.
"""

import http.server
import json
import socket
import sys
import threading
import tomllib
import urllib.parse


def split(address):
    host, port = address.rsplit(":", 1)
    return host, int(port)


def identify(config):
    """One that joins is told neither its id nor the members."""
    if config["join"]:
        assert "id" not in config and "members" not in config, "a joiner is told too much"
        config["id"], config["members"] = int(config["name"][1:]), []


def status(config, faults):
    peers = [
        {
            "id": member["id"],
            "name": member["name"],
            "connected": True,
            "last_heard_ms": 10,
            "match": 10,
            "faults": faults.get(member["id"], []),
        }
        for member in config["members"]
        if member["id"] != config["id"]
    ]
    replicas = len(config["members"])
    return {
        "node": config["name"],
        "id": config["id"],
        "version": "0.1.0",
        "cluster": config["cluster"],
        "cluster_id": "00",
        "role": "leader" if config["id"] == 1 else "follower",
        "leader": 1,
        "term": 3,
        "commit": 10,
        "applied": 10,
        "revision": 5,
        "ready": True,
        "clock": {"synchronized": False, "bound_ms": 16},
        "peers": peers,
        "keyspaces": [
            {
                "name": "main",
                "replication": "raft",
                "replicas": replicas,
                "tolerates": (replicas - 1) // 2,
            }
        ],
    }


def handler(config, faults):
    class Admin(http.server.BaseHTTPRequestHandler):
        def answer(self, code, document):
            body = json.dumps(document).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            self.answer(200, status(config, faults))

        def do_POST(self):
            query = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)
            if "heal" in query:
                faults.clear()
            elif "cut" in query:
                faults[int(query["to"][0])] = ["cut"]
            else:
                faults[int(query["to"][0])] = [f"delay {query['delay_ms'][0]}ms"]
            self.answer(200, {})

        def log_message(self, *args):
            pass

    return Admin


def main():
    with open(sys.argv[3], "rb") as file:
        config = tomllib.load(file)
    identify(config)
    held = []
    for name in ("etcd_listen", "redis_listen", "peer_listen"):
        try:
            held.append(socket.create_server(split(config[name])))
        except OSError as error:
            print(f"error node: COT-0004 {config[name]}: {error}", file=sys.stderr)
            return 4
    if config["cluster"] != "demo" or not config["demo"]:
        print("error node: COT-0003 not a demo", file=sys.stderr)
        return 1
    server = http.server.ThreadingHTTPServer(
        split(config["admin_listen"]), handler(config, {})
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    threading.Event().wait()


sys.exit(main())
