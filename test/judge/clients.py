"""Clients of the judge, made of nothing that the product is made of: RESP over a socket, and etcd's gRPC with
messages encoded by hand. Each operation ends in one of three ways: an answer, NotApplied, or Unknown."""

import socket
import threading

try:
    import grpc
except ImportError:  # the judge then goes without watches and leases, and says so
    grpc = None

TIMEOUT_SECONDS = 8


class NotApplied(Exception):
    """It did not happen and will not."""


class Unknown(Exception):
    """It may have happened, or may still happen."""


class Redis:
    """One connection; made again when it broke. Not for several threads."""

    def __init__(self, host, database):
        self.host, self.database, self.socket, self.lines, self.generation = host, database, None, None, 0

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket = self.lines = None

    def connect(self):
        try:
            self.socket = socket.create_connection((self.host, 6379), timeout=TIMEOUT_SECONDS)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.lines = self.socket.makefile("rb")
            self.generation += 1
            self.send([("SELECT", self.database)])
            self.read()
        except (OSError, Unknown, NotApplied) as error:
            self.close()
            raise NotApplied(str(error)) from error

    def send(self, commands):
        parts = []
        for words in commands:
            parts.append(b"*%d\r\n" % len(words))
            for word in words:
                word = word if isinstance(word, bytes) else str(word).encode()
                parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
        self.socket.sendall(b"".join(parts))

    def read(self):
        """The next reply; text as str. Raises for an error reply, and Unknown when the connection ends."""
        line = self.lines.readline()
        if not line.endswith(b"\r\n"):
            raise Unknown("the connection ended")
        kind, rest = line[:1], line[1:-2].decode()
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"-":
            raise (Unknown if "outcome unknown" in rest else NotApplied)(rest)
        if kind == b"$":
            if rest == "-1":
                return None
            body = self.lines.read(int(rest) + 2)
            if len(body) != int(rest) + 2:
                raise Unknown("the connection ended")
            return body[:-2].decode()
        if kind == b"*":
            return None if rest == "-1" else [self.read_inner() for _ in range(int(rest))]
        raise Unknown(f"not RESP: {line!r}")

    def read_inner(self):
        try:
            return self.read()
        except NotApplied as error:
            return error

    def call(self, *words):
        return self.calls([words])[0]

    def calls(self, commands):
        """Sent at once. All replies; the first error is raised when all are read."""
        if self.socket is None:
            self.connect()
        try:
            self.send(commands)
            replies, first = [], None
            for _ in commands:
                try:
                    replies.append(self.read())
                except NotApplied as error:
                    replies.append(error)
                    first = first or error
                except Unknown as error:
                    if self.lines is None or "connection ended" in str(error) or "not RESP" in str(error):
                        raise
                    replies.append(error)
                    first = error
        except OSError as error:
            self.close()
            raise Unknown(str(error)) from error
        except Unknown:
            self.close()
            raise
        if first:
            raise first
        return replies


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def message(**fields):
    """A protobuf message: f3=5, f1=b"key"; integers are varints, the rest is length-delimited."""
    out = b""
    for name, value in fields.items():
        number = int(name[1:])
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            value = value if isinstance(value, bytes) else value.encode()
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def fields_of(data):
    """{number: [values]}; varints as int, the rest as bytes."""
    out, at = {}, 0

    def number():
        nonlocal at
        shift = value = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    while at < len(data):
        tag = number()
        if tag & 7 == 0:
            value = number()
        elif tag & 7 == 2:
            length = number()
            value, at = data[at:at + length], at + length
        else:
            width = {1: 8, 5: 4}[tag & 7]
            value, at = data[at:at + width], at + width
        out.setdefault(tag >> 3, []).append(value)
    return out


def first(fields, number, default=0):
    return fields.get(number, [default])[0]


def signed(number):
    return number - (1 << 64) if number >> 63 else number


class Etcd:
    """etcd v3 at one node."""

    def __init__(self, host):
        self.channel = grpc.insecure_channel(f"{host}:2379", options=[("grpc.initial_reconnect_backoff_ms", 100),
                                                                     ("grpc.max_reconnect_backoff_ms", 500)])

    def close(self):
        self.channel.close()

    def unary(self, method, request, timeout=TIMEOUT_SECONDS):
        try:
            return fields_of(self.channel.unary_unary(f"/etcdserverpb.{method}")(request, timeout=timeout))
        except grpc.RpcError as error:
            raise Unknown(str(error.details())) from error

    def put(self, key, value, lease=0):
        """The revision."""
        done = self.unary("KV/Put", message(f1=key, f2=value, **({"f3": lease} if lease else {})))
        return first(fields_of(first(done, 1, b"")), 3)

    def get(self, key):
        """(value or None, revision of the store), linearizable."""
        done = self.unary("KV/Range", message(f1=key))
        found = [first(fields_of(kv), 5, b"").decode() for kv in done.get(2, [])]
        return (found[0] if found else None), first(fields_of(first(done, 1, b"")), 3)

    def grant(self, ttl):
        return first(self.unary("Lease/LeaseGrant", message(f1=ttl)), 2)

    def renew(self, lease):
        """The TTL that is left; 0: there is no such lease."""
        call = self.channel.stream_stream("/etcdserverpb.Lease/LeaseKeepAlive")
        try:
            answers = call(iter([message(f1=lease)]), timeout=TIMEOUT_SECONDS)
            return signed(first(fields_of(next(answers)), 3))
        except (grpc.RpcError, StopIteration) as error:
            raise Unknown(str(error)) from error

    def watch(self, prefix, start, stopping):
        """Yields lists of (revision, key, value or None) until the stream ends. Raises Unknown when it breaks."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        create = message(f1=message(f1=prefix, f2=end, **({"f3": start} if start else {})))

        def requests():
            yield create
            stopping.wait()

        answers = self.channel.stream_stream("/etcdserverpb.Watch/Watch")(requests())
        canceller = threading.Thread(target=lambda: (stopping.wait(), answers.cancel()), daemon=True)
        canceller.start()
        try:
            for answer in answers:
                fields = fields_of(answer)
                if first(fields, 4):
                    raise Unknown("canceled: " + first(fields, 6, b"").decode())
                events = []
                for event in fields.get(11, []):
                    event = fields_of(event)
                    kv = fields_of(first(event, 2, b""))
                    deleted = first(event, 1) == 1
                    events.append((first(kv, 3), first(kv, 1, b"").decode(),
                                   None if deleted else first(kv, 5, b"").decode()))
                yield events
        except grpc.RpcError as error:
            if not stopping.is_set():
                raise Unknown(str(error.code())) from error
