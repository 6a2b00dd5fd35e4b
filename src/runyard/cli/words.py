"""What a run and its tasks say of themselves in one line."""

from __future__ import annotations

from typing import Any

from runyard.cli.render import clean, elapsed, size
from runyard.client.views import Run, TaskRun
from runyard.core.states import State

_BAD = {State.FAILED, State.TIMED_OUT, State.LOST}


def why(run: Run) -> str:
    """One sentence on how a run ended: the first failed task's own words where there is one."""
    took = elapsed(run.started_at, run.ended_at)
    head = f"run {run.id} {run.state.value.replace('_', ' ')}{f' after {took}' if took else ''}"
    guilty = next((task for task in run.tasks if task.state in _BAD), None)
    if run.succeeded:
        return head
    if guilty is None:
        return f"{head}: {clean(run.detail or run.reason)}" if run.detail or run.reason else head
    return f"{head}: task {label(guilty)!r} {guilty.state.value.replace('_', ' ')}: {cause(guilty)}"


def cause(task: TaskRun) -> str:
    """Why a task ended as it did."""
    error = (task.error or {}).get("message")
    return clean(task.detail or error or task.reason or "no reason was given")


def label(task: TaskRun) -> str:
    """A task's name, with the element of a for-each task."""
    return task.task_key if task.iteration < 0 else f"{task.task_key}[{task.iteration}]"


def remark(task: TaskRun) -> str:
    """What is worth saying beside a task's state: progress, counts, why it waits, why it failed."""
    if task.state in _BAD or task.state in {State.UPSTREAM_FAILED, State.CANCELLED, State.SKIPPED}:
        return cause(task) if task.detail or task.error or task.reason else ""
    if task.waiting:
        return clean(task.waiting)
    if task.finished:
        return counts(task.metrics)
    if task.state is State.WAITING:
        return clean(task.detail)
    return progress(task.progress or {})


def progress(data: dict[str, Any]) -> str:
    """A bar where the fraction is known, then the counts, then the work's own message."""
    parts = [bar(float(data["fraction"]))] if isinstance(data.get("fraction"), (int, float)) else []
    parts += [part for part in (counts(data), clean(data.get("message"))) if part]
    return "  ".join(parts)


def bar(fraction: float, width: int = 16) -> str:
    """`[####----]  50 %`"""
    fraction = min(max(fraction, 0.0), 1.0)
    full = round(fraction * width)
    return f"[{'#' * full}{'-' * (width - full)}] {fraction:4.0%}"


def counts(data: dict[str, Any]) -> str:
    """Rows and bytes, as far as they are told."""
    parts = []
    for name, words in (("rows", "rows"), ("bad_rows", "bad rows"), ("quarantined", "rows kept aside")):
        value = data.get(name)
        if isinstance(value, int) and (value or name == "rows"):
            parts.append(f"{value:,} {words if value != 1 else words.replace('rows', 'row')}")
    if isinstance(data.get("bytes"), int) and data["bytes"]:
        parts.append(size(data["bytes"]))
    return ", ".join(parts)


def attempt(task: TaskRun) -> str:
    """Which attempt it is, when it is not the first."""
    parts = [f"attempt {task.attempt + 1}"] if task.attempt else []
    parts += [f"repair {task.round}"] if task.round else []
    return ", ".join(parts)


def is_kept(run: Run, task: TaskRun) -> bool:
    """Whether a repaired run keeps this task as it ended before."""
    return task.finished and task.round < run.round
