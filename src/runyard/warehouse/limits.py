"""What ends a statement that takes too long or gives too much: it is stopped, not only cut off."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import msgspec

from runyard.warehouse.refused import Refused

_AGAIN_SECONDS = 0.1
_ROWS_AT_ONCE = 250
_SMALL = {"BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
          "FLOAT", "DOUBLE", "DATE", "TIMESTAMP"}  # fmt: skip


class Limits(msgspec.Struct, frozen=True):
    """Of one statement's result; None: as much as there is."""

    rows: int | None = None
    size: int | None = None
    """In bytes."""

    def check(self, rows: int, size: int) -> None:
        """Raises `Refused` when what there is so far is too much already."""
        if self.rows is not None and rows > self.rows:
            raise Refused(f"The result has more than {self.rows} rows, which is its limit.")
        if self.size is not None and size > self.size:
            raise Refused(f"The result has more than {self.size} bytes, which is its limit.")


NONE = Limits()


@contextlib.contextmanager
def within(cursor: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[None]:
    """Interrupts what the cursor does after so many seconds; then it raises `Refused`."""
    done, late = threading.Event(), threading.Event()

    def watch() -> None:
        if done.wait(seconds):
            return
        late.set()
        while not done.wait(_AGAIN_SECONDS):  # an interrupt between two statements is lost
            cursor.interrupt()

    late_sentence = f"The query took longer than {seconds:g} seconds and was stopped."
    watcher = threading.Thread(target=watch, name="deadline", daemon=True)
    watcher.start()
    try:
        yield
    except duckdb.InterruptException:
        if late.is_set():
            raise Refused(late_sentence) from None
        raise
    finally:
        done.set()
        watcher.join()


def fetched(
    cursor: duckdb.DuckDBPyConnection, columns: Sequence[dict[str, str]], limit: int, limits: Limits
) -> list[Any]:
    """At most `limit` rows of the last statement; raises `Refused` when they are too large."""
    if limits.size is None or all(column["type"] in _SMALL for column in columns):
        return cursor.fetchmany(limit)
    rows: list[Any] = []
    size = 0
    while len(rows) < limit:
        block = cursor.fetchmany(min(_ROWS_AT_ONCE, limit - len(rows)))
        if not block:
            break
        size += sum(_size(value) for row in block for value in row)
        limits.check(len(rows), size)
        rows += block
    return rows


def _size(value: Any) -> int:
    """About how many bytes a value takes in a message."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, list | tuple):
        return sum(map(_size, value))
    return sum(map(_size, value.values())) if isinstance(value, dict) else 8
