"""What the job has already read, by transformation_ctx; one for the process.

The state that is kept: {"run": successful runs, "attempt": runs after a failure, "run_id": ours, "previous": the
run id before, "contexts": {transformation_ctx: element}}.
"""

from __future__ import annotations

from typing import Any

from runyard.runtime import context

Json = dict[str, Any]
DISABLE, ENABLE, PAUSE = "job-bookmark-disable", "job-bookmark-enable", "job-bookmark-pause"


class _Session:
    def __init__(self, option: str, kept: Json, window: Json) -> None:
        self.option = option
        self.kept = kept
        self.window = window
        self.contexts: Json = dict(kept.get("contexts", {}))


_sessions: list[_Session] = []


def begin(option: str | None = None) -> None:
    """Starts from the kept bookmark; the option defaults to the job's argument."""
    parameters = context.parameters()
    given = option or _argument(parameters) or DISABLE
    _sessions[:] = [_Session(str(given), context.bookmark(), parameters.get("window") or {})]


def _argument(parameters: Json) -> Any:
    given = {**parameters.get("defaults", {}), **parameters.get("arguments", {}), **parameters.get("fixed", {})}
    return given.get("--job-bookmark-option")


def begun() -> bool:
    """Whether `begin` was called."""
    return bool(_sessions)


def bounds(name: str) -> tuple[Json, Json | None]:
    """What was processed before, under this context, and up to where to go on (None: to the end)."""
    if not name or not _sessions or _sessions[0].option == DISABLE:
        return {}, None
    session = _sessions[0]
    if session.option == PAUSE and session.window:
        return session.window.get("from", {}).get(name, {}), session.window.get("to", {}).get(name, {})
    return session.kept.get("contexts", {}).get(name, {}), None


def processed(name: str, element: Json) -> None:
    """What is processed now under this context, once the job commits."""
    if name and _sessions and _sessions[0].option == ENABLE:
        _sessions[0].contexts[name] = element


def committed(run_id: int) -> Json | None:
    """The bookmark to keep; None when it is disabled or paused."""
    if not _sessions or _sessions[0].option != ENABLE:
        return None
    kept = _sessions[0].kept
    return {
        "run": kept.get("run", 0) + 1,
        "attempt": context.attempt(),
        "run_id": run_id,
        "previous": kept.get("run_id", 0),
        "contexts": _sessions[0].contexts,
    }
