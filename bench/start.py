"""How soon a server answers, what it holds in memory when idle, and how much an install brings."""

from __future__ import annotations

import argparse
import os
import re
import time
import tomllib
from importlib import metadata
from pathlib import Path

from bench import report, server
from bench.report import percentile

COLUMNS = ("what", "found", "wanted")


def measure(given: argparse.Namespace) -> report.Table:
    """One table of single figures."""
    starts = 3 if given.quick else 15
    ready: list[float] = []
    memory: dict[str, list[float]] = {"server": [], "helpers": []}
    for number in range(starts):
        with server.server() as one:
            ready.append(one.ready_seconds)
            if number < 3:
                _look(one, memory)
    rows: list[list[object]] = [
        ["seconds from the command to `ready`, median", f"{percentile(ready, 0.5):.2f}", "< 1"],
        ["the same, slowest", f"{max(ready):.2f}", ""],
        ["idle server process, resident MB", f"{max(memory['server']):.0f}", "< 80"],
        ["its helpers (warehouse, fork server), own MB together", f"{max(memory['helpers']):.0f}", ""],
        ["installed packages, runyard among them", 1 + len(closure(_own_requirements())), "<= 35"],
        *[[f"installed packages of {peer}", len(closure([peer])), ""] for peer in ("huey", "dbos")],
    ]
    notes = [
        f"{starts} starts with an empty data folder, each timed by who started it. Memory 3 s after the start and a "
        "first SQL run; of the helpers the proportional share of what they share.",
        "Packages: a walk over the installed distributions' own requirements, without extras.",
    ]
    return report.Table("start", "server ready, idle memory, size of an install", COLUMNS, rows, notes)


def _look(one: server.Server, memory: dict[str, list[float]]) -> None:
    spec = {"name": "warm", "tasks": [{"key": "one", "action": {"kind": "sql", "statement": "SELECT 1"}}]}
    one.api.wait(one.api.submit(spec=spec))
    time.sleep(3)
    memory["server"].append(_megabytes(one.pid, "Rss"))
    memory["helpers"].append(sum(_megabytes(pid, "Pss") for pid in server.below(one.pid)))


def _megabytes(pid: int, field: str) -> float:
    found = re.search(rf"^{field}:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return int(found.group(1)) / 1024


def _own_requirements() -> list[str]:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    return [_required(line) for line in project["dependencies"]]


def closure(names: list[str]) -> set[str]:
    """These distributions and all that they need here."""
    seen: set[str] = set()
    waiting = list(names)
    while waiting:
        one = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        try:
            requires = metadata.requires(one) or []
        except metadata.PackageNotFoundError:  # a marker left it out here
            continue
        if one not in seen:
            seen.add(one)
            waiting += [_required(line) for line in requires if "extra ==" not in line and _holds(line)]
    return seen


def _required(line: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", line)
    assert found is not None
    return found.group(0)


def _holds(line: str) -> bool:
    """Whether a requirement's marker speaks of this platform; only Windows and other interpreters are left out."""
    marker = line.partition(";")[2]
    return os.name == "nt" or not re.search(r"win32|Windows|PyPy|emscripten", marker)
