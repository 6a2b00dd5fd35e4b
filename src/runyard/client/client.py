"""The calls of a Runyard server as methods."""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from types import TracebackType
from typing import IO, Any, Literal, TypeVar
from urllib.parse import quote

import msgspec

from runyard.client import views
from runyard.client.errors import Error
from runyard.client.transport import Transport, persist
from runyard.client.views import (
    Backfill,
    Event,
    Firing,
    Job,
    JobVersion,
    MaterializedView,
    Partitions,
    Preview,
    Queue,
    Result,
    Run,
    Schedule,
    Table,
    TaskRun,
    Trigger,
    Upload,
)
from runyard.core.actions import SqlDialect
from runyard.core.errors import Code
from runyard.core.model import JobSpec
from runyard.core.triggers import TriggerSpec

DEFAULT_URL = "http://127.0.0.1:8321"
PAGE = 200

T = TypeVar("T")


class _Page(msgspec.Struct):
    items: list[Any]
    next: str | None = None


class Client:
    """A connection to one server; usable from several threads.

    `url` and `token` come from RUNYARD_URL and RUNYARD_TOKEN when they are not given, the url then from
    http://127.0.0.1:8321. `timeout` is in seconds, for one request. All calls raise `runyard.Error`.
    """

    def __init__(self, url: str | None = None, token: str | None = None, *, timeout: float = 30.0) -> None:
        self.url = url or os.environ.get("RUNYARD_URL") or DEFAULT_URL
        self.token = token or os.environ.get("RUNYARD_TOKEN") or None
        self.transport = Transport(self.url, self.token, timeout)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self.transport.close()

    # --- runs ---------------------------------------------------------------------------------------------

    def submit(
        self,
        job: JobSpec | Job | int,
        *,
        parameters: Mapping[str, Any] | None = None,
        name: str | None = None,
        queue: str | None = None,
        priority: int | None = None,
        tags: Mapping[str, str] | None = None,
        only: Sequence[str] | None = None,
        idempotency_key: str | None = None,
    ) -> Run:
        """Starts a run of a definition, or of a kept job, and returns at once.

        `only` names the tasks to run: `key`, `+key` with what it needs, `key+` with what needs it.
        """
        body = _given(parameters=parameters, name=name, queue=queue, priority=priority, tags=tags, only=only)
        body["spec" if isinstance(job, JobSpec) else "job"] = job.id if isinstance(job, Job) else job
        return self.transport.call(Run, "POST", "/runs", json=body, headers=_once(idempotency_key))

    def run(self, job: JobSpec | Job | int, *, timeout: float | None = None, **options: Any) -> Run:
        """Starts a run and waits for its end; options as for `submit`, `timeout` (seconds) as for `wait`."""
        return self.wait(self.submit(job, **options).id, timeout=timeout)

    def wait(self, run_id: int, *, timeout: float | None = None) -> Run:
        """The run once it has ended; raises TimeoutError after `timeout` seconds, and the run goes on."""
        end = None if timeout is None else time.monotonic() + timeout
        pause = 0.02
        while not (run := persist(lambda: self.get(run_id))).finished:
            left = pause if end is None else end - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"run {run_id} is {run.state.value} after {timeout} seconds; it goes on")
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, 0.5)
        return run

    def get(self, run_id: int, *, spec: bool = False, all_attempts: bool = False) -> Run:
        """A run with the newest attempt of each of its tasks, or all attempts; with its definition if asked."""
        query = _query(include="spec" if spec else None, all_attempts=all_attempts or None)
        return self.transport.call(Run, "GET", f"/runs/{run_id}", params=query)

    def list(self, *, limit: int | None = None, **filters: Any) -> Iterator[Run]:
        """Runs, newest first, page after page as they are needed.

        Filters: state (a word or several), job, name, origin, workspace, queue, submitted_by, trigger, tag and
        parameter ("key=value"), reason, created_after, created_before, ended_after, ended_before (datetimes, dates,
        RFC 3339 text or milliseconds).
        """
        return self._pages(Run, "/runs", limit, filters, size=PAGE)

    def cancel(self, run_id: int, *, detail: str | None = None, task_run: int | None = None) -> Run:
        """Ends a run, or one task run of it. One that is over is refused (conflict)."""
        return self.transport.call(Run, "POST", f"/runs/{run_id}/cancel", json=_given(detail=detail, task_run=task_run))

    def repair(
        self,
        run_id: int,
        *,
        tasks: Sequence[str] | None = None,
        dependents: bool = True,
        parameters: Mapping[str, Any] | None = None,
        after_round: int | None = None,
    ) -> Run:
        """Runs parts of a finished run again: the given tasks or all that did not succeed, and their dependants."""
        body = _given(tasks=tasks, parameters=parameters, after_round=after_round) | {"dependents": dependents}
        return self.transport.call(Run, "POST", f"/runs/{run_id}/repair", json=body)

    def rerun(
        self, run_id: int, *, parameters: Mapping[str, Any] | None = None, idempotency_key: str | None = None
    ) -> Run:
        """Starts a new run with the definition and parameters of an earlier one."""
        body = _given(parameters=parameters)
        return self.transport.call(Run, "POST", f"/runs/{run_id}/rerun", json=body, headers=_once(idempotency_key))

    def delete(self, run_id: int) -> None:
        """Removes a finished run and its history."""
        self.transport.send("DELETE", f"/runs/{run_id}")

    def task_run(self, task_run_id: int) -> TaskRun:
        """One attempt of a task."""
        return self.transport.call(TaskRun, "GET", f"/task-runs/{task_run_id}")

    def output(self, task_run_id: int) -> Any:
        """What an attempt gave: a `Result` for rows, else its JSON value, or None when it gave nothing."""
        try:
            output = self.transport.call(object, "GET", f"/task-runs/{task_run_id}/output")
        except Error as error:
            if error.code is Code.NOT_FOUND:
                return None
            raise
        is_rows = isinstance(output, dict) and "columns" in output and "rows" in output
        return msgspec.convert(output, Result) if is_rows else output

    def artifact(self, task_run_id: int, name: str) -> bytes:
        """A named file that an attempt left, such as `export.html`."""
        headers = {"Accept": "*/*"}
        return self.transport.send(
            "GET", f"/task-runs/{task_run_id}/artifacts/{_segment(name)}", headers=headers
        ).content

    def events(self, run_id: int, *, after: int = 0, follow: bool = False) -> Iterator[Event]:
        """A run's history from a sequence number on; `follow` goes on until the run has ended."""
        if not follow:
            return self._stored_events(run_id, after)
        messages = self.transport.follow(f"/runs/{run_id}/events", str(after) if after else None)
        return (msgspec.json.decode(message.data, type=Event) for message in messages if message.data)

    def _stored_events(self, run_id: int, after: int) -> Iterator[Event]:
        while True:
            page = self.transport.call(_Page, "GET", f"/runs/{run_id}/events", params={"after": after, "limit": PAGE})
            for event in msgspec.convert(page.items, list[Event]):
                after = event.seq
                yield event
            if not page.items:
                return

    def log(self, task_run_id: int, start: int = 0, end: int | None = None) -> bytes:
        """Bytes `[start, end)` of an attempt's log, as far as it is written."""
        if end is not None and end <= start:
            return b""
        wanted = f"bytes={start}-{'' if end is None else end - 1}"
        headers = {"Range": wanted, "Accept": "text/plain"}
        try:
            response = self.transport.send("GET", f"/task-runs/{task_run_id}/log", headers=headers)
        except Error as error:
            if error.status == 416:  # nothing is written from there on
                return b""
            raise
        return response.content if response.status_code == 206 else response.content[start:end]

    def logs(self, task_run_id: int, *, follow: bool = False, start: int = 0) -> Iterator[str]:
        """An attempt's log as text, in pieces; `follow` goes on until the attempt has ended."""
        if not follow:
            return iter([self.log(task_run_id, start).decode("utf-8", "replace")])
        messages = self.transport.follow(f"/task-runs/{task_run_id}/log", str(start) if start else None)
        return (str(msgspec.json.decode(message.data)["text"]) for message in messages if message.data)

    # --- jobs ---------------------------------------------------------------------------------------------

    def jobs(self, *, name: str | None = None, key: str | None = None, limit: int | None = None) -> Iterator[Job]:
        """Kept jobs, newest first."""
        return self._pages(Job, "/jobs", limit, {"name": name, "key": key}, size=PAGE)

    def job(self, job_id: int) -> Job:
        """One kept job."""
        return self.transport.call(Job, "GET", f"/jobs/{job_id}")

    def job_versions(self, job_id: int) -> Iterator[JobVersion]:
        """All versions of a job."""
        return self._pages(JobVersion, f"/jobs/{job_id}/versions")

    def create_job(self, spec: JobSpec, *, key: str | None = None) -> Job:
        """Keeps a definition; `key` is an optional name that no other job may have."""
        return self.transport.call(Job, "POST", "/jobs", json=spec, params=_query(key=key))

    def update_job(self, job_id: int, spec: JobSpec, *, expect_version: int | None = None) -> Job:
        """Gives a job a new version; refused (conflict) when it is no longer at `expect_version`."""
        headers = {} if expect_version is None else {"If-Match": str(expect_version)}
        return self.transport.call(Job, "PUT", f"/jobs/{job_id}", json=spec, headers=headers)

    def apply_job(self, spec: JobSpec, key: str) -> tuple[Job, str]:
        """Makes the job with this key be as defined. Also says `created`, `updated` or `unchanged`."""
        kept = next(self.jobs(key=key, limit=1), None)
        if kept is None:
            return self.create_job(spec, key=key), "created"
        if kept.spec == spec:
            return kept, "unchanged"
        return self.update_job(kept.id, spec, expect_version=kept.version), "updated"

    def delete_job(self, job_id: int) -> None:
        """Removes a job; its runs stay."""
        self.transport.send("DELETE", f"/jobs/{job_id}")

    def cancel_job_runs(self, job_id: int) -> int:
        """Ends all unfinished runs of a job; returns how many."""
        return int(self.transport.call(dict[str, int], "POST", f"/jobs/{job_id}/cancel-runs")["cancelled"])

    # --- schedules ----------------------------------------------------------------------------------------

    def schedule(self, job_id: int, *, count: int | None = None) -> Schedule:
        """A job's next so many ticks, and what became of the newest; conflict if it has no schedule."""
        return self.transport.call(Schedule, "GET", f"/jobs/{job_id}/schedule", params=_query(count=count))

    def pause_job(self, job_id: int) -> Schedule:
        """Stops a job's schedule; its runs go on."""
        return self.transport.call(Schedule, "POST", f"/jobs/{job_id}/schedule/pause")

    def resume_job(self, job_id: int) -> Schedule:
        """Lets a job's schedule go on with its next tick."""
        return self.transport.call(Schedule, "POST", f"/jobs/{job_id}/schedule/resume")

    def backfill(
        self,
        job_id: int,
        start: datetime | date | str,
        end: datetime | date | str | None = None,
        *,
        limit: int | None = None,
        dry_run: bool = False,
    ) -> Backfill:
        """Gives the ticks from `start` on and before `end` (now) the runs that they lack, the oldest `limit`."""
        body = _query(to=end, **{"from": start}) | _given(limit=limit) | {"dry_run": dry_run}
        return self.transport.call(Backfill, "POST", f"/jobs/{job_id}/backfill", json=body)

    # --- triggers -----------------------------------------------------------------------------------------

    def triggers(
        self,
        *,
        key: str | None = None,
        job: int | None = None,
        kind: str | None = None,
        active: bool | None = None,
        limit: int | None = None,
    ) -> Iterator[Trigger]:
        """Triggers, newest first; `job` keeps those of one job's definition."""
        filters = {"key": key, "job": job, "kind": kind, "active": active}
        return self._pages(Trigger, "/triggers", limit, filters, size=PAGE)

    def trigger(self, trigger_id: int) -> Trigger:
        """One trigger."""
        return self.transport.call(Trigger, "GET", f"/triggers/{trigger_id}")

    def create_trigger(self, spec: TriggerSpec, *, key: str | None = None, active: bool = True) -> Trigger:
        """Keeps a trigger; `key` is an optional name that no other trigger may have."""
        return self.transport.call(Trigger, "POST", "/triggers", json=spec, params=_query(key=key, active=active))

    def apply_trigger(self, spec: TriggerSpec, key: str, *, active: bool = True) -> tuple[Trigger, str]:
        """Makes the trigger with this key be as defined. Also says `created`, `updated` or `unchanged`.

        `active` says how a new one begins; one that is kept stays paused, or active, as it is.
        """
        kept = next((one for one in self.triggers(key=key) if one.job_id is None), None)
        if kept is None:
            return self.create_trigger(spec, key=key, active=active), "created"
        if kept.spec == spec:
            return kept, "unchanged"
        return self.update_trigger(kept.id, spec, expect_version=kept.version), "updated"

    def update_trigger(self, trigger_id: int, spec: TriggerSpec, *, expect_version: int | None = None) -> Trigger:
        """Gives a trigger another definition; conflict when it is no longer at `expect_version`."""
        headers = {} if expect_version is None else {"If-Match": str(expect_version)}
        return self.transport.call(Trigger, "PUT", f"/triggers/{trigger_id}", json=spec, headers=headers)

    def delete_trigger(self, trigger_id: int) -> None:
        """Removes a trigger; its runs stay."""
        self.transport.send("DELETE", f"/triggers/{trigger_id}")

    def pause_trigger(self, trigger_id: int) -> Trigger:
        """Stops a trigger; runs that it started go on."""
        return self.transport.call(Trigger, "POST", f"/triggers/{trigger_id}/pause")

    def resume_trigger(self, trigger_id: int) -> Trigger:
        """Lets a trigger fire from now on."""
        return self.transport.call(Trigger, "POST", f"/triggers/{trigger_id}/resume")

    def fire(self, trigger_id: int, *, parameters: Mapping[str, Any] | None = None) -> Firing:
        """Fires a trigger now, paused or not; parameters are laid over those of its actions."""
        body = _given(parameters=parameters)
        return self.transport.call(Firing, "POST", f"/triggers/{trigger_id}/fire", json=body)

    def firings(self, trigger_id: int, *, limit: int | None = None) -> Iterator[Firing]:
        """What a trigger did, newest first."""
        return self._pages(Firing, f"/triggers/{trigger_id}/firings", limit, size=PAGE)

    def dry_run(self, trigger_id: int, *, run: int | None = None) -> Preview:
        """What a trigger would start now, and why; with `run` as if that run had ended just now."""
        return self.transport.call(Preview, "GET", f"/triggers/{trigger_id}/dry-run", params=_query(run=run))

    # --- queues, data, server -----------------------------------------------------------------------------

    def queues(self) -> Iterator[Queue]:
        """All queues and how busy they are."""
        return self._pages(Queue, "/queues")

    def put_queue(
        self,
        name: str,
        *,
        slots: int | Literal["any"] | None = None,
        priority: int | None = None,
        paused: bool | None = None,
    ) -> Queue:
        """Makes or changes a queue; what is None stays as it is. `slots` "any" means as many as workers take."""
        body = _given(slots=slots, priority=priority, paused=paused)
        if slots == "any":
            body["slots"] = None
        return self.transport.call(Queue, "PUT", f"/queues/{_segment(name)}", json=body)

    def delete_queue(self, name: str) -> None:
        """Removes an empty queue."""
        self.transport.send("DELETE", f"/queues/{_segment(name)}")

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        limit: int | None = None,
        dialect: SqlDialect | None = None,
    ) -> Result:
        """Reads the warehouse; `parameters` are bound to `$name`, `limit` caps the rows (10,000 at most).

        `dialect` is the language of the query, DuckDB's by default.
        """
        body = {"sql": sql} | _given(parameters=parameters, limit=limit, dialect=dialect)
        return self.transport.call(Result, "POST", "/query", json=body)

    def tables(self) -> Iterator[Table]:
        """The warehouse's tables."""
        return self._pages(Table, "/tables")

    def table(self, name: str, *, schema: str | None = None) -> Table:
        """One table: rows, bytes, quarantine, who wrote it last, where its rows come from and go to."""
        return self.transport.call(Table, "GET", f"/tables/{_segment(name)}", params=_query(schema=schema))

    def drop_table(self, name: str, *, schema: str | None = None, with_views: bool = False) -> None:
        """Drops a table and its quarantine; refused while a materialized view needs it, unless that goes, too."""
        self.transport.send("DELETE", f"/tables/{_segment(name)}", params=_query(schema=schema, with_views=with_views))

    def partitions(
        self, name: str, *, schema: str | None = None, limit: int | None = None, offset: int | None = None
    ) -> Partitions:
        """A table's partitions in the order of their values: `limit` (1,000) from `offset` on, and `next`."""
        params = _query(schema=schema, limit=limit, offset=offset)
        return self.transport.call(Partitions, "GET", f"/tables/{_segment(name)}/partitions", params=params)

    def partition_table(
        self, name: str, partition_by: str, *, schema: str | None = None, dialect: SqlDialect | None = None
    ) -> str:
        """Gives a table a partition key, expressions which commas divide ("" takes it away); as DuckDB's SQL."""
        body = {"partition_by": partition_by} | _given(dialect=dialect)
        path, params = f"/tables/{_segment(name)}/partitions", _query(schema=schema)
        return str(self.transport.call(dict[str, Any], "PUT", path, json=body, params=params)["partition_by"])

    def upload(self, body: bytes | IO[bytes]) -> Upload:
        """Sends a body, or a file open for reading, to be loaded: a load's source is its `source`."""
        return self.transport.call(Upload, "POST", "/uploads", content=body)

    def views(self) -> Iterator[MaterializedView]:
        """The materialized views."""
        return self._pages(MaterializedView, "/views")

    def create_view(
        self, name: str, source: str, statement: str, target: str, *, schema: str = "main"
    ) -> MaterializedView:
        """Lets `target` follow the appends to `source` from now on; a materialize task fills in what was before."""
        body = {"name": name, "source": source, "statement": statement, "target": target, "schema": schema}
        return self.transport.call(MaterializedView, "POST", "/views", json=body)

    def drop_view(self, name: str) -> None:
        """Forgets a materialized view; its target stays."""
        self.transport.send("DELETE", f"/views/{_segment(name)}")

    def info(self) -> dict[str, Any]:
        """What the server says of itself: version, store, workers, dialects."""
        return self.transport.call(dict[str, Any], "GET", "/info")

    def _pages(
        self,
        kind: type[T],
        path: str,
        limit: int | None = None,
        filters: Mapping[str, Any] | None = None,
        *,
        size: int | None = None,
    ) -> Iterator[T]:
        """The items of a list; `size` is that of its pages, None for a list that comes as a whole."""
        cursor, left = None, sys.maxsize if limit is None else limit
        while left > 0:
            query = _query(cursor=cursor, limit=size and min(size, left), **filters or {})
            page = self.transport.call(_Page, "GET", path, params=query)
            items = msgspec.convert(page.items, list[kind])  # type: ignore[valid-type]  # a type at run time
            yield from items[:left]
            left -= len(items)
            cursor = page.next
            if cursor is None:
                return


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _once(key: str | None) -> dict[str, str]:
    # Every submit carries a key, so that it may be sent again after a broken connection without a second run.
    return {"Idempotency-Key": key or uuid.uuid4().hex}


def _query(**fields: Any) -> dict[str, str]:
    return {name: _written(value) for name, value in fields.items() if value is not None}


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return str(views.plain(value.astimezone()))
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (list, tuple, set, frozenset)):
        return ",".join(_written(one) for one in value)
    return str(value)


def _segment(name: str) -> str:
    """A name as one segment of a path, also one of dots, which would be steps between folders."""
    return quote(name, safe="").replace(".", "%2E")
