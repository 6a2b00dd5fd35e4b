"""A run as it goes, on standard error: a live tree on a terminal, plain lines anywhere else."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from runyard.cli import exits, words
from runyard.cli.render import clean, clean_log, elapsed, paint
from runyard.client.client import Client
from runyard.client.follow import Update, follow
from runyard.client.views import Run, TaskRun
from runyard.core.states import State

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

_GLYPHS = {
    State.SUCCEEDED: ("+", "green"),
    State.FAILED: ("x", "red"),
    State.TIMED_OUT: ("x", "red"),
    State.LOST: ("x", "red"),
    State.CANCELLED: ("!", "yellow"),
    State.UPSTREAM_FAILED: ("-", "yellow"),
    State.SKIPPED: ("-", "dim"),
    State.RUNNING: (">", "cyan"),
    State.STARTING: (">", "cyan"),
}

Show = Callable[[Update], None]


def watch(client: Client, run_id: int, *, after: int = 0) -> Run:
    """Follows a run to its end, tells it on standard error, and returns it. Ctrl-C lets the run go on."""
    run: Run | None = None
    try:
        with _screen() as show:
            for update in follow(client, run_id, after=after):
                run = update.run
                show(update)
    except KeyboardInterrupt:
        again = f"runyard show {run_id} --follow"
        text = f"detached: run {run_id} goes on. Come back with `{again}`, end it with `runyard cancel {run_id}`."
        raise exits.Exit(exits.INTERRUPTED, text) from None
    assert run is not None
    print(paint(words.why(run), run.state, sys.stderr), file=sys.stderr, flush=True)
    return run


@contextmanager
def _screen() -> Iterator[Show]:
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield _Plain().show
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True, highlight=False, no_color=bool(os.environ.get("NO_COLOR")))
    with Live(console=console, refresh_per_second=8, transient=False) as live:
        yield _Tree(console, live).show


class _Plain:
    """One line a change: what a log file or a CI job keeps."""

    def __init__(self) -> None:
        self._seen: dict[int, str] = {}

    def show(self, update: Update) -> None:
        """Writes what is new."""
        run = update.run
        width = max((len(words.label(task)) for task in run.tasks), default=0)
        if run.id not in self._seen:
            self._say(f"run {run.id} {clean(run.name)}")
            self._seen[run.id] = ""
        for line in update.lines:
            self._say(f"  {words.label(line.task):<{width}} | {clean_log(line.text)}")
        for task in run.tasks:
            self._task(run, task, width)
        self._waiting(run)

    def _task(self, run: Run, task: TaskRun, width: int) -> None:
        if task.state in {State.BLOCKED, State.QUEUED, State.STARTING} or self._seen.get(task.id) == task.state.value:
            return
        self._seen[task.id] = task.state.value
        parts = [words.attempt(task), elapsed(task.started_at, task.ended_at), words.remark(task)]
        said = ", ".join(part for part in parts if part) if task.finished else words.attempt(task)
        if words.is_kept(run, task):
            said = "kept from before the repair"
        self._say(f"  {words.label(task):<{width}} {task.state.value}{f' ({said})' if said else ''}")

    def _waiting(self, run: Run) -> None:
        if run.waiting and self._seen.get(-run.id) != run.waiting:
            self._seen[-run.id] = run.waiting
            self._say(f"  waiting: {clean(run.waiting)}")

    def _say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class _Tree:
    """The tasks as a tree that is drawn anew at each change, with the logs running above it."""

    def __init__(self, console: Console, live: Live) -> None:
        self._console = console
        self._live = live

    def show(self, update: Update) -> None:
        """Draws what is so now."""
        from rich.text import Text

        width = max((len(words.label(task)) for task in update.run.tasks), default=0)
        heads = [(f"{words.label(line.task):<{width}} | ", line.text) for line in update.lines]
        if heads:
            # All at once: each print draws the tree again below it.
            lines = [Text.assemble((head, "dim"), clean_log(text)) for head, text in heads]
            self._console.print(Text("\n").join(lines), soft_wrap=True)
        self._live.update(_Drawing(update.run), refresh=True)


class _Drawing:
    """The tree of one moment; drawn again at each refresh so that running clocks move."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __rich__(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        run, levels = self._run, depths(self._run.tasks)
        table = Table.grid(padding=(0, 2), pad_edge=False)
        for justify in ("left", "left", "right", "left"):
            table.add_column(no_wrap=True, overflow="ellipsis", justify=justify)
        head = Text.assemble((f"{clean(run.name)} ", "bold"), (str(run.id), "dim"))
        table.add_row(head, run.state.value, elapsed(run.started_at, run.ended_at), Text(clean(run.waiting)))
        for task in run.tasks:
            glyph, style = _GLYPHS.get(task.state, (".", "dim"))
            name = Text.assemble("  " * levels.get(task.task_key, 0), (f"{glyph} ", style), words.label(task))
            parts = [words.attempt(task), words.remark(task), "kept" if words.is_kept(run, task) else ""]
            told = Text(", ".join(part for part in parts if part))
            table.add_row(name, Text(task.state.value, style=style), elapsed(task.started_at, task.ended_at), told)
        return table


def depths(tasks: list[TaskRun]) -> dict[str, int]:
    """How far each task stands from the first ones, counted along its longest way."""
    needs = {task.task_key: [name_of(need) for need in task.needs] for task in tasks}
    found: dict[str, int] = {}
    pending = list(needs)
    while pending:
        ready = [key for key in pending if all(need in found or need not in needs for need in needs[key])]
        if not ready:
            return found
        for key in ready:
            found[key] = 1 + max((found.get(need, -1) for need in needs[key]), default=-1)
        pending = [key for key in pending if key not in found]
    return found


def name_of(need: Any) -> str:
    """The task that an entry of `needs` names, however it is spelled."""
    return str(need.get("task")) if isinstance(need, dict) else str(need)
