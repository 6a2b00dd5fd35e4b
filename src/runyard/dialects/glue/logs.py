"""The logs of runs as CloudWatch shows them: `<group>/output` and `<group>/error`, one stream for each JobRunId.

What a script writes to both standard streams is in `output`, as on AWS; `error` holds standard error alone.
Source: Amazon CloudWatch Logs API reference; AWS Glue Developer Guide, 'Logging for AWS Glue jobs'.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator
from typing import NamedTuple

from runyard.core.errors import Code, RunyardError
from runyard.core.model import Run, TaskRun
from runyard.core.query import MAX_PAGE, RunFilter
from runyard.dialects.glue import tables, wire
from runyard.dialects.glue.call import Caller, Json, Op
from runyard.dialects.glue.errors import fault
from runyard.dialects.glue.runs import JobRuns
from runyard.engine.runs import Runs
from runyard.http.request import offload

SERVICE = "Logs_20140328"
OUTPUT, ERROR = "output", "error"
DEFAULT_EVENTS, DEFAULT_STREAMS = 10_000, 50
_WORDS = re.compile(r'"([^"]*)"|(\S+)')


class Stream(NamedTuple):
    """One attempt's log, in a group."""

    name: str
    run: Run
    one: TaskRun
    kind: str


class Logs:
    """Handlers over the logs of attempts."""

    def __init__(self, runs: Runs, job_runs: JobRuns) -> None:
        self._runs = runs
        self._job_runs = job_runs

    def operations(self) -> tuple[Op, ...]:
        """The operations of this family."""
        return (
            Op("DescribeLogStreams", "runs:read", self.streams),
            Op("GetLogEvents", "runs:read", self.events),
            Op("FilterLogEvents", "runs:read", self.filter),
        )

    # --- DescribeLogStreams ---

    async def streams(self, asked: Json, who: Caller) -> Json:
        """DescribeLogStreams: newest first with orderBy LastEventTime and descending, else by name"""
        group, kind = _group(asked)
        found = await offload(self._streams_of, group, kind, asked.get("logStreamNamePrefix", ""))
        by_time = asked.get("orderBy") == "LastEventTime"
        found.sort(key=(lambda one: one.one.ended_at or one.one.created_at) if by_time else (lambda one: one.name))
        if asked.get("descending"):
            found.reverse()
        start, limit = _place(asked), asked.get("limit", DEFAULT_STREAMS)
        shown = [self._describe(one, asked, who) for one in found[start : start + limit]]
        more = str(start + limit) if len(found) > start + limit else None
        return {"logStreams": shown, "nextToken": more}

    def _streams_of(self, group: str, kind: str, prefix: str) -> list[Stream]:
        exact = self._stream(group, kind, prefix) if prefix.startswith("jr_") else None
        if exact is not None and "_attempt_" in prefix:
            return [exact]
        if exact is not None:
            attempts = self._runs.task_runs(exact.run.id, newest=False)
            return [self._named(exact.run, one, kind) for one in attempts]
        page = self._runs.find(RunFilter(origin=tables.NAME), MAX_PAGE)
        found = [
            self._named(run, one, kind)
            for run in page.items
            if wire.log_group(run) == group
            for one in self._runs.task_runs(run.id, newest=False)
        ]
        return [one for one in found if one.name.startswith(prefix)]

    def _named(self, run: Run, one: TaskRun, kind: str) -> Stream:
        return Stream(str(self._job_runs.body(run, one)["Id"]), run, one, kind)

    def _stream(self, group: str, kind: str, name: str) -> Stream | None:
        found = self._job_runs.look(name)
        if found is None or found[1] is None or wire.log_group(found[0]) != group:
            return None
        return Stream(name, found[0], found[1], kind)

    def _describe(self, one: Stream, asked: Json, who: Caller) -> Json:
        index = self._runs.log_index(one.one.id)
        times = [at for at, stream, _ in index if one.kind == OUTPUT or stream == 2]
        arn = f"arn:aws:logs:{who.region}:{who.account}:log-group:{asked.get('logGroupName', '')}:log-stream:{one.name}"
        told: Json = {"logStreamName": one.name, "creationTime": one.one.created_at, "arn": arn, "storedBytes": 0}
        if times:
            told |= {"firstEventTimestamp": times[0], "lastEventTimestamp": times[-1], "lastIngestionTime": times[-1]}
        return told

    # --- GetLogEvents ---

    async def events(self, asked: Json, who: Caller) -> Json:
        """GetLogEvents: from the head, or the newest; a token that comes back unchanged says that there is no more"""
        group, kind = _group(asked)
        stream = await offload(self._stream, group, kind, asked["logStreamName"])
        if stream is None:
            raise _no_stream()
        found = [one for one in await offload(self._read, stream) if _within(one["timestamp"], asked)]
        limit, token = asked.get("limit", DEFAULT_EVENTS), asked.get("nextToken")
        start = _from_token(token, len(found), limit)
        if token is None:
            start = 0 if asked.get("startFromHead") else max(0, len(found) - limit)
        shown = found[start : start + limit]
        return {
            "events": shown,
            "nextForwardToken": f"f/{start + len(shown):056d}",
            "nextBackwardToken": f"b/{start:056d}",
        }

    def _read(self, stream: Stream) -> list[Json]:
        data, _ = self._runs.log(stream.one.id, 0, None)
        return list(_lines(data, self._runs.log_index(stream.one.id), stream.kind))

    # --- FilterLogEvents ---

    async def filter(self, asked: Json, who: Caller) -> Json:
        """FilterLogEvents: the events of some streams, or of all in the group, that hold every word of a pattern"""
        group, kind = _group(asked)
        streams = await offload(self._wanted, group, kind, asked)
        found = await offload(self._filtered, streams, asked)
        start, limit = _place(asked), asked.get("limit", DEFAULT_EVENTS)
        more = str(start + limit) if len(found) > start + limit else None
        searched = [{"logStreamName": one.name, "searchedCompletely": True} for one in streams]
        return {"events": found[start : start + limit], "searchedLogStreams": searched, "nextToken": more}

    def _wanted(self, group: str, kind: str, asked: Json) -> list[Stream]:
        names = asked.get("logStreamNames")
        if names is None:
            return self._streams_of(group, kind, asked.get("logStreamNamePrefix", ""))
        found = [self._stream(group, kind, name) for name in names]
        if None in found:
            raise _no_stream()
        return [one for one in found if one is not None]

    def _filtered(self, streams: list[Stream], asked: Json) -> list[Json]:
        words = [quoted or plain for quoted, plain in _WORDS.findall(asked.get("filterPattern", ""))]
        found = [
            {"logStreamName": one.name, "eventId": f"{one.one.id:032d}{place:024d}", **event}
            for one in streams
            for place, event in enumerate(self._read(one))
            if _within(event["timestamp"], asked) and _holds(event["message"], words)
        ]
        # Oldest first unless startFromHead is false: the newer parameter's way to ask for the newest first.
        newest_first = asked.get("startFromHead") is False
        return sorted(found, key=lambda event: event["timestamp"], reverse=newest_first)


def _lines(data: bytes, index: list[tuple[int, int, int]], kind: str) -> Iterator[Json]:
    """Each line with the time of the piece in which it begins."""
    starts = [offset for _, _, offset in index]
    place = 0
    for line in data.splitlines(keepends=True):
        at = bisect.bisect_right(starts, place) - 1
        moment, stream = index[at][:2] if at >= 0 else (0, 1)
        text = line.rstrip(b"\r\n").decode("utf-8", "replace")
        if text and (kind == OUTPUT or stream == 2):
            yield {"timestamp": moment, "message": text, "ingestionTime": moment}
        place += len(line)


def _group(asked: Json) -> tuple[str, str]:
    """The log group without its last part, and which part that is."""
    name = asked.get("logGroupName") or str(asked.get("logGroupIdentifier", "")).rpartition("log-group:")[2]
    group, _, kind = name.rstrip("*:").rpartition("/")
    if kind not in (OUTPUT, ERROR):
        known = f"{tables.SPARK_LOG_GROUP}/output, {tables.LOG_GROUPS[tables.PYTHON_SHELL]}/output, and /error of each"
        said = f"The specified log group does not exist. Those of job runs are {known}."
        raise fault("ResourceNotFoundException", said, Code.NOT_FOUND)
    return group, kind


def _no_stream() -> RunyardError:
    return fault("ResourceNotFoundException", "The specified log stream does not exist.", Code.NOT_FOUND)


def _within(moment: int, asked: Json) -> bool:
    return bool(asked.get("startTime", 0) <= moment < asked.get("endTime", float("inf")))


def _holds(message: str, words: list[str]) -> bool:
    return all(word[1:] not in message if word.startswith("-") else word in message for word in words)


def _place(asked: Json) -> int:
    token = asked.get("nextToken", "0")
    if not (token.isascii() and token.isdigit() and len(token) < 12):
        raise fault("InvalidParameterException", "The specified nextToken is invalid.")
    return int(token)


def _from_token(token: str | None, size: int, limit: int) -> int:
    """Where a page begins: forward tokens name its start, backward tokens its end."""
    if token is None:
        return 0
    way, _, digits = token.partition("/")
    if way not in ("f", "b") or not (digits.isascii() and digits.isdigit() and len(digits) == 56):
        raise fault("InvalidParameterException", "The specified nextToken is invalid.")
    place = min(int(digits), size)
    return place if way == "f" else max(0, place - limit)
