"""Writes a query's rows into a file below an allowed folder, an object, or by PUT to a URL: whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import duckdb

from runyard.core.actions import Export
from runyard.core.attempts import EffectKey, Outcome
from runyard.core.states import Reason
from runyard.warehouse.changes import ended, one_query, subquery
from runyard.warehouse.conditions import bound
from runyard.warehouse.downloads import Downloads
from runyard.warehouse.effects import Effects
from runyard.warehouse.failures import LoadFailed
from runyard.warehouse.grants import granted
from runyard.warehouse.kinds import Tell
from runyard.warehouse.lineage import tables_of
from runyard.warehouse.objects import S3, is_object, local, put, split
from runyard.warehouse.sending import Send, check, shown
from runyard.warehouse.settings import Settings
from runyard.warehouse.tables import name, text
from runyard.warehouse.tasks import Task
from runyard.warehouse.touched import Touched

_ENDINGS = {"csv": "csv", "ndjson": "ndjson", "jsonl": "ndjson", "json": "ndjson", "parquet": "parquet"}
_ENDINGS |= {"arrow": "arrow", "feather": "arrow"}
_PACKED = {"gz": "gzip", "zst": "zstd"}
_COPY = {"csv": "FORMAT csv, HEADER true", "ndjson": "FORMAT json", "parquet": "FORMAT parquet"}
_BATCH_ROWS = 65_536
_CONTENT = {"csv": "text/csv", "ndjson": "application/x-ndjson", "parquet": "application/vnd.apache.parquet"}
_CONTENT |= {"arrow": "application/vnd.apache.arrow.file"}
_PACKED_CONTENT = {"gzip": "application/gzip", "zstd": "application/zstd"}


class Exporter:
    """Runs `Export`. The file is written in the spool folder and moved to its place before the effect commits."""

    reason = Reason.SQL_ERROR

    def __init__(self, effects: Effects, spool: Path, settings: Settings, downloads: Downloads) -> None:
        self._effects, self._spool, self._settings, self._downloads = effects, spool, settings, downloads
        self.service: S3 | None = None
        """Where objects are; None: in a folder."""

    def tables(self, action: Export) -> frozenset[str]:
        """None: an export writes no table. Raises `Refused` for a statement that is no query."""
        one_query(action.statement, action.dialect)
        return frozenset()

    def run(self, task: Task, cursor: duckdb.DuckDBPyConnection, tell: Tell) -> Outcome:
        """Exports at most once; after a crash in between, the file is written again under the same name."""
        action, began = task.assignment.action, time.perf_counter()
        assert isinstance(action, Export)
        form, packed = format_of(action)
        far = is_url(action.target)
        place = None if far else Place(action.target, self._settings, self.service)
        path = self._spool / f"{task.assignment.task_run_id}-{task.assignment.token}.export"

        def work(touched: Touched) -> Outcome:
            rows = _write(cursor, action, path, form, packed)
            task.check()
            size = path.stat().st_size
            if place is not None:
                place.put(path, task.assignment.effect)
            else:
                self._send(task, path, _content_type(form, packed), tell)
            query = one_query(action.statement, action.dialect).statements[0].query
            touched.read |= tables_of(query, action.schema).read
            target = shown(action.target) if far else action.target
            output = {"target": target, "format": form, "compression": packed, "row_count": rows, "bytes": size}
            return ended(task, began, rows, output, bytes=size)

        try:
            return self._effects.once(cursor, task.assignment, work)
        finally:
            with contextlib.suppress(OSError):  # it may have committed
                path.unlink(missing_ok=True)

    def _send(self, task: Task, path: Path, content_type: str, tell: Tell) -> None:
        """Has a process of its own send the file; raises `LoadFailed`, or `Stopped` when the task was."""
        action = task.assignment.action
        assert isinstance(action, Export)
        asked = Send(
            url=action.target,
            path=str(path),
            content_type=content_type,
            allow_private=self._settings.allow_private_urls,
            max_seconds=self._settings.download_seconds,
            silent_seconds=self._settings.read_seconds,
        )
        last: dict[str, Any] = {}
        with self._downloads.start(asked) as channel:

            def end() -> None:
                with contextlib.suppress(OSError):
                    channel.shutdown(socket.SHUT_RDWR)

            with task.ended_by(end), channel.makefile("rb") as lines, contextlib.suppress(OSError):
                for line in lines:
                    last = json.loads(line)
                    if "bytes" in last:
                        tell(task, {"message": "Sending.", "bytes": last["bytes"], "fraction": last["fraction"]})
        task.check()
        if "done" not in last:
            raise LoadFailed(last.get("failed", "The sender ended without a result."), retry=last.get("retry", True))


def _content_type(form: str, packed: str) -> str:
    return _CONTENT[form] if packed == "none" or form in ("parquet", "arrow") else _PACKED_CONTENT[packed]


def is_url(target: str) -> bool:
    """Whether a target is an http(s) URL; raises `LoadFailed` for one that can never be sent to."""
    if not target.lower().startswith(("http://", "https://")):
        return False
    check(target)
    return True


def format_of(action: Export) -> tuple[str, str]:
    """The format and compression that were asked for, else those of the target's name; raises `LoadFailed`."""
    place = urlsplit(action.target).path if is_url(action.target) else action.target
    parts = place.lower().rpartition("/")[2].split(".")[1:]
    packed: str = action.compression
    if parts and parts[-1] in _PACKED:
        packed = _PACKED[parts.pop()] if packed == "auto" else packed
    packed = "none" if packed == "auto" else packed
    form = action.format if action.format != "auto" else _ENDINGS.get(parts[-1] if parts else "", "")
    if not form:
        raise LoadFailed(f"{place} does not tell its format; give one: csv, ndjson, parquet or arrow.")
    if form == "arrow" and packed == "gzip":
        raise LoadFailed("An Arrow file is compressed with zstd, not with gzip.")
    return form, packed


def _write(cursor: duckdb.DuckDBPyConnection, action: Export, path: Path, form: str, packed: str) -> int:
    plan = one_query(action.statement, action.dialect)
    values = bound(plan.parameters[0], action.parameters)
    granted(action.reads, None).check(cursor, plan.statements[0].query, values, action.schema)
    if form == "arrow":
        return _write_arrow(cursor, f"SELECT * FROM {subquery(plan)}", values, path, packed)
    options = _COPY[form]
    if packed != "none" or form == "parquet":
        options += f", COMPRESSION {'zstd' if packed == 'none' else packed}"
    shown = _exactly(cursor, subquery(plan), values) if form == "parquet" else "*"
    statement = f"COPY (SELECT {shown} FROM {subquery(plan)}) TO {text(str(path))} ({options})"
    row = (cursor.execute(statement, values) if values else cursor.execute(statement)).fetchone()
    return int(row[0]) if row else 0


def _exactly(cursor: duckdb.DuckDBPyConnection, query: str, values: dict[str, Any]) -> str:
    """All columns; DuckDB writes a HUGEINT, which a sum of BIGINT is, into Parquet as DOUBLE."""
    statement = f"DESCRIBE SELECT * FROM {query}"
    found = (cursor.execute(statement, values) if values else cursor.execute(statement)).fetchall()
    large = [f"CAST({name(row[0])} AS DECIMAL(38,0)) AS {name(row[0])}" for row in found if row[1] == "HUGEINT"]
    return f"* REPLACE ({', '.join(large)})" if large else "*"


def _write_arrow(cursor: duckdb.DuckDBPyConnection, query: str, values: dict[str, Any], path: Path, packed: str) -> int:
    import pyarrow as pa

    relation = cursor.sql(query, params=values) if values else cursor.sql(query)
    reader, rows = relation.to_arrow_reader(_BATCH_ROWS), 0
    options = pa.ipc.IpcWriteOptions(compression="zstd" if packed == "zstd" else None)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, reader.schema, options=options) as sink:
        for batch in reader:
            sink.write_batch(batch)
            rows += batch.num_rows
    return rows


class Place:
    """Where an export goes: checked when it is made."""

    def __init__(self, target: str, settings: Settings, service: S3 | None) -> None:
        """Raises `LoadFailed` for a target outside of the allowed folders."""
        self._object: tuple[str, S3] | None = None
        if is_object(target):
            split(target)
            if service is not None:
                self._object = (target, service)
                return
            self._path = local(target, settings.objects)
        elif "://" in target:
            said = "An export goes below the allowed folders, to s3://BUCKET/KEY or to an http(s) URL"
            raise LoadFailed(f"{said}; {target} is none of them.")
        else:
            self._path = _inside(target, settings)

    def put(self, source: Path, effect: EffectKey) -> None:
        """Moves the file to its place: readers see the old one or the new one, whole, also after a power cut.

        The copy beside the target is named for the effect, which is the same for all attempts of a task: what a killed
        one left there is written over by the next. They never overlap.
        """
        if self._object is not None:
            put(self._object[0], source, self._object[1])
            return
        folder = self._path.parent
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{self._path.name}.{_mark(effect)}.part"
        try:
            shutil.copyfile(source, part)
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.replace(self._path)
        finally:
            part.unlink(missing_ok=True)
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _mark(effect: EffectKey) -> str:
    return hashlib.blake2s(repr(effect).encode(), digest_size=8).hexdigest()


def _inside(target: str, settings: Settings) -> Path:
    """The path below an allowed folder, links in its folders followed; raises `LoadFailed`."""
    allowed = [Path(os.path.realpath(folder)) for folder in settings.allowed_paths]
    given = Path(target)
    for folder in allowed:
        path = given if given.is_absolute() else folder / given
        path = Path(os.path.realpath(path.parent)) / path.name
        if path.name not in ("", "..", ".") and path.parent.is_relative_to(folder) and not path.is_dir():
            return path
    raise LoadFailed(f"{target} does not lie below a folder that exports may write to.")
