"""A load generator in a process of its own: raw sockets, one request under way on each connection.

It takes its work as JSON on standard input and gives what came of it as JSON on standard output. A library's
client would cost more than the server and so measure itself.
"""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from bench.server import API, TOKEN


class Load(NamedTuple):
    """What came of it: seconds a request, and each answer's body (when asked for) in the order of the requests."""

    seconds: float
    latencies: list[float]
    bodies: list[str]

    @property
    def rate(self) -> float:
        """Requests answered a second."""
        return len(self.latencies) / self.seconds


def run(
    url: str,
    requests: Sequence[tuple[str, str, Any]],
    *,
    connections: int = 16,
    seconds: float = 60.0,
    status: int = 200,
    prefix: str = API,
    headers: dict[str, str] | None = None,
) -> Load:
    """Sends (method, path, JSON body or None) requests until all are answered or the time is over.

    `prefix` stands before each path; `headers` are sent with each request. Raises RuntimeError for any other status.
    """
    texts = [[method, prefix + path, "" if body is None else json.dumps(body)] for method, path, body in requests]
    work: dict[str, Any] = {"host": urlsplit(url).hostname, "port": urlsplit(url).port, "requests": texts}
    work |= {"connections": connections, "seconds": seconds, "status": status, "headers": headers or {}}
    done = subprocess.run([sys.executable, "-m", "bench.load"], input=json.dumps(work), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return Load(**json.loads(done.stdout))


def _messages(work: dict[str, Any]) -> list[bytes]:
    """Whole requests, made before the clock starts."""
    host = f"{work['host']}:{work['port']}"
    head = f"Host: {host}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in work["headers"].items())
    return [
        f"{method} {path} HTTP/1.1\r\n{head}Content-Length: {len(body.encode())}\r\n\r\n{body}".encode()
        for method, path, body in work["requests"]
    ]


class _Connection:
    """One socket and the request that is under way on it."""

    __slots__ = ("left", "place", "sent", "socket")

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.place = 0
        self.sent = 0.0
        self.left = b""

    def send(self, place: int, message: bytes) -> None:
        """Sends one request."""
        self.place = place
        self.sent = time.perf_counter()
        self.socket.sendall(message)

    def answer(self, wanted: bytes) -> bytes | None:
        """The body of the answer once all of it is there."""
        data = self.left + self.socket.recv(1 << 20)
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self.left = data
            return None
        length_at = data.lower().find(b"content-length:", 0, end) + 15
        size = int(data[length_at : data.find(b"\r", length_at)])
        if len(data) < end + 4 + size:
            self.left = data
            return None
        if data[9:12] != wanted:
            raise RuntimeError(f"wanted {wanted.decode()}, got {data[:1000]!r}")
        self.left = b""
        return data[end + 4 :]


def _drive(work: dict[str, Any]) -> dict[str, Any]:
    messages, wanted = _messages(work), str(work["status"]).encode()
    connections = [_Connection((work["host"], work["port"])) for _ in range(min(work["connections"], len(messages)))]
    poll = select.epoll()
    by_fd = {one.socket.fileno(): one for one in connections}
    places: Iterator[int] = iter(range(len(messages)))
    latencies, bodies = [0.0] * len(messages), [b""] * len(messages)
    begun = time.perf_counter()
    deadline, open_ = begun + work["seconds"], len(connections)
    for one in connections:
        poll.register(one.socket.fileno(), select.EPOLLIN)
        place = next(places)
        one.send(place, messages[place])
    while open_:
        for fd, _ in poll.poll():
            one = by_fd[fd]
            body = one.answer(wanted)
            if body is None:
                continue
            now = time.perf_counter()
            latencies[one.place], bodies[one.place] = now - one.sent, body
            place = next(places, -1) if now < deadline else -1
            if place < 0:
                open_ -= 1
            else:
                one.send(place, messages[place])
    seconds = time.perf_counter() - begun
    answered = [place for place, latency in enumerate(latencies) if latency]
    return {
        "seconds": seconds,
        "latencies": [latencies[place] for place in answered],
        "bodies": [bodies[place].decode() for place in answered],
    }


if __name__ == "__main__":
    json.dump(_drive(json.load(sys.stdin)), sys.stdout)
