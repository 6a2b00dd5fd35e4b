"""A run's timeline: one bar an attempt, on one scale."""

from __future__ import annotations

import shutil
import sys
from datetime import UTC, datetime

from runyard.cli import words
from runyard.cli.render import elapsed, paint, seconds
from runyard.client.views import Run, TaskRun

_LEAST, _MOST = 20, 60


def print_timeline(run: Run) -> None:
    """Writes every attempt that started as a bar between the run's start and end."""
    shown = sorted((task for task in run.tasks if task.started_at), key=lambda task: (task.started_at, task.id))
    if not shown:
        return
    start = min(task.started_at for task in shown if task.started_at)
    end = max(_end(task) for task in shown)
    names = [_name(task) for task in shown]
    width = max(map(len, names))
    space = min(max(shutil.get_terminal_size().columns - width - 14, _LEAST), _MOST)
    span = max((end - start).total_seconds(), 0.001)
    print(f"{'':{width}}  0{seconds(span):>{space - 1}}")
    for task, name in zip(shown, names, strict=True):
        left, length = _bar(task, start, span, space)
        bar = paint("#" * length, task.state, sys.stdout)
        took = elapsed(task.started_at, _end(task))
        print(f"{name:{width}}  {' ' * left}{bar}{' ' * (space - left - length)}  {took}")


def _bar(task: TaskRun, start: datetime, span: float, space: int) -> tuple[int, int]:
    assert task.started_at is not None
    left = int((task.started_at - start).total_seconds() / span * space)
    right = round((_end(task) - start).total_seconds() / span * space)
    left = min(left, space - 1)
    return left, max(1, min(right, space) - left)


def _end(task: TaskRun) -> datetime:
    return task.ended_at or datetime.now(UTC)


def _name(task: TaskRun) -> str:
    said = words.attempt(task)
    return f"{words.label(task)} ({said})" if said else words.label(task)
