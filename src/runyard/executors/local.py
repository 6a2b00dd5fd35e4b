"""Process tasks on this machine: each attempt has a launcher of its own, which survives the server.

One thread talks to the fork server and to all launchers; the engine's calls only queue and wake it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import shutil
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec

from runyard.core.attempts import Assignment, Finished, Held, Outcome, Report
from runyard.core.launch import (
    CLAIM,
    INDEX,
    INDEX_RECORD,
    LOG,
    MESSAGE_BYTES,
    SOCKET,
    Attach,
    Launch,
    Lease,
    StopOrder,
    decode_report,
    encode,
)
from runyard.executors import artifacts, survivors
from runyard.executors.base import Sink
from runyard.executors.launchers import Launchers

log = logging.getLogger("runyard.local")

DEFAULT_LOG_BYTES = 64 * 1024 * 1024
_FIRST_LOOK, _LONGEST_WAIT = 0.005, 1.0
_FIRST_TIDY, _TIDY_SECONDS = 60.0, 3600.0


class _Attempt:
    """A claim that is held, and the connection to its launcher, if there is one."""

    __slots__ = ("channel", "folder", "look_at", "ours", "stop", "task_run_id", "token", "wait")

    def __init__(self, task_run_id: int, token: int, folder: Path) -> None:
        self.task_run_id = task_run_id
        self.token = token
        self.folder = folder
        self.channel: socket.socket | None = None
        self.ours = False
        """Whether its launcher was made for this server, and takes other work after this."""
        self.stop: StopOrder | None = None
        """The newest order, for a launcher that cannot hear it yet."""
        self.look_at = 0.0
        self.wait = _FIRST_LOOK


class LocalExecutor:
    """Runs python and shell tasks as child processes, with logs and outcomes in folders below `root`."""

    name = "process"

    def __init__(
        self,
        root: Path,
        capacity: int,
        *,
        log_bytes: int = DEFAULT_LOG_BYTES,
        memory_bytes: int | None = None,
        equip: Callable[[Assignment], Assignment] = lambda one: one,
        tidy: Callable[[float], None] | None = None,
    ) -> None:
        """`log_bytes` and `memory_bytes` hold for tasks that set no limit of their own.

        `equip` adds what the program of an attempt finds on this server: places, access to tables and to the server.
        `tidy` removes what attempts share and need no more; it is told since when (seconds since 1970) the oldest
        attempt runs, and called once an hour in a thread of its own.
        """
        self._tidy, self._next_tidy = tidy, time.monotonic() + _FIRST_TIDY
        self._equip = equip
        self.root = root.absolute()
        self._memory_bytes = memory_bytes
        self.capacity = capacity
        self._log_bytes = log_bytes
        self._attempts: dict[int, _Attempt] = {}
        self._unsure: list[_Attempt] = []
        """Attempts whose launcher does not talk: looked at again and again until they are settled."""
        self._orders: deque[Callable[[], None]] = deque()
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._launchers = Launchers()
        self._lease_until: float | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._serve, name="local-executor", daemon=True)
        self._sink: Sink = lambda reports: None

    # --- what the engine calls ---

    def open(self, sink: Sink) -> None:
        """Starts the fork server and the thread."""
        self._sink = sink
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._launchers.open()
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._thread.start()

    def start(self, assignments: Sequence[Assignment]) -> None:
        """Each gets a folder and a launcher; what cannot be started is reported as failed."""
        for one in assignments:
            self._order(partial(self._launch, one))

    def stop(self, task_run_id: int, token: int, *, grace: float, why: Literal["cancel", "timeout", "release"]) -> None:
        """Passes the order on to the launcher, which ends the whole tree."""
        self._order(partial(self._stop, task_run_id, token, StopOrder(why, grace)))

    def extend(self, until: float) -> None:
        """Tells every launcher until when its work may go on; those that are started or taken up later hear it too."""
        self._order(partial(self._extend, until))

    def recover(self, held: Sequence[Held]) -> list[Held]:
        """Reconnects to live launchers, takes outcomes that were left, makes sure that the rest is dead.

        It reports on all of them, so that the server need not wait for it.
        """
        for one in held:
            attempt = _Attempt(one.task_run_id, one.token, self._folder(one.run_id, one.task_run_id))
            self._order(partial(self._take_up, attempt))
        return []

    def read_log(self, run_id: int, task_run_id: int, start: int, end: int | None) -> tuple[bytes, int]:
        """A range of the log's bytes and its size; nothing if the attempt wrote nothing."""
        try:
            with open(self._folder(run_id, task_run_id) / LOG, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(start)
                return file.read(max(0, (size if end is None else min(end, size)) - start)), size
        except FileNotFoundError:
            return b"", 0

    def read_log_index(self, run_id: int, task_run_id: int) -> list[tuple[int, int, int]]:
        """When and to which stream each piece of the log was written."""
        try:
            data = (self._folder(run_id, task_run_id) / INDEX).read_bytes()
        except FileNotFoundError:
            return []
        return list(INDEX_RECORD.iter_unpack(data[: len(data) // INDEX_RECORD.size * INDEX_RECORD.size]))

    def read_artifact(self, run_id: int, task_run_id: int, name: str) -> bytes | None:
        """A file of the attempt's folder `artifacts`, or its `export.html`."""
        return artifacts.read(self._folder(run_id, task_run_id), name)

    def forget(self, run_id: int) -> None:
        """Removes the folders of a run that is deleted."""
        shutil.rmtree(self.root / str(run_id), ignore_errors=True)

    def healthy(self) -> str | None:
        """A sentence while no process can be started."""
        return self._launchers.trouble

    def close(self, grace: float) -> None:
        """Ends the thread and the fork server; launchers go on and can be taken up again."""
        self._closing = True
        self._wake()
        self._thread.join(timeout=5)
        for attempt in self._attempts.values():
            if attempt.channel is not None:
                attempt.channel.close()
        self._selector.close()
        self._launchers.close()

    # --- the thread ---

    def _order(self, order: Callable[[], None]) -> None:
        self._orders.append(order)
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"!")

    def _serve(self) -> None:
        while not self._closing:
            try:
                self._turn()
            except Exception:  # a defect in one attempt must not silence all others
                log.exception("the executor's thread met an error, and goes on")

    def _turn(self) -> None:
        reports: list[Report] = []
        for key, _ in self._selector.select(self._patience()):
            if key.data is None:
                os.read(self._wake_read, 4096)
            else:
                self._read(key.data, reports)
        while self._orders:
            self._orders.popleft()()
        for attempt in [one for one in self._unsure if one.look_at <= time.monotonic()]:
            self._look(attempt, reports)
        if reports:
            self._sink(reports)
        if self._tidy is not None and time.monotonic() >= self._next_tidy:
            self._next_tidy = time.monotonic() + _TIDY_SECONDS
            threading.Thread(target=self._tidy, args=(self._oldest(),), name="tidy", daemon=True).start()

    def _oldest(self) -> float:
        times = [time.time()]
        for attempt in self._attempts.values():
            with contextlib.suppress(FileNotFoundError):
                times.append((attempt.folder / CLAIM).stat().st_mtime)
        return min(times)

    def _patience(self) -> float | None:
        times = [one.look_at for one in self._unsure]
        if self._tidy is not None:
            times.append(self._next_tidy)
        if (look_at := self._launchers.look()) is not None:
            times.append(look_at)
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _launch(self, one: Assignment) -> None:
        attempt = _Attempt(one.task_run_id, one.token, self._folder(one.run_id, one.task_run_id))
        self._attempts[one.task_run_id] = attempt
        try:
            attempt.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            (attempt.folder / CLAIM).write_bytes(encode(self._complete(one)))
            order = Launch(str(attempt.folder), one.token, one.limits.log_bytes or self._log_bytes, self._lease_until)
            self._connect(attempt, self._launchers.send(encode(order)))
            attempt.ours = True
        except Exception as error:
            self._forget(attempt)
            outcome = Outcome(result="failed", reason="start_error", detail=f"No process can be started: {error}")
            self._sink([Finished(one.task_run_id, one.token, time.time_ns() // 1_000_000, outcome)])

    def _complete(self, one: Assignment) -> Assignment:
        """With what it finds here, and the limits that hold for all."""
        one = self._equip(one)
        if self._memory_bytes is None or one.limits.memory_bytes is not None:
            return one
        limits = msgspec.structs.replace(one.limits, memory_bytes=self._memory_bytes)
        return msgspec.structs.replace(one, limits=limits)

    def _extend(self, until: float) -> None:
        self._lease_until = until
        for attempt in self._attempts.values():
            self._tell_lease(attempt)

    def _tell_lease(self, attempt: _Attempt) -> None:
        if attempt.channel is not None and self._lease_until is not None:
            with contextlib.suppress(OSError):  # its end is on the way, or it is frozen and must not be waited for
                attempt.channel.send(encode(Lease(self._lease_until)), socket.MSG_DONTWAIT)

    def _stop(self, task_run_id: int, token: int, order: StopOrder) -> None:
        attempt = self._attempts.get(task_run_id)
        if attempt is not None and attempt.token == token:
            attempt.stop = order
            self._tell_stop(attempt)

    def _tell_stop(self, attempt: _Attempt) -> None:
        if attempt.channel is not None and attempt.stop is not None:
            with contextlib.suppress(OSError):  # its end is on the way
                attempt.channel.send(encode(attempt.stop))

    def _read(self, attempt: _Attempt, reports: list[Report]) -> None:
        assert attempt.channel is not None
        try:
            report = decode_report(attempt.channel.recv(MESSAGE_BYTES))
        except (OSError, ValueError):  # it ended, or had more to say than a message holds
            self._disconnect(attempt)
            self._unsure.append(attempt)
            return
        reports.append(report)
        if isinstance(report, Finished):
            if attempt.ours:
                self._selector.unregister(attempt.channel)
                self._launchers.keep(attempt.channel)
                attempt.channel = None
            self._forget(attempt)

    # --- attempts whose launcher does not talk ---

    def _take_up(self, attempt: _Attempt) -> None:
        self._attempts[attempt.task_run_id] = attempt
        self._unsure.append(attempt)

    def _look(self, attempt: _Attempt, reports: list[Report]) -> None:
        """The launcher listens again, or is proven gone with all that was below it, or it is asked again later."""
        ended = survivors.fate(attempt.folder, attempt.task_run_id, attempt.token)
        if ended is not None:
            reports.append(ended)
            self._forget(attempt)
        elif (channel := _attach(attempt.folder, attempt.token)) is not None:
            self._unsure.remove(attempt)
            self._connect(attempt, channel)
            self._tell_lease(attempt)
            self._tell_stop(attempt)
        else:
            attempt.look_at = time.monotonic() + attempt.wait
            attempt.wait = min(2 * attempt.wait, _LONGEST_WAIT)

    def _connect(self, attempt: _Attempt, channel: socket.socket) -> None:
        attempt.channel = channel
        self._selector.register(channel, selectors.EVENT_READ, attempt)

    def _disconnect(self, attempt: _Attempt) -> None:
        if attempt.channel is not None:
            self._selector.unregister(attempt.channel)
            attempt.channel.close()
            attempt.channel, attempt.ours = None, False

    def _forget(self, attempt: _Attempt) -> None:
        self._disconnect(attempt)
        if attempt in self._unsure:
            self._unsure.remove(attempt)
        if self._attempts.get(attempt.task_run_id) is attempt:
            del self._attempts[attempt.task_run_id]

    def _folder(self, run_id: int, task_run_id: int) -> Path:
        return self.root / str(run_id) / str(task_run_id)


def _attach(folder: Path, token: int) -> socket.socket | None:
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        # Through the open folder: a socket's path may have 107 bytes only.
        at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            channel.connect(f"/proc/self/fd/{at}/{SOCKET}")
        finally:
            os.close(at)
        channel.send(encode(Attach(token)))
    except OSError:
        channel.close()
        return None
    return channel
