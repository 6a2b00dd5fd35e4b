"""Answers on standard output: aligned tables for people, JSON for programs."""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import IO, Any, Literal, NamedTuple

import msgspec

from runyard.client.views import plain
from runyard.core.states import State

Output = Literal["table", "json", "jsonl"]

_COLOURS = {
    State.SUCCEEDED: "32",
    State.FAILED: "31",
    State.TIMED_OUT: "31",
    State.LOST: "31",
    State.UPSTREAM_FAILED: "33",
    State.CANCELLED: "33",
    State.CANCELLING: "33",
    State.WAITING: "33",
    State.RUNNING: "36",
    State.STARTING: "36",
    State.SKIPPED: "2",
    State.BLOCKED: "2",
}


class Column(NamedTuple):
    """A column of a table: its title and how an item's cell is written."""

    title: str
    cell: Callable[[Any], object]
    right: bool = False


def emit(items: Iterable[Any], columns: Sequence[Column], output: Output) -> None:
    """Writes a list: a table, one JSON array, or one JSON object a line as they come."""
    if output == "table":
        print_table(columns, list(items))
    elif output == "json":
        print_json([plain(item) for item in items])
    else:
        for item in items:
            print(encode(plain(item)), flush=True)


def print_json(value: Any) -> None:
    """Writes one JSON document, indented."""
    print(msgspec.json.format(encode(value), indent=2))


def emit_one(value: Any, output: Output, as_table: Callable[[], None]) -> None:
    """Writes one thing: as JSON, or by the given function."""
    if output == "table":
        as_table()
    elif output == "json":
        print_json(plain(value))
    else:
        print(encode(plain(value)))


def encode(value: Any) -> str:
    """A value as one line of JSON."""
    return msgspec.json.encode(value).decode()


def print_table(columns: Sequence[Column], items: Sequence[Any]) -> None:
    """Writes aligned columns; on a terminal the last one is cut at its edge, and states are coloured."""
    cells = [[clean(column.cell(item)) for column in columns] for item in items]
    rows = [[column.title for column in columns], *cells]
    widths = [max(width_of(row[i]) for row in rows) for i in range(len(columns))]
    edge = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for number, row in enumerate(rows):
        line = "  ".join(
            _pad(cell, width, column.right) for cell, width, column in zip(row, widths, columns, strict=True)
        )
        print(_styled(line.rstrip()[:edge], row if number else None))


def _pad(text: str, width: int, right: bool) -> str:
    space = " " * (width - width_of(text))
    return space + text if right else text + space


def _styled(line: str, row: list[str] | None) -> str:
    if not has_colour(sys.stdout):
        return line
    if row is None:
        return f"\x1b[2m{line}\x1b[0m"
    state = next((cell for cell in row if cell in _COLOURS), None)
    return line.replace(state, paint(state, State(state), sys.stdout), 1) if state else line


def width_of(text: str) -> int:
    """How many cells of a terminal a text takes."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 0 if unicodedata.combining(c) else 1 for c in text)


def has_colour(stream: IO[str]) -> bool:
    """Whether colours are welcome: a terminal that can, and nobody said NO_COLOR."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, state: State, stream: IO[str]) -> str:
    """The text in the colour of a state, where colours are welcome."""
    colour = _COLOURS.get(state)
    return f"\x1b[{colour}m{text}\x1b[0m" if colour and has_colour(stream) else text


def clean(value: object) -> str:
    """A value as one line without control characters: what a job wrote must not steer the terminal."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else encode(value) if isinstance(value, (dict, list, bool)) else str(value)
    return "".join(c if c.isprintable() else " " if c in "\n\t\r" else "\N{REPLACEMENT CHARACTER}" for c in text)


def clean_log(line: str) -> str:
    """One line of a log, fit for a terminal: tabs stay, other control characters go."""
    return "".join(c for c in line if c.isprintable() or c == "\t")


# --- numbers and times ------------------------------------------------------------------------------------


def when(time: datetime | None) -> str:
    """A time to the second, in the zone of this machine."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S") if time else ""


def elapsed(start: datetime | None, end: datetime | None) -> str:
    """How long it took, or takes until now."""
    if start is None:
        return ""
    return seconds(((end or datetime.now(UTC)) - start).total_seconds())


def seconds(count: float) -> str:
    """A span of time: `0.12 s`, `42.0 s`, `3m 05s`, `2h 03m`."""
    count = max(count, 0.0)
    if count < 60:
        return f"{count:.2f} s" if count < 10 else f"{count:.1f} s"
    minutes, rest = divmod(round(count), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    return f"{minutes // 60}h {minutes % 60:02d}m"


def size(count: float) -> str:
    """Bytes: `812 B`, `31.1 MB`."""
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
