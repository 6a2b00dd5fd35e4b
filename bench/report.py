"""A benchmark's one table: printed, and kept in bench/results with the machine, the date, the commit, the command."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

RESULTS = Path(__file__).parent / "results"
_BEGUN = time.monotonic()
MEMORY = Path("/dev/shm")
"""A file system in memory, where a flush to disk costs nothing: what the software costs by itself."""


class Table(NamedTuple):
    """What a benchmark found. `notes` say what was checked and what stands in the way."""

    name: str
    question: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    notes: Sequence[str] = ()


def show(table: Table, *, keep: bool) -> None:
    """Prints the table and keeps it."""
    text = "\n".join([f"# {table.name}: {table.question}", "", *_lines(table), "", *_notes(table)])
    print(text, flush=True)
    if keep:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{table.name}.md").write_text(f"{text}\n\n{_circumstances()}\n")


def _lines(table: Table) -> list[str]:
    cells = [[str(cell) for cell in row] for row in (table.columns, *table.rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(table.columns))]
    head, *rows = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in cells]
    return [head, "|" + "|".join("-" * (width + 2) for width in widths) + "|", *rows]


def _notes(table: Table) -> list[str]:
    return [f"- {note}" for note in table.notes]


def _circumstances() -> str:
    facts = [
        f"{os.cpu_count()} cores of {_processor()}, {platform.system()} {platform.release()}, Python "
        f"{platform.python_version()}; other programs used {_others():.1f} cores meanwhile",
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {_commit()}",
        f"`python -m bench {' '.join(sys.argv[1:])}`",
    ]
    return "\n".join(f"- {fact}" for fact in facts)


def _busy() -> float:
    """Seconds that all processors together have worked so far."""
    user, nice, system, _, _, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def _others() -> float:
    """How many processors worked for somebody else since the start: where that is much, look at CPU, not at rates."""
    own = os.times()
    mine = own.user + own.system + own.children_user + own.children_system
    return max(0.0, (_busy() - _BUSY_BEFORE - mine) / (time.monotonic() - _BEGUN))


_BUSY_BEFORE = _busy()


def _processor() -> str:
    with open("/proc/cpuinfo") as file:
        names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str:
    def git(*arguments: str) -> str:
        folder = str(Path(__file__).parent)
        return subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True).stdout.strip()

    changed = " with changes" if git("status", "--porcelain", "--", "../src", ".", ":!results") else ""
    return (git("rev-parse", "--short", "HEAD") or "unknown") + changed


def tell(text: str) -> None:
    """Says on standard error how far it has come."""
    print(f"[{since(_BEGUN)}] {text}", file=sys.stderr, flush=True)


def since(moment: float) -> str:
    """How long ago that was by the monotonic clock."""
    return f"{time.monotonic() - moment:.0f} s"


def flush_cost(folder: Path, times: int = 100) -> float:
    """Median seconds that this folder's disk takes to make 8 KB durable: the limit of every durable answer."""
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        found = []
        for _ in range(times):
            os.pwrite(file.fileno(), b"x" * 8192, len(found) * 8192)
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            found.append(time.perf_counter() - begun)
    return statistics.median(found)


def places() -> list[tuple[str, Path]]:
    """Where the data lies: the temporary folder's disk and, where there is one, memory."""
    found = [("disk", Path(tempfile.gettempdir()))]
    return found + ([("memory", MEMORY)] if os.access(MEMORY, os.W_OK) else [])


def repeated(times: int, measure: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Medians of several measurements, with the smallest and largest `rate` beside them."""
    found = [measure() for _ in range(times)]
    medians = {name: statistics.median(one[name] for one in found) for name in found[0]}
    rates = [one["rate"] for one in found if "rate" in one]
    return medians | ({"low": min(rates), "high": max(rates)} if rates else {})


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share of all values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def whole(value: float) -> str:
    """A rate with thousands divided."""
    return f"{value:,.0f}"


def ms(seconds: float) -> str:
    """Seconds as milliseconds."""
    return f"{seconds * 1000:.2f}"
