"""Who read which tables without writing any: kept beside the data, by a thread that keeps nobody waiting.

A statement that writes leaves its reads with its effect. One that only reads has no transaction that could hold a
record, and shall not pay for one: what it read is worked out and kept a moment later, for many statements at once.
"""

from __future__ import annotations

import collections
import contextlib
import threading
import time
from collections.abc import Callable

import duckdb
import msgspec

from runyard.core.attempts import Assignment
from runyard.warehouse.checker import HIDDEN_SCHEMA
from runyard.warehouse.effects import undo
from runyard.warehouse.lineage import tables_of
from runyard.warehouse.touched import spelled

KEPT = 50
"""So many of the newest reads of a table are kept."""
LATER_SECONDS = 1.0
"""What was read this long before a crash may be forgotten."""
_MOST = 10_000
_ADD = f"""
INSERT INTO {HIDDEN_SCHEMA}.reads SELECT one.name, one.run_id, one.task_run_id, one.task_key, one.at, one.reads
FROM (SELECT unnest($rows) AS one)
"""
_COUNT = f"SELECT name, count(*) FROM {HIDDEN_SCHEMA}.reads GROUP BY name"
_FORGET = f"""
DELETE FROM {HIDDEN_SCHEMA}.reads WHERE name = $name AND rowid NOT IN (
    SELECT rowid FROM {HIDDEN_SCHEMA}.reads WHERE name = $name ORDER BY recorded_at DESC LIMIT {KEPT})
"""


class Read(msgspec.Struct, frozen=True):
    """One statement that was carried out, and whose it was."""

    text: str
    schema: str
    run_id: int
    task_run_id: int
    task_key: str
    at: int


class Reads:
    """Notes what was read; `keep` writes it down, as does a thread about a second after the first note."""

    def __init__(self, cursor: Callable[[], duckdb.DuckDBPyConnection]) -> None:
        self._cursor = cursor
        self._noted: collections.deque[Read] = collections.deque(maxlen=_MOST)
        self._keeping = threading.Lock()
        self._lock = threading.Lock()
        self._awaited = False
        """Whether a thread is about to keep what is noted."""
        self._rows: dict[str, int] | None = None
        """How many rows each table has here, at most: the old ones go when they have become many."""

    def note(self, assignment: Assignment, text: str, schema: str) -> None:
        """An attempt has read what this text says; one of no run is left out."""
        if assignment.run_id:
            key, at = assignment, time.time_ns() // 1_000_000
            task = key.task_key.partition("#")[0]
            self._noted.append(Read(text, schema, key.run_id, key.task_run_id, task, at))
            if not self._awaited:
                self._await()

    def keep(self) -> None:
        """Writes down all that was noted before this call. Raises duckdb.Error; then it is tried again later."""
        with self._keeping:
            noted = [self._noted.popleft() for _ in range(len(self._noted))]
            if not (rows := _rows(noted)):
                return
            cursor = self._cursor()
            try:
                self._write(cursor, rows)
            except BaseException:
                undo(cursor)
                self._noted.extendleft(reversed(noted))
                raise
            finally:
                cursor.close()

    def _write(self, cursor: duckdb.DuckDBPyConnection, rows: dict[str, list[dict[str, object]]]) -> None:
        cursor.execute("BEGIN TRANSACTION")
        counts = dict(cursor.execute(_COUNT).fetchall()) if self._rows is None else self._rows
        cursor.execute(_ADD, {"rows": [row for some in rows.values() for row in some]})
        for name, some in rows.items():
            counts[name] = counts.get(name, 0) + len(some)
            if counts[name] > 4 * KEPT:
                cursor.execute(_FORGET, {"name": name})
                counts[name] = KEPT
        self._rows = None  # a commit that fails leaves them unknown
        cursor.execute("COMMIT")
        self._rows = counts

    def _await(self) -> None:
        with self._lock:
            if not self._awaited:
                self._awaited = True
                threading.Thread(target=self._keep_later, name="reads", daemon=True).start()

    def _keep_later(self) -> None:
        time.sleep(LATER_SECONDS)
        self._awaited = False
        with contextlib.suppress(duckdb.Error):  # a full disk, say: with the next read it is tried again
            self.keep()


def _rows(noted: list[Read]) -> dict[str, list[dict[str, object]]]:
    """The rows of each table, the newest ones, each attempt once."""
    found: dict[str, dict[int, dict[str, object]]] = {}
    for one in reversed(noted):
        reads = spelled(tables_of(one.text, one.schema).read)
        for name in reads:
            known = found.setdefault(name, {})
            if len(known) < KEPT:
                known.setdefault(one.task_run_id, {"name": name, "reads": reads} | _who(one))
    return {name: list(rows.values()) for name, rows in found.items()}


def _who(one: Read) -> dict[str, object]:
    return {"run_id": one.run_id, "task_run_id": one.task_run_id, "task_key": one.task_key, "at": one.at}
