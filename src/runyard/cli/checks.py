"""What `runyard doctor` looks at. Each check says what it found and, when it is not well, what to do."""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Literal

import msgspec

from runyard.cli import exits
from runyard.cli.render import Column, clean, has_colour, print_table, size
from runyard.client.client import Client
from runyard.client.errors import Error

LEAST_PYTHON = (3, 11)
LEAST_FREE = 1_000_000_000
SLOW_FSYNC_MS = 20.0
FSYNCS = 20
PACKAGES = ("msgspec", "httpx", "apsw", "duckdb", "pyarrow", "uvicorn", "starlette")

Status = Literal["ok", "warning", "failed"]


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    name: str
    status: Status
    found: str
    exit_code: int = 0


def run_checks(connect: Callable[[], Client]) -> list[Check]:
    """All checks, in the order in which they matter."""
    from runyard.config import load

    folder = load({}).folder
    return [_python(), *_packages(), _folder(folder), _disk(folder), _fsync(folder), *_server(connect)]


def print_checks(checks: list[Check]) -> None:
    """Writes the checks as a table."""
    marks = {"ok": "32", "warning": "33", "failed": "31"}

    def mark(check: Check) -> str:
        return check.status

    print_table([Column("CHECK", lambda check: check.name), Column("STATUS", mark), Column("FOUND", _found)], checks)
    worst = next((status for status in ("failed", "warning") if any(c.status == status for c in checks)), "ok")
    text = {"ok": "All is well.", "warning": "It works; see the warnings.", "failed": "Something needs you."}[worst]
    print(f"\x1b[{marks[worst]}m{text}\x1b[0m" if has_colour(sys.stdout) else text)


def _found(check: Check) -> str:
    return clean(check.found)


def _python() -> Check:
    found = f"{platform.python_implementation()} {platform.python_version()} on {platform.system()}"
    if sys.version_info[:2] < LEAST_PYTHON:
        return Check("python", "failed", f"{found}; 3.11 or newer is needed", exits.FAILED)
    return Check("python", "ok", found)


def _packages() -> Iterator[Check]:
    import runyard

    yield Check("runyard", "ok", runyard.__version__)
    found, missing = [], []
    for name in PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        yield Check("packages", "failed", f"not installed: {', '.join(missing)}", exits.FAILED)
    else:
        yield Check("packages", "ok", ", ".join(found))


def _folder(folder: Path) -> Check:
    if not folder.exists():
        return Check("data folder", "ok", f"{folder} (made at the first start)")
    if not os.access(folder, os.W_OK):
        return Check("data folder", "failed", f"{folder} cannot be written by this user", exits.FAILED)
    if folder.stat().st_mode & 0o077:
        return Check("data folder", "warning", f"{folder} is open to other users; run chmod 700 on it")
    return Check("data folder", "ok", str(folder))


def _nearest_existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


def _disk(folder: Path) -> Check:
    free = shutil.disk_usage(_nearest_existing(folder)).free
    status: Status = "ok" if free >= LEAST_FREE else "warning"
    return Check("disk", status, f"{size(free)} free" + ("" if status == "ok" else f"; {size(LEAST_FREE)} is wise"))


def _fsync(folder: Path) -> Check:
    try:
        middle = statistics.median(_fsync_times(_nearest_existing(folder)))
    except OSError as error:
        return Check("fsync", "warning", f"not measured: {error.strerror}")
    found = f"{middle:.2f} ms a write (median of {FSYNCS})"
    if middle > SLOW_FSYNC_MS:
        return Check("fsync", "warning", f"{found}; every acknowledged run waits for one")
    return Check("fsync", "ok", found)


def _fsync_times(folder: Path) -> Iterator[float]:
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(FSYNCS):
            file.write(b"\0" * 4096)
            file.flush()
            begun = time.perf_counter()
            os.fsync(file.fileno())
            yield (time.perf_counter() - begun) * 1000


def _server(connect: Callable[[], Client]) -> Iterator[Check]:
    with connect() as client:
        try:
            begun = time.perf_counter()
            info = client.info()
            took = (time.perf_counter() - begun) * 1000
        except Error as error:
            yield Check("server", "failed", error.message, exits.of_error(error))
            return
        yield Check("server", "ok", f"{client.url} version {info.get('version')}, answered in {took:.0f} ms")
        for worker in info.get("workers") or []:
            yield _worker(worker)


def _worker(worker: dict[str, object]) -> Check:
    name = f"worker {worker.get('executor') or worker.get('name')}"
    found = f"{worker.get('active')} of {worker.get('capacity')} places taken"
    trouble = worker.get("trouble")
    return Check(name, "failed", f"{found}; {trouble}", exits.FAILED) if trouble else Check(name, "ok", found)
