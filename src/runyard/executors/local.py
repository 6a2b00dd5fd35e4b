"""Process tasks on this machine: each attempt has a launcher of its own, which survives the server.

One thread talks to the fork server and to all launchers; the engine's calls only queue and wake it.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from runyard.core.attempts import Assignment, Finished, Held, Outcome, Report
from runyard.core.launch import (
    CLAIM,
    LOG,
    MESSAGE_BYTES,
    OUTCOME,
    SOCKET,
    Attach,
    Launch,
    StopOrder,
    decode_report,
    encode,
)
from runyard.executors import survivors
from runyard.executors.base import Sink

DEFAULT_LOG_BYTES = 64 * 1024 * 1024


class _Attempt:
    """A claim that is held, and the connection to its launcher."""

    __slots__ = ("channel", "folder", "run_id", "task_run_id", "token")

    def __init__(self, run_id: int, task_run_id: int, token: int, folder: Path, channel: socket.socket) -> None:
        self.run_id = run_id
        self.task_run_id = task_run_id
        self.token = token
        self.folder = folder
        self.channel = channel


class LocalExecutor:
    """Runs python and shell tasks as child processes, with logs and outcomes in folders below `root`."""

    name = "process"

    def __init__(
        self, root: Path, capacity: int, *, log_bytes: int = DEFAULT_LOG_BYTES, memory_bytes: int | None = None
    ) -> None:
        """`log_bytes` and `memory_bytes` hold for tasks that set no limit of their own."""
        self.root = root
        self._memory_bytes = memory_bytes
        self.capacity = capacity
        self._log_bytes = log_bytes
        self._attempts: dict[int, _Attempt] = {}
        self._orders: deque[Callable[[], None]] = deque()
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._forkserver: subprocess.Popen[bytes] | None = None
        self._server: socket.socket | None = None
        self._closing = False
        self._trouble: str | None = None
        self._thread = threading.Thread(target=self._serve, name="local-executor", daemon=True)
        self._sink: Sink = lambda reports: None

    # --- what the engine calls ---

    def open(self, sink: Sink) -> None:
        """Starts the fork server and the thread."""
        self._sink = sink
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._start_forkserver()
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._thread.start()

    def start(self, assignments: Sequence[Assignment]) -> None:
        """Each gets a folder and a launcher; what cannot be started is reported as failed."""
        for one in assignments:
            self._order(lambda one=one: self._launch(one))  # type: ignore[misc]  # binds the loop's value

    def stop(self, task_run_id: int, token: int, *, grace: float, why: Literal["cancel", "timeout", "release"]) -> None:
        """Passes the order on to the launcher, which ends the whole tree."""
        self._order(lambda: self._stop(task_run_id, token, StopOrder(why, grace)))

    def recover(self, held: Sequence[Held]) -> list[Held]:
        """Reconnects to live launchers, takes outcomes that were left, makes sure that the rest is dead."""
        lost: list[Held] = []
        reports: list[Report] = []
        for one in held:
            folder = self._folder(one.run_id, one.task_run_id)
            channel = self._attach(folder, one.token)
            if channel is not None:
                attempt = _Attempt(one.run_id, one.task_run_id, one.token, folder, channel)
                self._order(lambda attempt=attempt: self._adopt(attempt))  # type: ignore[misc]  # as above
                continue
            left = _outcome_left(folder, one.token)
            if left is not None:
                reports.append(left)
            else:
                survivors.end(folder)
                lost.append(one)
        if reports:
            self._sink(reports)
        return lost

    def read_log(self, run_id: int, task_run_id: int, start: int, end: int | None) -> tuple[bytes, int]:
        """A range of the log's bytes and its size; nothing if the attempt wrote nothing."""
        try:
            with open(self._folder(run_id, task_run_id) / LOG, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(start)
                return file.read(max(0, (size if end is None else min(end, size)) - start)), size
        except FileNotFoundError:
            return b"", 0

    def forget(self, run_id: int) -> None:
        """Removes the folders of a run that is deleted."""
        shutil.rmtree(self.root / str(run_id), ignore_errors=True)

    def healthy(self) -> str | None:
        """A sentence while no process can be started."""
        return self._trouble

    def close(self, grace: float) -> None:
        """Ends the thread and the fork server; launchers go on and can be taken up again."""
        self._closing = True
        self._wake()
        self._thread.join(timeout=5)
        if self._server is not None:
            self._server.close()
        if self._forkserver is not None:
            self._forkserver.wait(timeout=5)

    # --- the thread ---

    def _order(self, order: Callable[[], None]) -> None:
        self._orders.append(order)
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"!")

    def _serve(self) -> None:
        while not self._closing:
            reports: list[Report] = []
            for key, _ in self._selector.select():
                if key.data is None:
                    os.read(self._wake_read, 4096)
                else:
                    self._read(key.data, reports)
            while self._orders:
                self._orders.popleft()()
            if reports:
                self._sink(reports)

    def _launch(self, one: Assignment) -> None:
        folder = self._folder(one.run_id, one.task_run_id)
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            (folder / CLAIM).write_bytes(encode(self._limited(one)))
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError as error:
            self._refuse(one, f"The attempt's folder cannot be made: {error}")
            return
        self._adopt(_Attempt(one.run_id, one.task_run_id, one.token, folder, ours))
        order = Launch(str(folder), one.limits.log_bytes or self._log_bytes)
        try:
            self._send_to_forkserver(encode(order), theirs)
        except OSError as error:
            self._drop(self._attempts[one.task_run_id])
            self._refuse(one, f"No process can be started: {error}")
        finally:
            theirs.close()

    def _limited(self, one: Assignment) -> Assignment:
        if self._memory_bytes is None or one.limits.memory_bytes is not None:
            return one
        limits = msgspec.structs.replace(one.limits, memory_bytes=self._memory_bytes)
        return msgspec.structs.replace(one, limits=limits)

    def _refuse(self, one: Assignment, detail: str) -> None:
        outcome = Outcome(result="failed", reason="start_error", detail=detail)
        self._sink([Finished(one.task_run_id, one.token, _now(), outcome)])

    def _adopt(self, attempt: _Attempt) -> None:
        self._attempts[attempt.task_run_id] = attempt
        self._selector.register(attempt.channel, selectors.EVENT_READ, attempt)

    def _stop(self, task_run_id: int, token: int, order: StopOrder) -> None:
        attempt = self._attempts.get(task_run_id)
        if attempt is not None and attempt.token == token:
            with contextlib.suppress(OSError):
                attempt.channel.send(encode(order))

    def _read(self, attempt: _Attempt, reports: list[Report]) -> None:
        try:
            data = attempt.channel.recv(MESSAGE_BYTES)
        except OSError:
            data = b""
        report = decode_report(data) if data else self._ended_silently(attempt)
        reports.append(report)
        if isinstance(report, Finished):
            self._drop(attempt)

    def _ended_silently(self, attempt: _Attempt) -> Finished:
        """The launcher is gone without a word: it left an outcome, or it was killed."""
        left = _outcome_left(attempt.folder, attempt.token)
        if left is not None:
            return left
        survivors.end(attempt.folder)
        outcome = Outcome(result="lost", reason="lost_worker", detail="The process that watched it was killed.")
        return Finished(attempt.task_run_id, attempt.token, _now(), outcome)

    def _drop(self, attempt: _Attempt) -> None:
        self._selector.unregister(attempt.channel)
        attempt.channel.close()
        if self._attempts.get(attempt.task_run_id) is attempt:
            del self._attempts[attempt.task_run_id]

    # --- processes ---

    def _start_forkserver(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._forkserver = subprocess.Popen(
            [sys.executable, "-m", "runyard.work.forkserver", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env=_environment(),
        )
        theirs.close()
        self._server = ours

    def _send_to_forkserver(self, message: bytes, channel: socket.socket) -> None:
        for again in (True, False):
            assert self._server is not None
            try:
                socket.send_fds(self._server, [message], [channel.fileno()])
                self._trouble = None
                return
            except OSError as error:
                if not again:
                    self._trouble = f"No process can be started: the fork server ends at once ({error})."
                    raise
                self._server.close()
                self._start_forkserver()

    def _attach(self, folder: Path, token: int) -> socket.socket | None:
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

    def _folder(self, run_id: int, task_run_id: int) -> Path:
        return self.root / str(run_id) / str(task_run_id)


def _environment() -> dict[str, str]:
    """The fork server's own: what tasks may inherit of the server's, and where our code is."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RUNYARD_")}
    paths = [path for path in sys.path if path and os.path.isdir(path)]
    return kept | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


def _outcome_left(folder: Path, token: int) -> Finished | None:
    try:
        report = decode_report((folder / OUTCOME).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return report if isinstance(report, Finished) and report.token == token else None


def _now() -> int:
    return time.time_ns() // 1_000_000
