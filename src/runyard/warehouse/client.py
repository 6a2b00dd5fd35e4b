"""The server's side of one workspace's warehouse process: starts it, feeds it, restarts it when it dies.

Imports neither duckdb nor pyarrow: the server process must stay small.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import msgspec

from runyard.core.actions import SqlDialect
from runyard.core.attempts import Assignment, EffectKey, Finished, Held, Outcome, Report
from runyard.core.errors import Code, RunyardError
from runyard.core.states import Reason
from runyard.warehouse.holder import end_old
from runyard.warehouse.protocol import (
    Answer,
    CreateView,
    DropTable,
    DropView,
    Failed,
    ListViews,
    Outcomes,
    Partitions,
    PartitionTable,
    Query,
    Ready,
    Reports,
    ResultPage,
    Serve,
    Stop,
    Table,
    Tables,
    ToProcess,
    Why,
    Work,
    decode_to_server,
    frame,
    frames,
    result_of,
)
from runyard.warehouse.settings import Settings

__all__ = ["Serve", "Settings", "Warehouse", "end_old"]

_SLOWEST_RESTART = 10.0
_SOCKET_BYTES = 4 * 1024 * 1024
DEAF_SECONDS = 30.0
"""A process that has not ended an attempt so long after it was told to is frozen, or hangs: it is killed. DuckDB takes
an interrupt within milliseconds; a commit that writes much out does not."""
_LOOK_SECONDS = 1.0
log = logging.getLogger("runyard.warehouse")

Doubtful = Sequence[tuple[tuple[int, int], tuple[EffectKey, str]]]
"""Task run id and token of attempts, their effects, and what is said of those that left none."""


class Pipe:
    """Writes frames without blocking: what the socket does not take is sent by a thread of its own."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._lock = threading.Lock()
        self._left: collections.deque[bytes] = collections.deque()
        self._more = threading.Event()
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
        threading.Thread(target=self._send_left, name="warehouse-pipe", daemon=True).start()

    def send(self, message: ToProcess) -> None:
        """Sends, in order; a broken pipe is noticed by the reader."""
        data = frame(message)
        with self._lock:
            if not self._left:
                data = data[self._try(data) :]
            if data:
                self._left.append(data)
                self._more.set()

    def _try(self, data: bytes) -> int:
        try:
            return self._end.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        except OSError:
            return len(data)

    def _send_left(self) -> None:
        while self._end.fileno() >= 0:
            self._more.wait()
            self._more.clear()
            while self._left:
                try:
                    self._end.sendall(self._left[0])
                except OSError:
                    return
                with self._lock:
                    self._left.popleft()

    def close(self) -> None:
        """EOF for the other side."""
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)
        self._end.close()
        self._more.set()


class Warehouse:
    """One workspace's process. All methods return at once; reports come to `sink` from a reader thread."""

    def __init__(
        self, settings: Settings, sink: Callable[[Sequence[Report]], None], workspace: str, serve: Serve
    ) -> None:
        self._settings, self._sink, self._workspace, self._serve = settings, sink, workspace, serve
        self._lock = threading.RLock()
        self._held: dict[tuple[int, int], Assignment] = {}
        self._told: dict[tuple[int, int], float] = {}
        """Attempts that were told to end, and until when they may take for it; somebody watches while there are any."""
        self._doubtful: dict[tuple[int, int], tuple[EffectKey, str]] = {}
        """Attempts whose process died, and what is said of them if they left no effect: the next process is asked."""
        self._unsent: list[ToProcess] = []
        self._questions: dict[int, Future[Any]] = {}
        self._numbers = itertools.count(1)
        self._pipe: Pipe | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._closing = False
        self._worked = False
        """Whether the present process has reported anything."""
        self._trouble: str | None = None
        self._empty = threading.Event()
        self._thread = threading.Thread(target=self._keep_up, name=f"warehouse-{workspace}", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int | None:
        """The process, when there is one."""
        return self._process.pid if self._process else None

    def start(self, assignments: Sequence[Assignment]) -> None:
        """Sends attempts, or keeps them until the process is up."""
        with self._lock:
            for assignment in assignments:
                self._held[assignment.task_run_id, assignment.token] = assignment
            self._send(Work(list(assignments)))

    def recover(self, claims: Sequence[Held]) -> None:
        """Reports on attempts of an earlier server's process: what they committed, else that they are lost."""
        with self._lock:
            for one in claims:
                self._doubtful[one.task_run_id, one.token] = one.effect, "The server stopped and its work with it."
            if self._pipe is not None:
                self._ask_of_doubtful()

    def stop(self, task_run_id: int, token: int, why: Why) -> None:
        """Asks for the end of an attempt; one that was not sent yet ends here, one that has died is past it."""
        with self._lock:
            if (task_run_id, token) in self._doubtful:
                return self._expect_end(task_run_id, token)
            if (task_run_id, token) not in self._held:
                return
            if self._pipe is not None:
                self._send(Stop(task_run_id, token, why))
                return self._expect_end(task_run_id, token)
            self._take_back(task_run_id, token)
        self._report([self._end(task_run_id, token, Outcome(result=result_of(why)))])

    def _expect_end(self, task_run_id: int, token: int) -> None:
        """Under the lock."""
        alone = not self._told
        self._told.setdefault((task_run_id, token), time.monotonic() + DEAF_SECONDS)
        if alone:
            threading.Thread(target=self._watch, name="warehouse-watch", daemon=True).start()

    def _watch(self) -> None:
        """Kills a process that does not hear: what runs in it is lost, as when it dies by itself."""
        while True:
            time.sleep(min(_LOOK_SECONDS, DEAF_SECONDS))
            with self._lock:
                live = self._held.keys() | self._doubtful.keys()
                self._told = {key: until for key, until in self._told.items() if key in live}
                if self._process is not None and any(until <= time.monotonic() for until in self._told.values()):
                    log.warning("the warehouse process of %s does not end what it was told to: killed", self._workspace)
                    self._process.kill()
                    self._told.clear()
                if not self._told:
                    return

    def query(
        self,
        sql: str,
        parameters: dict[str, Any],
        schema: str,
        limit: int,
        dialect: SqlDialect = "duckdb",
        reads: list[str] | None = None,
        seconds: float = 60.0,
    ) -> Future[Any]:
        """An interactive read: {"columns", "rows"}; fails with `RunyardError`."""
        return self._ask(lambda number: Query(number, sql, parameters, schema, limit, dialect, reads, seconds))

    def tables(self) -> Future[Any]:
        """A list of {"schema", "name", "kind", "rows", "columns"}."""
        return self._ask(Tables)

    def table(self, schema: str, table: str) -> Future[Any]:
        """All about one table; fails with not_found."""
        return self._ask(lambda number: Table(number, schema, table))

    def result_page(self, run_id: int, task_run_id: int, offset: int, limit: int) -> Future[Any]:
        """Rows of a large result: {"columns", "rows", "rows_ready"}; fails with not_found."""
        return self._ask(lambda number: ResultPage(number, run_id, task_run_id, offset, limit))

    def views(self) -> Future[Any]:
        """The materialized views: name, schema, source, statement, target, created_at."""
        return self._ask(ListViews)

    def create_view(
        self, name: str, schema: str, source: str, statement: str, target: str, dialect: SqlDialect
    ) -> Future[Any]:
        """The view, and whether it is new as `created`."""
        return self._ask(lambda number: CreateView(number, name, schema, source, statement, target, dialect))

    def drop_view(self, name: str) -> Future[Any]:
        """{"dropped": whether there was one}."""
        return self._ask(lambda number: DropView(number, name))

    def drop_table(self, schema: str, table: str, with_views: bool) -> Future[Any]:
        """{"dropped": whether there was one, "views": names of those that went with it}."""
        return self._ask(lambda number: DropTable(number, schema, table, with_views))

    def partitions(self, schema: str, table: str, limit: int, offset: int) -> Future[Any]:
        """{"partition_by", "columns", "items": [{"values", "rows", "estimated_bytes"}]}; fails with not_found."""
        return self._ask(lambda number: Partitions(number, schema, table, limit, offset))

    def partition_table(self, schema: str, table: str, partition_by: str, dialect: SqlDialect) -> Future[Any]:
        """{"partition_by": the key in DuckDB's SQL}; fails with not_found."""
        return self._ask(lambda number: PartitionTable(number, schema, table, partition_by, dialect))

    def trouble(self) -> str | None:
        """None when it works or is being started for the first time, else one sentence."""
        return self._trouble

    def close(self, grace: float) -> None:
        """Releases what is held, waits for that up to `grace` seconds, and ends the process."""
        with self._lock:
            self._closing = True
            held = list(self._held)
            self._empty.clear()
        for task_run_id, token in held:
            self.stop(task_run_id, token, "release")
        if held:
            self._empty.wait(grace)
        self._end_process()
        self._thread.join(5)

    def _ask(self, make: Callable[[int], ToProcess]) -> Future[Any]:
        future: Future[Any] = Future()
        with self._lock:
            number = next(self._numbers)
            self._questions[number] = future
            self._send(make(number))
        return future

    def _send(self, message: ToProcess) -> None:
        """Under the lock."""
        if self._pipe is None:
            self._unsent.append(message)
        else:
            self._pipe.send(message)

    def _take_back(self, task_run_id: int, token: int) -> None:
        """Under the lock: an attempt that no process has seen leaves the line."""
        for place, message in enumerate(self._unsent):
            if isinstance(message, Work):
                kept = [one for one in message.assignments if (one.task_run_id, one.token) != (task_run_id, token)]
                self._unsent[place] = Work(kept)

    def _keep_up(self) -> None:
        """The life of this object: a process, and after its death another one."""
        delay = 0.0
        while not self._closing:
            self._worked = False
            self._live()
            # One that did some work was killed, or fell over its work, whose tasks are lost only so many times.
            delay = 0.0 if self._worked else min(delay * 2 + 0.1, _SLOWEST_RESTART)
            if not self._closing:
                time.sleep(delay)

    def _live(self) -> None:
        """One process, from its start to its death."""
        ours, theirs = socket.socketpair()
        settings = msgspec.structs.replace(self._settings, control_fd=theirs.fileno(), parent=os.getpid())
        command = [sys.executable, "-m", "runyard.warehouse.process", msgspec.json.encode(settings).decode()]
        try:
            process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env=_environment(),
            )
        except OSError as error:
            self._trouble = f"The warehouse process of workspace {self._workspace} cannot be started: {error}."
            ours.close()
            return
        finally:
            theirs.close()
        with self._lock:
            self._process = process
            if self._closing:
                process.kill()  # `close` came before there was one to end
        with contextlib.suppress(OSError):  # it has died already: its end is read next
            ours.sendall(frame(self._serve))  # not among its arguments, which anybody can see
        for body in frames(ours):
            self._take(decode_to_server(body), ours)
        self._died(process, ours)

    def _take(self, message: Any, end: socket.socket) -> None:
        match message:
            case Reports():
                self._take_reports(message.reports)
            case Answer():
                self._take_answer(message)
            case Ready():
                self._take_ready(end)
            case Failed():
                self._trouble = message.sentence

    def _take_ready(self, end: socket.socket) -> None:
        with self._lock:
            self._pipe, self._trouble = Pipe(end), None
            self._ask_of_doubtful()
            unsent, self._unsent = self._unsent, []
            for message in unsent:
                self._pipe.send(message)

    def _take_reports(self, reports: list[Report]) -> None:
        self._worked = True
        with self._lock:
            for report in reports:
                if type(report) is Finished:
                    self._held.pop((report.task_run_id, report.token), None)
        self._report(reports)

    def _report(self, reports: list[Report]) -> None:
        self._sink(reports)
        if not self._held:
            self._empty.set()

    def _take_answer(self, message: Answer) -> None:
        with self._lock:
            future = self._questions.pop(message.id, None)
        if future is None:
            return
        if message.error is None:
            future.set_result(message.result)
        else:
            code = Code.NOT_FOUND if message.missing else Code.INVALID
            error = RunyardError(code, message.error)
            if message.unsayable:
                error.details["unsayable"] = True
            future.set_exception(error)

    def _died(self, process: subprocess.Popen[bytes], end: socket.socket) -> None:
        """What was sent is over, provably: the process is dead. What was not sent waits for the next one.

        What was sent may have committed before, so the next process is asked; one that could not be started is not.
        """
        process.kill()
        code = process.wait()
        with self._lock:
            pipe, self._pipe, self._process = self._pipe, None, None
            unsent = {(one.task_run_id, one.token) for one in self._waiting()}
            died = {key: one for key, one in self._held.items() if key not in unsent}
            lost = [] if pipe else list(self._doubtful.items())
            sentence = f"The warehouse process ended (exit code {code}) while this was running."
            for key, assignment in died.items():
                del self._held[key]
                self._doubtful[key] = assignment.effect, sentence
            self._unsent = [message for message in self._unsent if isinstance(message, Work)]
            orphans, self._questions = list(self._questions.values()), {}
            if not self._closing:
                self._trouble = self._trouble or (
                    f"The warehouse process of workspace {self._workspace} ended (exit code {code}) "
                    "and is being started again."
                )
        (pipe or end).close()
        self._settle(lost, [None] * len(lost))
        said = "The warehouse process ended; ask again." if pipe or not self._trouble else self._trouble
        for future in orphans:
            future.set_exception(RunyardError(Code.UNAVAILABLE, said))

    def _ask_of_doubtful(self) -> None:
        """Under the lock."""
        asked = list(self._doubtful.items())
        if asked:
            answer = self._ask(lambda number: Outcomes(number, [effect for _, (effect, _) in asked]))
            answer.add_done_callback(lambda answer: self._settle_by(asked, answer))

    def _settle_by(self, asked: Doubtful, answer: Future[Any]) -> None:
        try:
            found = msgspec.convert(answer.result(), list[Outcome | None])
        except RunyardError as error:
            if error.code is Code.UNAVAILABLE:
                return  # that process died, too: the next one is asked
            found = [None] * len(asked)
        self._settle(asked, found)

    def _settle(self, asked: Doubtful, found: Sequence[Outcome | None]) -> None:
        """Reports on attempts by what they left."""
        reports: list[Report] = []
        with self._lock:
            for ((task_run_id, token), (_, sentence)), outcome in zip(asked, found, strict=True):
                lost = Outcome(result="lost", reason=Reason.LOST_WORKER, detail=sentence)
                if self._doubtful.pop((task_run_id, token), None) is not None:
                    reports.append(self._end(task_run_id, token, outcome or lost))
        if reports:
            self._report(reports)

    def _waiting(self) -> list[Assignment]:
        return [one for message in self._unsent if isinstance(message, Work) for one in message.assignments]

    def _end(self, task_run_id: int, token: int, outcome: Outcome) -> Finished:
        with self._lock:
            self._held.pop((task_run_id, token), None)
        return Finished(task_run_id, token, time.time_ns() // 1_000_000, outcome)

    def _end_process(self) -> None:
        with self._lock:
            self._closing = True
            process = self._process
        if process is not None:
            process.kill()


def _environment() -> dict[str, str]:
    """What the process needs of ours: no secret of the server's environment goes there."""
    kept = ("PATH", "PYTHONPATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "VIRTUAL_ENV")
    return {name: os.environ[name] for name in kept if name in os.environ}
