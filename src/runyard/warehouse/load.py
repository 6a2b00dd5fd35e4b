"""Loads a file or URL into a table: typed, in one transaction, with a quarantine for rows that do not fit."""

from __future__ import annotations

import contextlib
import re
import time
from pathlib import Path

import duckdb

from runyard.core.actions import Load
from runyard.core.attempts import Outcome
from runyard.core.states import Reason
from runyard.warehouse import csv, effects, staged
from runyard.warehouse.downloads import Downloads
from runyard.warehouse.effects import Effects
from runyard.warehouse.failures import LoadFailed
from runyard.warehouse.fetch import (
    Source,
    download,
    is_upload,
    is_url,
    local,
    placed,
    plain,
    upload_path,
    uploaded,
)
from runyard.warehouse.kinds import Tell
from runyard.warehouse.objects import S3, is_object
from runyard.warehouse.pieces import Doubted
from runyard.warehouse.settings import Settings
from runyard.warehouse.shapes import MixedLines
from runyard.warehouse.tables import Counts, Target
from runyard.warehouse.tasks import Task, now
from runyard.warehouse.touched import Touched, named

_TOLD_BYTES = 1 << 20
"""A smaller file is read before anybody could look; each progress is a write of the server's."""
_READERS = {"csv": csv.load, "ndjson": staged.load_ndjson, "parquet": staged.load_parquet}


class Loader:
    """Loads into the tables of one database."""

    reason = Reason.LOAD_ERROR

    def __init__(self, effects: Effects, spool: Path, settings: Settings, downloads: Downloads) -> None:
        self._effects, self._spool, self._settings, self._downloads = effects, spool, settings, downloads
        self.service: S3 | None = None
        """Where objects are; None: in a folder."""

    def tables(self, action: Load) -> frozenset[str]:
        """The tables that a load writes, for the line of writers."""
        return frozenset({action.table.lower(), f"{action.table.lower()}_quarantine"})

    def run(self, task: Task, cursor: duckdb.DuckDBPyConnection, tell: Tell) -> Outcome:
        """Loads at most once; raises `LoadFailed`, duckdb.Error or `Stopped`, and then nothing was changed."""
        action = task.assignment.action
        assert isinstance(action, Load)
        far = is_url(action.source) or is_upload(action.source)  # what is not fetched in vain
        known = effects.find(cursor, task.assignment) if far else None
        outcome = known or self._run(task, action, cursor, tell)
        if is_upload(action.source):
            with contextlib.suppress(OSError):  # it has committed; what is left goes after a day
                upload_path(action.source, self._settings).unlink(missing_ok=True)
        return outcome

    def _run(self, task: Task, action: Load, cursor: duckdb.DuckDBPyConnection, tell: Tell) -> Outcome:
        target = Target(cursor, action, task.assignment.run_id)
        source = self._source(task, action, tell)
        if source.size > _TOLD_BYTES:
            tell(task, {"message": "Reading the file into the table.", "bytes": source.size})
        try:
            return self._once(task, target, source)
        except (duckdb.Error, LoadFailed) as error:
            retry = error.retry if isinstance(error, LoadFailed) else True
            raise LoadFailed(_hide(str(error), self._spool, source).splitlines()[0], retry=retry) from None
        finally:
            source.remove()

    def _once(self, task: Task, target: Target, source: Source) -> Outcome:
        began = time.perf_counter()

        def work(touched: Touched) -> Outcome:
            return self._load(task, target, source, touched, began)

        while True:
            try:
                return self._effects.once(target.cursor, task.assignment, work)
            except MixedLines:
                if source.evened:
                    raise
                csv.straighten(source, target.action.options, task.check)
            except Doubted:
                source.in_one = True
            task.check()

    def _source(self, task: Task, action: Load, tell: Tell) -> Source:
        place = (action.source, action.format, self._spool, self._settings, task)
        if is_upload(action.source):
            source = uploaded(*place)
        elif is_object(action.source) and self.service is None:
            source = placed(*place)
        elif is_url(action.source):
            source = download(*place, lambda data: tell(task, data), self._downloads, self.service)
        else:
            source = local(*place)
        return plain(source, self._settings, task)

    def _load(self, task: Task, target: Target, source: Source, touched: Touched, began: float) -> Outcome:
        task.measure = source.fraction
        counts = _READERS[source.format](target, source, self._spool)
        task.check()
        _check_bad(target.action, counts)
        target.finish(counts)
        _note(touched, target)
        metrics = {
            "rows": counts.rows,
            "bytes": source.size,
            "quarantine_rows": counts.quarantined,
            "invalid_lines": counts.invalid,
            "seconds": round(time.perf_counter() - began, 6),
            "download_seconds": round(source.seconds, 6),
        }
        if source.packed:
            metrics["unpacked_bytes"] = source.unpacked
        if target.where:
            metrics["rows_unmatched"] = target.unmatched
        output = {"table": target.action.table, "columns": target.described(), "row_count": counts.rows}
        output |= {"format": source.format, **target.explained(counts)}
        return Outcome(result="succeeded", output=output, metrics=metrics, started_at=task.started_at, ended_at=now())


def _check_bad(action: Load, counts: Counts) -> None:
    """Raises `LoadFailed` for more rows that do not fit than may be, and for what would only empty a table."""
    limit = action.max_bad_rows
    if limit is not None and counts.bad > limit:
        raise LoadFailed(
            f"{counts.bad} rows do not fit, and at most {limit} may: nothing was loaded. The first: {counts.first}"
        )
    if limit is None and counts.bad and not counts.rows and action.mode in ("replace", "replace_where"):
        said = f"None of the {counts.bad} rows fit the table, so nothing was replaced"
        raise LoadFailed(f"{said} (max_bad_rows allows it). The first: {counts.first}")


def _note(touched: Touched, target: Target) -> None:
    """What the views that follow the table have to know. The quarantine is nobody's source."""
    table = named(target.action.schema, target.action.table)
    if target.action.mode in ("replace", "replace_where"):
        touched.replaced[table] = target.where
    else:
        touched.appended.add(table)


def _hide(message: str, spool: Path, source: Source) -> str:
    """Error messages name the file; where our own files lie is nobody's business."""
    message = re.sub(rf"[^\s'\"]*{re.escape(source.path.stem)}\.[\w.]*\w", "the file", message)
    return message.replace(str(spool), "")
