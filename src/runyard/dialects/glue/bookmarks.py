"""Job bookmarks: get and reset. Source: AWS Glue Developer Guide, 'Tracking processed data using job bookmarks'."""

from __future__ import annotations

import msgspec

from runyard.core.errors import Code, RunyardError
from runyard.core.model import Bookmark
from runyard.core.opaque import Opaque
from runyard.dialects.glue import wire
from runyard.dialects.glue.call import Caller, Json, Op
from runyard.dialects.glue.errors import missing
from runyard.dialects.glue.jobs import Jobs
from runyard.dialects.glue.runs import JobRuns
from runyard.engine.registry import Registry

_encode = msgspec.json.Encoder(order="sorted").encode


class Bookmarks:
    """Handlers over the registry's bookmarks; a job's are kept under its id, so they go with it."""

    def __init__(self, registry: Registry, jobs: Jobs, runs: JobRuns, opaque: Opaque) -> None:
        self._registry = registry
        self._jobs = jobs
        self._runs = runs
        self._opaque = opaque

    def operations(self) -> tuple[Op, ...]:
        """The operations of this family."""
        return (
            Op("GetJobBookmark", "jobs:read", self.get),
            Op("ResetJobBookmark", "jobs:write", self.reset),
        )

    async def get(self, asked: Json, who: Caller) -> Json:
        """GetJobBookmark, the newest or what it was after a run"""
        key, run_id = self._key(asked["JobName"]), self._run_id(asked)
        with _said(asked["JobName"]):
            found = self._registry.bookmark(key, run_id)
        return {"JobBookmarkEntry": self._entry(asked["JobName"], found)}

    async def reset(self, asked: Json, who: Caller) -> Json:
        """ResetJobBookmark, to the beginning or to what it was after a run; the answer is the new entry"""
        key, run_id = self._key(asked["JobName"]), self._run_id(asked)
        with _said(asked["JobName"]):
            found = await self._registry.reset_bookmark(key, run_id, who.by)
        return {"JobBookmarkEntry": self._entry(asked["JobName"], found)}

    def _key(self, name: str) -> str:
        return str(self._jobs.named(name).id)

    def _run_id(self, asked: Json) -> int | None:
        return self._runs.find(asked["JobName"], asked["RunId"])[0].id if "RunId" in asked else None

    def _entry(self, name: str, found: Bookmark) -> Json:
        text = _encode(found.state.get("contexts", {})).decode()
        return wire.bookmark_entry(self._opaque, name, found, text)


class _said:
    """A bookmark that is not there, in Glue's words."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, RunyardError) and error.code is Code.NOT_FOUND:
            raise missing(f"Continuation for job {self._name} not found.") from None
