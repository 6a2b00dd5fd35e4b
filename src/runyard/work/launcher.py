"""The launcher: one small process that owns one attempt, from its start to its outcome, whatever the server does.

It is the session leader and the adopter of every orphan below it, so nothing of the work outlives it. It writes
the log and the outcome into the attempt's folder itself; the server listens through a connection that it may
lose and make again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import socket
import time
from typing import Any, NoReturn

from runyard.core.attempts import Assignment, Finished, Outcome, Progress, Report, Started
from runyard.core.launch import (
    CLAIM,
    MESSAGE_BYTES,
    OUTCOME,
    SOCKET,
    WORK,
    Attach,
    StopOrder,
    decode_claim,
    decode_note,
    decode_order,
    encode,
)
from runyard.work import child, endings, linux
from runyard.work.logfile import LogFile

_PIECE = 64 * 1024
_PROGRESS_SECONDS = 0.2


def own(folder: str, log_bytes: int, channel: socket.socket) -> NoReturn:
    """What a freshly forked launcher does. Never returns."""
    try:
        os.setsid()
        linux.adopt_orphans()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        os.chdir(folder)
        _take_over()
        with open(CLAIM, "rb") as file:
            claim = decode_claim(file.read())
        os.makedirs(WORK, exist_ok=True)
        Launcher(claim, log_bytes, channel).run()
    finally:
        os._exit(0)


def _take_over() -> None:
    """Waits until an older launcher of this folder is gone. It is dead already, by what the engine holds."""
    lock = os.open("lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    for stale in (SOCKET, OUTCOME):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(stale)


class Launcher:
    """One attempt: its child, its log, its connection."""

    def __init__(self, claim: Assignment, log_bytes: int, channel: socket.socket) -> None:
        self.claim = claim
        self.log = LogFile(log_bytes)
        self.channel: socket.socket | None = channel
        self.poll = select.poll()
        self.handlers: dict[int, Any] = {}
        self.values: dict[str, Any] = {}
        self.progress: dict[str, Any] | None = None
        self.progress_sent = 0.0
        self.started_at: int | None = None
        self.order: StopOrder | None = None
        self.kill_at: float | None = None
        self.status: int | None = None

    # --- life ---

    def run(self) -> None:
        """Starts the work, sees it through, tells how it ended."""
        self._listen()
        self._watch(self._need_channel().fileno(), self._on_order)
        self._start()
        while self.status is None:
            self._turn()
        before_stop = self.order is None or self.ended_by_itself
        self._end_tree()
        self._drain()
        self._finish(before_stop)

    def _start(self) -> None:
        pipes = [os.pipe2(os.O_CLOEXEC) for _ in range(2)]
        notes, notes_child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        started, started_child = os.pipe2(os.O_CLOEXEC)
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            child.become(self.claim, pipes[0][1], pipes[1][1], notes_child.fileno(), parent, started_child)
        for fd in (pipes[0][1], pipes[1][1], started_child):
            os.close(fd)
        notes_child.close()
        self.notes = notes
        self.streams = {pipes[0][0]: 1, pipes[1][0]: 2}
        for fd in self.streams:
            os.set_blocking(fd, False)
            self._watch(fd, self._on_output)
        notes.setblocking(False)
        self._watch(notes.fileno(), self._on_note)
        self.pidfd = os.pidfd_open(self.pid)
        self._watch(self.pidfd, self._on_exit)
        if os.read(started, 1):  # the child is about to run its first instruction
            self.started_at = _now()
            self._send(Started(self.claim.task_run_id, self.claim.token, self.started_at))
        os.close(started)

    def _turn(self) -> None:
        wait = None if self.kill_at is None else max(0.0, self.kill_at - time.monotonic())
        for fd, _ in self.poll.poll(None if wait is None else wait * 1000):
            handler = self.handlers.get(fd)
            if handler is not None:
                handler(fd)
        if self.kill_at is not None and time.monotonic() >= self.kill_at:
            self.kill_at = None
            for pid in list(linux.descendants(os.getpid())):
                linux.kill(pid, signal.SIGKILL)

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

    def _on_note(self, fd: int) -> None:
        try:
            data = self.notes.recv(MESSAGE_BYTES)
        except (BlockingIOError, ConnectionResetError):
            return
        if not data:
            self._unwatch(fd)
            return
        try:
            note = decode_note(data)
        except ValueError:  # the channel is the task's own to spoil
            return
        self.values.update(note.values)
        if note.progress is not None:
            self.progress = note.progress
            self._tell_progress()

    def _tell_progress(self) -> None:
        now = time.monotonic()
        if self.progress is not None and now - self.progress_sent >= _PROGRESS_SECONDS:
            self.progress_sent = now
            self._send(Progress(self.claim.task_run_id, self.claim.token, _now(), self.progress))

    def _on_exit(self, fd: int) -> None:
        _, self.status = os.waitpid(self.pid, 0)
        self.ended_at = _now()
        self.ended_by_itself = self.order is None
        self._unwatch(fd)

    # --- orders ---

    def _listen(self) -> None:
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(SOCKET)
        self.listener.listen(4)
        self._watch(self.listener.fileno(), self._on_connection)

    def _on_connection(self, fd: int) -> None:
        connection, _ = self.listener.accept()
        try:
            order = decode_order(connection.recv(MESSAGE_BYTES))
        except (OSError, ValueError):
            connection.close()
            return
        if not isinstance(order, Attach) or order.token != self.claim.token:
            connection.close()  # the fence: somebody who does not hold this claim
            return
        self._drop_channel()
        self.channel = connection
        self._watch(connection.fileno(), self._on_order)
        if self.started_at is not None:
            self._send(Started(self.claim.task_run_id, self.claim.token, self.started_at))

    def _on_order(self, fd: int) -> None:
        try:
            data = self._need_channel().recv(MESSAGE_BYTES)
        except OSError:
            data = b""
        if not data:
            self._drop_channel()  # the server is gone; the work goes on
            return
        order = decode_order(data)
        if isinstance(order, StopOrder):
            self._stop(order)

    def _stop(self, order: StopOrder) -> None:
        if self.status is not None:
            return
        if self.order is None:
            self.order = order
            for pid in list(linux.descendants(os.getpid())):
                linux.kill(pid, signal.SIGTERM)
                linux.kill(pid, signal.SIGCONT)
        until = time.monotonic() + order.grace
        self.kill_at = until if self.kill_at is None else min(self.kill_at, until)

    def _need_channel(self) -> socket.socket:
        assert self.channel is not None
        return self.channel

    def _drop_channel(self) -> None:
        if self.channel is not None:
            self._unwatch(self.channel.fileno())
            self.channel.close()
            self.channel = None

    def _send(self, report: Report) -> None:
        if self.channel is None:
            return
        try:
            self.channel.send(encode(report))
        except OSError:
            self._drop_channel()

    # --- the end ---

    def _end_tree(self) -> None:
        """Kills whatever the work left behind: all of it is below this process, however often it forked."""
        while True:
            for pid in list(linux.descendants(os.getpid())):
                linux.kill(pid, signal.SIGKILL)
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                return

    def _drain(self) -> None:
        for fd in list(self.streams):
            while fd in self.handlers:
                if not select.select([fd], [], [], 0)[0]:
                    break
                self._on_output(fd)
        while self.notes.fileno() in self.handlers and select.select([self.notes], [], [], 0)[0]:
            self._on_note(self.notes.fileno())

    def _finish(self, by_itself: bool) -> None:
        outcome = self._outcome(by_itself)
        finished = Finished(self.claim.task_run_id, self.claim.token, _now(), outcome)
        # Not synced: after a power cut the engine calls an attempt without an outcome lost, and tries again.
        with open(f"{OUTCOME}.new", "wb") as file:
            file.write(encode(finished))
        os.rename(f"{OUTCOME}.new", OUTCOME)
        self._send(finished)
        with contextlib.suppress(OSError):
            os.unlink(SOCKET)

    def _outcome(self, by_itself: bool) -> Outcome:
        facts = {"values": self.values, "started_at": self.started_at, "ended_at": self.ended_at}
        if self.progress is not None:
            facts["metrics"] = self.progress
        assert self.status is not None
        if by_itself or self.order is None:
            return endings.of(self.status, self.log.tail, facts)
        result = "released" if self.order.why == "release" else "stopped"
        return Outcome(result=result, exit_code=os.waitstatus_to_exitcode(self.status), **facts)  # type: ignore[arg-type]  # one of the literals


def _now() -> int:
    return time.time_ns() // 1_000_000
