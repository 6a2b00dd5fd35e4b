"""Starts downloads, each in a process of its own that is forked in milliseconds from one that has all it needs.

That one is `python -m runyard.warehouse.downloads FD`: it stays single-threaded and ends with the warehouse process.
A download ends when its channel is closed, so it never outlives whoever asked for it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import subprocess
import sys
import threading

import msgspec

from runyard.warehouse import download
from runyard.warehouse.sending import Send


class Downloads:
    """The downloads of one warehouse process. The process that forks them is started with the first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orders: socket.socket | None = None

    def start(self, request: download.Request | Send) -> socket.socket:
        """Begins a download; its lines come through the channel, and closing that ends it."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._order(theirs.fileno())
        with contextlib.suppress(OSError):  # it was ended already, which whoever reads will see
            ours.sendall(msgspec.json.encode(request) + b"\n")
        return ours

    def _order(self, channel: int) -> None:
        with self._lock:
            if self._orders is not None:
                try:
                    socket.send_fds(self._orders, [b"x"], [channel])
                    return
                except OSError:  # it was killed
                    self._orders.close()
            self._orders = _forker()
            socket.send_fds(self._orders, [b"x"], [channel])


def _forker() -> socket.socket:
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "runyard.warehouse.downloads", str(theirs.fileno())]
    with theirs:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[theirs.fileno()]
        )
    threading.Thread(target=process.wait, name="downloads", daemon=True).start()
    return ours


def serve(orders: socket.socket) -> None:
    """Forks a download for each descriptor that comes, until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    gc.freeze()
    while True:
        data, fds, _, _ = socket.recv_fds(orders, 1, 1)
        if not data:
            return
        if os.fork() == 0:
            orders.close()
            _own(fds[0])
        os.close(fds[0])


def _own(channel: int) -> None:
    """The life of one download: its channel is its standard input and output."""
    os.dup2(channel, 0)
    os.dup2(channel, 1)
    os.close(channel)
    request = sys.stdin.buffer.readline()
    threading.Thread(target=_end_with_channel, daemon=True).start()
    code = 1
    try:
        download.main(request)
        code = 0
    finally:
        os._exit(code)


def _end_with_channel() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
