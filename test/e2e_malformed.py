#!/usr/bin/env python3
"""Bytes that are not of the protocol, on every port of a live cluster: the connection may end, the node does not.

After each attack the same process still serves, leads or follows as before, and has not grown without bound."""

import random
import re
import socket
import struct
from pathlib import Path

from demo_cluster import DemoCluster, claim, main

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
GROWTH_MIB = 64  # of a node's memory over all attacks


def frame(kind, flags, stream, payload=b"", length=None):
    size = len(payload) if length is None else length
    return struct.pack(">I", size)[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def headers(stream, path, flags=0x4, fields=()):
    block = b""
    for name, value in [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"x"),
                        (b"te", b"trailers"), (b"content-type", b"application/grpc"), *fields]:
        block += b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value
    return frame(HEADERS, flags, stream, block)


def message(body, length=None, compressed=0):
    return struct.pack(">BI", compressed, len(body) if length is None else length) + body


def call(path, body, stream=1):
    return headers(stream, path) + frame(DATA, 1, stream, body)


def talk(address, port, *chunks):
    """Sends all that the peer takes, and reads what it answers, until it closes or is silent."""
    answer = b""
    with socket.create_connection((address, port), timeout=5) as connection:
        connection.settimeout(0.5)
        try:
            for chunk in chunks:
                connection.sendall(chunk)
            while part := connection.recv(65536):
                answer += part
        except OSError:
            pass
    return answer


class Watched:
    """A cluster whose nodes must outlive what is done to them."""

    def __init__(self, demo):
        self.demo = demo
        self.addresses = [node["address"] for node in demo.nodes.values()]
        self.pids = [node["pid"] for node in demo.coterie_state()["nodes"]]
        self.size = [self.mib(pid) for pid in self.pids]
        demo.done("put", "before", "attack")

    def mib(self, pid):
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text()).group(1)) / 1024

    def check(self, attack):
        for name in self.demo.nodes:
            claim(not self.demo.process_gone(name), f"{name} outlives: {attack}")
        claim(self.demo.get("before") == {"before": "attack"}, f"it serves after: {attack}")
        for pid, before in zip(self.pids, self.size):
            grown = self.mib(pid) - before
            claim(grown < GROWTH_MIB, f"memory is bounded after: {attack}", f"grew by {grown:.0f} MiB")


def broken_http2_ends_its_connection_only():
    with DemoCluster() as demo:
        watched = Watched(demo)
        hello = PREFACE + frame(SETTINGS, 0, 0)
        put = b"/etcdserverpb.KV/Put"
        attacks = {
            "text": b"GIVE ME THE KEYS\r\n\r\n", "zeroes": bytes(70000), "a TLS hello": b"\x16\x03\x01\x02\0\x01\0\x01\xfc",
            "half a preface": PREFACE[:10], "a frame of 16 MiB": hello + frame(DATA, 0, 1, b"x", length=0xFFFFFF),
            "DATA on no stream": hello + frame(DATA, 0, 0, b"x"),
            "HPACK garbage": hello + frame(HEADERS, 4, 1, b"\xff" * 64),
            "CONTINUATION without a head": hello + frame(CONTINUATION, 4, 1, b""),
            "an endless head": hello + frame(HEADERS, 0, 1, b"") + frame(CONTINUATION, 0, 1, b"\0\1a\x7e" + b"v" * 126) * 2000,
            "a window past its bound": hello + frame(WINDOW, 0, 0, struct.pack(">I", 0x7FFFFFFF)) * 2,
            "a flood of pings": hello + frame(PING, 0, 0, b"12345678") * 20000,
            "a flood of settings": hello + frame(SETTINGS, 0, 0) * 20000,
            "rapid resets": hello + b"".join(headers(i, put) + frame(RST, 0, i, struct.pack(">I", 8)) for i in range(1, 20001, 2)),
            "thousands of open streams": hello + b"".join(headers(i, put) for i in range(1, 20001, 2)),
            "HTTP/1 with an endless line": b"GET /" + b"a" * 200000,
            "HTTP/1 with a bad length": b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        }
        for name, chunk in attacks.items():
            for address in watched.addresses:
                talk(address, 2379, chunk)
            watched.check(name)


def broken_messages_are_answered_with_an_error():
    with DemoCluster() as demo:
        watched = Watched(demo)
        hello = PREFACE + frame(SETTINGS, 0, 0) + frame(SETTINGS, 1, 0)
        deep = b""
        for _ in range(2000):  # a Txn in a Txn in a Txn ...: success { request_txn { ... } }
            deep = b"\x22" + varint(len(deep)) + deep
            deep = b"\x12" + varint(len(deep)) + deep
        bodies = {
            "a truncated protobuf": message(b"\x0a\x7fkey"), "a field without an end": message(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
            "an unknown wire type": message(b"\x0f\x0f\x0f"), "a length of 4 GiB": message(b"abc", length=0xFFFFFFFF),
            "a length of 1 GiB": message(b"abc", length=1 << 30), "less than it says": message(b"abc", length=10),
            "compression that nobody agreed to": message(b"abc", compressed=1), "half a prefix": b"\0\0",
            "two messages in one call": message(b"\x0a\x01a") * 2, "transactions in transactions": message(deep[:16000]),
        }
        for path in (b"/etcdserverpb.KV/Put", b"/etcdserverpb.KV/Range", b"/etcdserverpb.KV/Txn", b"/etcdserverpb.Watch/Watch",
                     b"/etcdserverpb.Lease/LeaseKeepAlive", b"/etcdserverpb.Nothing/Nothing", b"nonsense"):
            for name, body in bodies.items():
                answer = talk(watched.addresses[0], 2379, hello + call(path, body))
                claim(answer, f"{path.decode()} answers {name}")
            watched.check(path.decode())


def varint(number):
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def garbage_on_peer_and_admin_ports_is_dropped():
    with DemoCluster() as demo:
        watched = Watched(demo)
        random.seed(7)
        for port in (7070, 7071):
            for number in range(40):
                size = random.choice([1, 8, 64, 4096, 200000])
                talk(watched.addresses[number % 3], port, random.randbytes(size))
            for head in (b"\xff" * 64, struct.pack("<I", 0xFFFFFFF0) + bytes(60), struct.pack(">I", 0x7FFFFFFF) + bytes(60),
                         PREFACE, b"GET /status HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 50000,
                         b"POST /fault?to=99999999999999999999&cut=x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
                         b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n"):
                for address in watched.addresses:
                    answer = talk(address, port, head)
                    claim(b"root:" not in answer, "files are not served")
            watched.check(f"garbage on port {port}")
        for name in demo.nodes:  # connections between nodes stand: a write needs them
            demo.done("put", f"after/{name}", "x", at=[name])


def idle_connections_do_not_shut_clients_out():
    with DemoCluster() as demo:
        watched = Watched(demo)
        held = []
        try:
            for port in (2379, 7070, 7071):
                for _ in range(300):
                    connection = socket.create_connection((watched.addresses[0], port), timeout=5)
                    connection.sendall(PREFACE[:5])
                    held.append(connection)
            watched.check("900 connections that say nothing")
            claim(demo.done("put", "k", "v", at=["n1"]) == "OK\n", "n1 still takes clients")
        finally:
            for connection in held:
                connection.close()


if __name__ == "__main__":
    main(broken_http2_ends_its_connection_only, broken_messages_are_answered_with_an_error,
         garbage_on_peer_and_admin_ports_is_dropped, idle_connections_do_not_shut_clients_out)
