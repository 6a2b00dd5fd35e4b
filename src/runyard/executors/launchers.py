"""Launchers to give work to: those that ended their last attempt and are ready again, else new ones.

New ones come from the fork server, which is started again when it died.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import runyard
from runyard.core.launch import INHERITED

KEPT = 2
"""As many ready launchers stay; each holds some megabytes."""
_IDLE_SECONDS = 1.0
_READY_SECONDS = 0.005
_SEND_SECONDS = 5.0


class Launchers:
    """Belongs to one thread, but for `trouble`."""

    def __init__(self) -> None:
        self.forkserver: subprocess.Popen[bytes] | None = None
        self.trouble: str | None = None
        """Why no launcher can be made; None when the last one could."""
        self._orders: socket.socket | None = None
        self._ready: list[tuple[float, socket.socket]] = []
        """Since when, and the connection; those that came last are last."""

    def open(self) -> None:
        """Starts the fork server."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(_SEND_SECONDS)
        with theirs:
            self.forkserver = subprocess.Popen(
                [sys.executable, "-P", "-m", "runyard.work.forkserver", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env=_environment(),
            )
        self._orders = ours

    def close(self) -> None:
        """Ends the fork server and the launchers without work."""
        for _, channel in self._ready:
            channel.close()
        self._ready.clear()
        self._end_forkserver()

    def send(self, order: bytes) -> socket.socket:
        """The connection to a launcher that has the order, or will have; raises OSError where none can be made."""
        while self._ready:
            channel = self._take()
            try:
                channel.send(order, socket.MSG_DONTWAIT)
            except OSError:  # it was killed
                channel.close()
            else:
                return channel
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            ours.send(order)
            self._ask_for_one(theirs)
        return ours

    def keep(self, channel: socket.socket) -> None:
        """A launcher has ended its attempt: it can take another one."""
        self._ready.append((time.monotonic(), channel))

    def look(self) -> float | None:
        """Lets those go that are too many for the work there is; answers when to look again."""
        now = time.monotonic()
        while len(self._ready) > KEPT:
            since, channel = self._ready[0]
            if since + _IDLE_SECONDS > now:
                return since + _IDLE_SECONDS
            del self._ready[0]
            channel.close()
        return None

    def _take(self) -> socket.socket:
        """The newest, so that the others grow old, but not one that is still making its next process."""
        until = time.monotonic() - _READY_SECONDS
        place = max((place for place, (since, _) in enumerate(self._ready) if since <= until), default=0)
        return self._ready.pop(place)[1]

    def _ask_for_one(self, channel: socket.socket) -> None:
        for again in (True, False):
            assert self._orders is not None
            try:
                socket.send_fds(self._orders, [b"!"], [channel.fileno()])
                self.trouble = None
                return
            except OSError as error:
                if not again:
                    self.trouble = f"No process can be started: the fork server ends at once ({error})."
                    raise
                self._end_forkserver()
                self.open()

    def _end_forkserver(self) -> None:
        if self._orders is not None:
            self._orders.close()
        if self.forkserver is not None:
            try:
                self.forkserver.wait(timeout=1)
            except subprocess.TimeoutExpired:  # frozen: what it did not start yet is never started
                self.forkserver.kill()
                self.forkserver.wait()


def _environment() -> dict[str, str]:
    """The fork server's own: what a task may inherit, for a process can always read what it began with."""
    kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
    paths = [str(Path(runyard.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    # Resolved once there, and not again by every process that is forked.
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "LD_BIND_NOW": "1"}
