"""One attempt, as its launcher sees it: the child, its log, its notes, and the connection to the server.

The log and the outcome are written into the attempt's folder here; the server listens through a connection that it
may lose and make again.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from typing import Any

import msgspec

from runyard.core.attempts import Finished, Outcome, Progress, Report, Started
from runyard.core.launch import (
    MESSAGE_BYTES,
    NOTES,
    OUTCOME,
    SOCKET,
    Attach,
    Head,
    Launch,
    Lease,
    StopOrder,
    decode_note,
    decode_order,
    encode,
)
from runyard.core.states import Reason
from runyard.runtime.context import PROGRESS_BYTES, TOTAL_BYTES
from runyard.work import endings, tree
from runyard.work.logfile import LogFile
from runyard.work.spare import Spare

_PIECE = 64 * 1024
_PROGRESS_SECONDS = 0.2
_ATTACH_SECONDS = 1.0
_KILL_AGAIN_SECONDS = 0.1
EXPIRED = Outcome(
    result="lost", reason=Reason.LOST_WORKER, detail="The lease of its server ended, and its work with it."
)


class Attempt:
    """Reads and writes in the present folder, which is the attempt's."""

    def __init__(self, head: Head, order: Launch, channel: socket.socket, spare: Spare) -> None:
        self.head = head
        self.folder = order.folder
        self.spare = spare
        self.log = LogFile(order.log_bytes)
        self.channel: socket.socket | None = channel
        self.poll = select.poll()
        self.handlers: dict[int, Any] = {}
        self.values: dict[str, Any] = {}
        self.bookmark: dict[str, Any] | None = None
        self.output: Any = None
        self.metrics: dict[str, Any] = {}
        self.tables: list[str] = []
        self.progress: dict[str, Any] | None = None
        self.untold_at: float | None = None
        """When progress that came too soon after the last is told."""
        self.told_at = 0.0
        self.started_at: int | None = None
        self.stopped: StopOrder | None = None
        self.kill_at: float | None = None
        self.status: int | None = None
        self.by_itself = False
        self.lease_until = order.until
        """When the work must be dead, by CLOCK_BOOTTIME, unless the lease is extended before."""
        self.lost = False

    # --- life ---

    def start(self, claim: bytes) -> None:
        """Starts the work, and listens to it and to who owns it."""
        self.listener = _listen(SOCKET, socket.SOCK_SEQPACKET)
        self.listener.listen(4)
        self._watch(self.listener.fileno(), self._on_connection)
        self.notes = _listen(NOTES, socket.SOCK_DGRAM)
        self.notes.setblocking(False)
        self._watch(self.notes.fileno(), self._on_note)
        assert self.channel is not None
        self._watch(self.channel.fileno(), self._on_order)
        self.streams = {self.spare.stdout: 1, self.spare.stderr: 2}
        for fd in self.streams:
            os.set_blocking(fd, False)
            self._watch(fd, self._on_output)
        self.exit = os.pidfd_open(self.spare.pid)
        self._watch(self.exit, self._on_exit)
        self.started_at = self.spare.tell(self.folder, claim)
        if self.started_at is not None:
            self._send(Started(self.head.task_run_id, self.head.token, self.started_at))

    def run(self) -> None:
        """Sees the work through, and tells how it ended."""
        self.reap()
        while self.status is None:
            self._turn(min(filter(None, (self.kill_at, self.untold_at, self._lease_end())), default=None))
        tree.end()
        self._drain()
        self._finish()

    def close(self) -> None:
        """Lets go of all that it held, but for the connection."""
        self.listener.close()
        self.notes.close()
        os.close(self.exit)
        self.spare.close()
        self.log.close()
        self.handlers.clear()

    def _turn(self, until: float | None) -> None:
        for fd, _ in self.poll.poll(None if until is None else max(0.0, until - time.monotonic()) * 1000):
            handler = self.handlers.get(fd)
            if handler is not None:
                handler(fd)
        now = time.monotonic()
        if not self.lost and self.expired():
            self.lost, self.kill_at = True, now
        if self.untold_at is not None and now >= self.untold_at:
            self._tell_progress()
        if self.kill_at is not None and now >= self.kill_at:
            self.kill_at = now + _KILL_AGAIN_SECONDS
            tree.kill()

    def expired(self) -> bool:
        """Whether the lease has ended."""
        return self.lease_until is not None and time.clock_gettime(time.CLOCK_BOOTTIME) >= self.lease_until

    def _lease_end(self) -> float | None:
        """When the lease ends, by the clock of the other deadlines."""
        if self.lease_until is None or self.lost:
            return None
        return time.monotonic() + self.lease_until - time.clock_gettime(time.CLOCK_BOOTTIME)

    def _watch(self, fd: int, handler: Any) -> None:
        self.handlers[fd] = handler
        self.poll.register(fd, select.POLLIN)

    def _unwatch(self, fd: int) -> None:
        if self.handlers.pop(fd, None) is not None:
            self.poll.unregister(fd)

    # --- the work ---

    def _on_output(self, fd: int) -> None:
        try:
            data = os.read(fd, _PIECE)
        except BlockingIOError:
            return
        if data:
            self.log.write(self.streams[fd], data)
        else:
            self._unwatch(fd)

    def _written(self, told: dict[str, Any]) -> dict[str, list[str]]:
        """The tables that the processes of the attempt told one by one, all together."""
        named = told.get("tables_written")
        if not isinstance(named, list) or not all(isinstance(one, str) for one in named):
            return {"tables_written": self.tables} if self.tables else {}
        self.tables = sorted(
            {*self.tables, *(f"main.{one}".lower() if "." not in one else one.lower() for one in named)}
        )
        return {"tables_written": self.tables}

    def _on_note(self, fd: int) -> None:
        try:
            note = decode_note(self.notes.recv(MESSAGE_BYTES))
        except (BlockingIOError, ValueError):  # the channel is the task's own to spoil
            return
        self.bookmark = note.bookmark if note.bookmark is not None else self.bookmark
        self.output = note.output if note.output is not None else self.output
        metrics = {**self.metrics, **note.metrics, **self._written(note.metrics)}
        self.metrics = metrics if len(encode(metrics)) <= PROGRESS_BYTES else self.metrics
        values = {**self.values, **note.values}
        if len(encode(values)) <= TOTAL_BYTES:
            self.values = values
        else:
            said = f"\nrunyard: {sorted(note.values)} not kept: all values together have {TOTAL_BYTES} bytes at most.\n"
            self.log.write(2, said.encode())
        if note.progress is not None and len(encode(note.progress)) <= PROGRESS_BYTES:
            self.progress = note.progress
            self.untold_at = self.told_at + _PROGRESS_SECONDS

    def _tell_progress(self) -> None:
        self.untold_at, self.told_at = None, time.monotonic()
        self._send(Progress(self.head.task_run_id, self.head.token, _now(), self.progress or {}))

    def _on_exit(self, fd: int) -> None:
        self._unwatch(fd)
        self.reap()

    def reap(self) -> None:
        """Waits for whatever has ended: orphans come here too."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self.spare.pid:
                    self.status, self.ended_at = ended[1], _now()
                    self.by_itself = self.stopped is None and not self.lost

    # --- orders ---

    def _on_connection(self, fd: int) -> None:
        connection, _ = self.listener.accept()
        connection.settimeout(_ATTACH_SECONDS)
        try:
            order = decode_order(connection.recv(MESSAGE_BYTES))
        except (OSError, ValueError):
            connection.close()
            return
        if not isinstance(order, Attach) or order.token != self.head.token:
            connection.close()  # the fence: somebody who does not hold this claim
            return
        self._drop_channel()
        self.channel = connection
        self._watch(connection.fileno(), self._on_order)
        if self.started_at is not None:
            self._send(Started(self.head.task_run_id, self.head.token, self.started_at))

    def _on_order(self, fd: int) -> None:
        assert self.channel is not None
        try:
            order = decode_order(self.channel.recv(MESSAGE_BYTES))
        except (OSError, ValueError):
            self._drop_channel()  # the server is gone; the work goes on
            return
        if isinstance(order, StopOrder) and self.status is None:
            self._stop(order)
        elif isinstance(order, Lease) and not self.expired():  # what has ended stays ended
            self.lease_until = order.until

    def _stop(self, order: StopOrder) -> None:
        if self.stopped is None:
            self.stopped = order
            tree.tell(signal.SIGTERM, signal.SIGCONT)
        until = time.monotonic() + order.grace
        self.kill_at = until if self.kill_at is None else min(self.kill_at, until)

    def _drop_channel(self) -> None:
        if self.channel is not None:
            self._unwatch(self.channel.fileno())
            self.channel.close()
            self.channel = None

    def _send(self, report: Report) -> bool:
        """Never waits: a server that does not listen finds out when it connects again."""
        data = encode(report)
        if self.channel is not None:
            if len(data) <= MESSAGE_BYTES:
                with contextlib.suppress(OSError):
                    self.channel.send(data, socket.MSG_DONTWAIT)
                    return True
            self._drop_channel()
        return False

    # --- the end ---

    def _drain(self) -> None:
        for fd in self.streams:
            while fd in self.handlers and select.select([fd], [], [], 0)[0]:
                self._on_output(fd)
        while select.select([self.notes], [], [], 0)[0]:
            self._on_note(self.notes.fileno())

    def _finish(self) -> None:
        finished = Finished(self.head.task_run_id, self.head.token, _now(), self._outcome())
        # A full disk: whoever connects is told.
        while not (self._keep(finished) | self._send(finished)):
            self._turn(time.monotonic() + _ATTACH_SECONDS)

    def _keep(self, finished: Finished) -> bool:
        # Not synced: after a power cut the engine calls an attempt without an outcome lost, and tries again.
        try:
            with open(f"{OUTCOME}.new", "wb") as file:
                file.write(encode(finished))
            os.rename(f"{OUTCOME}.new", OUTCOME)
        except OSError:
            return False
        return True

    def _outcome(self) -> Outcome:
        facts: dict[str, Any] = {"values": self.values, "started_at": self.started_at, "ended_at": self.ended_at}
        if self.bookmark is not None:
            facts |= {"bookmark": self.bookmark, "bookmark_version": self.head.bookmark_version}
        if self.progress is not None or self.metrics:
            facts["metrics"] = {**(self.progress or {}), **self.metrics}
        if self.output is not None:
            facts["output"] = self.output
        assert self.status is not None
        if self.lost and not self.by_itself:
            return msgspec.structs.replace(EXPIRED, started_at=self.started_at, ended_at=self.ended_at)
        if self.by_itself or self.stopped is None:
            return endings.of(self.status, self.log.tail, facts)
        result = "released" if self.stopped.why == "release" else "stopped"
        return Outcome(result=result, exit_code=os.waitstatus_to_exitcode(self.status), **facts)  # type: ignore[arg-type]  # by key


def _listen(name: str, kind: socket.SocketKind) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, kind)
    listener.bind(name)
    return listener


def _now() -> int:
    return time.time_ns() // 1_000_000
