"""Runs sql and load tasks in the warehouse: one process a workspace, no process an attempt."""

from __future__ import annotations

import errno
import hashlib
import math
import re
import secrets
import shutil
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Literal, cast

import msgspec
from msgspec.structs import replace

from runyard.core import tables
from runyard.core.actions import Sql, SqlDialect
from runyard.core.attempts import Assignment, Finished, Held, Outcome, Report
from runyard.core.errors import invalid, not_found
from runyard.core.states import Reason
from runyard.core.tables import Read
from runyard.executors.base import Sink
from runyard.warehouse.client import Serve, Settings, Warehouse, end_old
from runyard.warehouse.objects import S3
from runyard.warehouse.stream import Stream

AHEAD_SECONDS = 0.05
"""How much work, by what was finished of late, may wait in the warehouse process: so little that neither priorities
nor the states of task runs suffer, and none where attempts are long."""
AHEAD_FACTOR = 8
_WORKSPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


class Pace:
    """How many attempts ended within the last so many seconds: a count that decays by itself."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._count = 0.0
        self._at = 0.0

    def add(self, ended: int, now: float) -> None:
        """Some more ended."""
        self._count = self._decayed(now) + ended
        self._at = now

    def count(self, now: float) -> int:
        """How many that is now."""
        return int(self._decayed(now))

    def _decayed(self, now: float) -> float:
        return self._count * math.exp((self._at - now) / self._seconds)


class WarehouseExecutor:
    """The `Executor` for kind `warehouse`. The database of a workspace is `<root>/<workspace>.duckdb`."""

    name = "warehouse"

    def __init__(
        self,
        root: Path,
        *,
        capacity: int = 16,
        memory_limit: str | None = None,
        disk_limit: str | None = None,
        threads: int | None = None,
        allow_private_urls: bool = False,
        allowed_paths: Sequence[Path] = (),
        attempts: Path | None = None,
        uploads: Path | None = None,
        objects: Path | None = None,
        s3: S3 | None = None,
        key: bytes | None = None,
    ) -> None:
        """`capacity` attempts run at once; `attempts` is where large outputs go, `<root>/../attempts` by default.

        With `key` the tokens of `grant` are made: by default with one that ends with this object.
        """
        self._key = key or secrets.token_bytes(32)
        self._s3 = s3
        self._threads = capacity
        self._pace = Pace(AHEAD_SECONDS)
        self._root = root.absolute()
        self._settings = Settings(
            database="",
            attempts=str((attempts or root.parent / "attempts").absolute()),
            uploads=str((uploads or root.parent / "uploads").absolute()),
            objects=str((objects or root.parent / "s3").absolute()),
            control_fd=-1,
            parent=0,
            capacity=capacity,
            memory_limit=memory_limit,
            disk_limit=disk_limit,
            threads=threads,
            allow_private_urls=allow_private_urls,
            allowed_paths=[str(path.absolute()) for path in allowed_paths],
        )
        self._lock = threading.Lock()
        self._warehouses: dict[str, Warehouse] = {}
        self._held: dict[tuple[int, int], Warehouse] = {}
        self._sink: Sink = lambda reports: None

    @property
    def capacity(self) -> int:
        """Those that run at once and, while they are short, so many in line behind them that nobody idles."""
        return self._threads + min(self._pace.count(time.monotonic()), AHEAD_FACTOR * self._threads)

    def open(self, sink: Sink) -> None:
        """Ends what is left of an earlier server's processes and starts the default workspace's in the background."""
        self._sink = sink
        self._root.mkdir(parents=True, exist_ok=True)
        for lock in self._root.glob("*.lock"):
            end_old(lock.with_suffix(".duckdb"))
        self._warehouse("default")

    def start(self, assignments: Sequence[Assignment]) -> None:
        """Begins the attempts: those of one workspace go in one frame."""
        groups: dict[str, list[Assignment]] = {}
        for assignment in assignments:
            groups.setdefault(assignment.workspace, []).append(assignment)
        for workspace, group in groups.items():
            self._start(workspace, group)

    def _start(self, workspace: str, group: list[Assignment]) -> None:
        if not _WORKSPACE.fullmatch(workspace):
            return self._sink([_refused(assignment) for assignment in group])
        group = [ready for one in group if (ready := self._with_text(one)) is not None]
        warehouse = self._warehouse(workspace)
        for assignment in group:
            self._held[assignment.task_run_id, assignment.token] = warehouse
        warehouse.start(group)

    def _with_text(self, assignment: Assignment) -> Assignment | None:
        """The attempt with its statements read from their file; None when it failed of that."""
        action = assignment.action
        if not isinstance(action, Sql) or action.file is None:
            return assignment
        allowed = [Path(folder).resolve() for folder in self._settings.allowed_paths]
        try:
            path = Path(action.file).resolve()
            if not any(path.is_relative_to(folder) for folder in allowed):
                raise PermissionError(errno.EACCES, "It lies in no folder that the settings allow", action.file)
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            self._sink([_unreadable(assignment, error)])
            return None
        return replace(assignment, action=replace(action, statement=text, file=None))

    def stop(self, task_run_id: int, token: int, *, grace: float, why: Literal["cancel", "timeout", "release"]) -> None:
        """Interrupts the attempt's query at once: SQL has no politer way, so `grace` is not used."""
        if (warehouse := self._held.get((task_run_id, token))) is not None:
            warehouse.stop(task_run_id, token, why)

    def extend(self, until: float) -> None:
        """Nothing: no other node has these tables, so none can start the same work."""

    def recover(self, held: Sequence[Held]) -> list[Held]:
        """`open` made sure that no process of an earlier server is alive: what is left of one is what it committed.

        So those whose workspace has a database are reported on when that is open again.
        """
        kept: dict[str, list[Held]] = {}
        for one in held:
            if _WORKSPACE.fullmatch(one.workspace) and (self._root / f"{one.workspace}.duckdb").exists():
                kept.setdefault(one.workspace, []).append(one)
        for workspace, claims in kept.items():
            warehouse = self._warehouse(workspace)
            self._held |= {(one.task_run_id, one.token): warehouse for one in claims}
            warehouse.recover(claims)
        return [one for one in held if one.workspace not in kept]

    def read_log(self, run_id: int, task_run_id: int, start: int, end: int | None) -> tuple[bytes, int]:
        """Warehouse attempts write no log."""
        return b"", 0

    def read_log_index(self, run_id: int, task_run_id: int) -> list[tuple[int, int, int]]:
        """Warehouse attempts write no log."""
        return []

    def read_artifact(self, run_id: int, task_run_id: int, name: str) -> bytes | None:
        """Warehouse attempts leave none."""
        return None

    def forget(self, run_id: int) -> None:
        """Removes the large outputs of a run that is deleted."""
        shutil.rmtree(Path(self._settings.attempts) / str(run_id), ignore_errors=True)

    def healthy(self) -> str | None:
        """One sentence about the first workspace whose process is down."""
        with self._lock:
            warehouses = list(self._warehouses.values())
        return next((trouble for warehouse in warehouses if (trouble := warehouse.trouble())), None)

    def close(self, grace: float) -> None:
        """Attempts cannot be taken up again, so they are stopped and released."""
        with self._lock:
            warehouses = list(self._warehouses.values())
        closers = [threading.Thread(target=warehouse.close, args=(grace,)) for warehouse in warehouses]
        for closer in closers:
            closer.start()
        for closer in closers:
            closer.join()

    def query(
        self,
        workspace: str,
        sql: str,
        parameters: dict[str, Any] | None = None,
        limit: int = 100,
        schema: str = "main",
        dialect: SqlDialect = "duckdb",
        reads: list[str] | None = None,
        seconds: float = 60.0,
    ) -> Future[Any]:
        """An interactive read of at most `limit` rows: {"columns", "rows"}; the future fails with `RunyardError`.

        `reads` names the schemas that it may read, None means all; after `seconds` it is stopped.
        """
        return self._named(workspace).query(sql, parameters or {}, schema, limit, dialect, reads, seconds)

    def tables(self, workspace: str) -> Future[Any]:
        """The tables and views of a workspace: {"schema", "name", "kind", "rows", "columns"} each."""
        return self._named(workspace).tables()

    def table(self, workspace: str, schema: str, table: str) -> Future[Any]:
        """All about one table; fails with not_found."""
        return self._named(workspace).table(schema, table)

    def result_page(self, workspace: str, run_id: int, task_run_id: int, offset: int, limit: int) -> Future[Any]:
        """Rows of a large result, also of one that is still being written; fails with not_found."""
        return self._named(workspace).result_page(run_id, task_run_id, offset, limit)

    def stream(
        self,
        workspace: str,
        sql: str,
        parameters: dict[str, Any],
        schema: str = "main",
        dialect: SqlDialect = "duckdb",
    ) -> Stream:
        """A reading statement's rows as an Arrow IPC stream. Blocks; raises `RunyardError`."""
        self._named(workspace)
        who = Assignment(
            run_id=0, task_run_id=0, token=0, task_key="query", action=Sql(statement=sql), workspace=workspace
        )
        access = tables.access(who, self._socket(workspace), self._key)
        return Stream(Read(access, sql, parameters, schema=schema, dialect=dialect, framed=True))

    def views(self, workspace: str) -> Future[Any]:
        """The materialized views of a workspace."""
        return self._named(workspace).views()

    def create_view(
        self,
        workspace: str,
        name: str,
        schema: str,
        source: str,
        statement: str,
        target: str,
        dialect: SqlDialect = "duckdb",
    ) -> Future[Any]:
        """Keeps a materialized view; fails with invalid."""
        return self._named(workspace).create_view(name, schema, source, statement, target, dialect)

    def drop_view(self, workspace: str, name: str) -> Future[Any]:
        """Forgets a materialized view; its target stays."""
        return self._named(workspace).drop_view(name)

    def drop_table(self, workspace: str, schema: str, table: str, with_views: bool) -> Future[Any]:
        """Drops a table and its quarantine; fails with invalid while a view needs it."""
        return self._named(workspace).drop_table(schema, table, with_views)

    def partitions(self, workspace: str, schema: str, table: str, limit: int, offset: int) -> Future[Any]:
        """The partitions of a table; fails with not_found, and with invalid when it has no key."""
        return self._named(workspace).partitions(schema, table, limit, offset)

    def partition_table(
        self, workspace: str, schema: str, table: str, partition_by: str, dialect: SqlDialect = "duckdb"
    ) -> Future[Any]:
        """Gives a table a partition key, or none; fails with not_found or invalid."""
        return self._named(workspace).partition_table(schema, table, partition_by, dialect)

    def grant(self, assignment: Assignment) -> dict[str, Any]:
        """What the program of an attempt needs to reach its workspace's tables; nothing for a name that cannot be."""
        if not _WORKSPACE.fullmatch(assignment.workspace):
            return {}
        self._warehouse(assignment.workspace)
        access = tables.access(assignment, self._socket(assignment.workspace), self._key)
        return cast(dict[str, Any], msgspec.to_builtins(access))

    def _socket(self, workspace: str) -> str:
        """A name that fits into a socket's address, which has 107 bytes, beside the way to this folder."""
        short = workspace if len(workspace) <= 64 else hashlib.sha256(workspace.encode()).hexdigest()
        return str(self._root / f"{short}.sock")

    def _named(self, workspace: str) -> Warehouse:
        if not _WORKSPACE.fullmatch(workspace):
            raise invalid(_bad_name(workspace), field="workspace")
        if workspace not in self._warehouses and not (self._root / f"{workspace}.duckdb").exists():
            raise not_found("workspace", workspace)  # a question must not make a database, nor start its process
        return self._warehouse(workspace)

    def _warehouse(self, workspace: str) -> Warehouse:
        with self._lock:
            if workspace not in self._warehouses:
                database = str(self._root / f"{workspace}.duckdb")
                settings = msgspec.structs.replace(self._settings, database=database)
                serve = Serve(self._socket(workspace), self._key, self._s3)
                self._warehouses[workspace] = Warehouse(settings, self._take, workspace, serve)
            return self._warehouses[workspace]

    def _take(self, reports: Sequence[Report]) -> None:
        finished = 0
        for report in reports:
            if type(report) is Finished:
                finished += 1
                self._held.pop((report.task_run_id, report.token), None)
        self._pace.add(finished, time.monotonic())
        self._sink(reports)


def _bad_name(workspace: str) -> str:
    return f"{workspace!r} cannot be a workspace: use letters, digits, dot, dash and underscore, at most 100."


def _unreadable(assignment: Assignment, error: OSError | UnicodeDecodeError) -> Finished:
    said = error.strerror if isinstance(error, OSError) else "It is not UTF-8 text"
    file = getattr(assignment.action, "file", "")
    outcome = Outcome(result="failed", reason=Reason.START_ERROR, detail=f"{file} cannot be read: {said}.", retry=False)
    return Finished(assignment.task_run_id, assignment.token, 0, outcome)


def _refused(assignment: Assignment) -> Finished:
    detail = _bad_name(assignment.workspace)
    outcome = Outcome(result="failed", reason=Reason.START_ERROR, detail=detail, retry=False)
    return Finished(assignment.task_run_id, assignment.token, 0, outcome)
