"""Job: begins and commits a run's bookmark."""

from __future__ import annotations

from typing import Any

from runyard.runtime import context

from . import bookmark


class Job:
    """`job = Job(glue_context)`, `job.init(name, args)`, work, `job.commit()`. The context may be None."""

    def __init__(self, glue_context: Any = None) -> None:
        self._context = glue_context
        self._name = ""

    @property
    def name(self) -> str:
        """The job's name, as given to `init`."""
        return self._name

    def init(self, job_name: str, args: dict[str, Any] | None = None) -> None:
        """Loads the newest bookmark; `args` is what getResolvedOptions gave."""
        self._name = job_name
        bookmark.begin((args or {}).get("job_bookmark_option"))

    def isInitialized(self) -> bool:  # the name is Glue's
        """Whether `init` was called."""
        return bookmark.begun()

    def commit(self) -> None:
        """Says that everything read so far is processed; kept when the run succeeds. A paused bookmark stays."""
        state = bookmark.committed(context.run_id() or 0)
        if state is not None:
            context.set_bookmark(state)
