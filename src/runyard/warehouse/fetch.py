"""Makes the source of a load a local file: checks a path, or runs the downloader for a URL."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from runyard.warehouse.download import Request
from runyard.warehouse.settings import Settings
from runyard.warehouse.tasks import Task

_ENDINGS = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".json": "ndjson"}
_ENDINGS |= {".parquet": "parquet", ".pq": "parquet"}
_TYPES = {"csv": "csv", "ndjson": "ndjson", "jsonl": "ndjson", "json-seq": "ndjson", "json": "ndjson"}
_PACKED = (".gz", ".zst")


class LoadFailed(Exception):
    """A load that cannot be done; nothing was changed. `retry` false: trying again cannot help."""

    def __init__(self, sentence: str, *, retry: bool = False) -> None:
        super().__init__(sentence)
        self.retry = retry


class Source(msgspec.Struct):
    """A local file to load from; `temporary` ones are removed after it."""

    path: Path
    format: str
    size: int
    temporary: bool = False
    seconds: float = 0.0


def is_url(source: str) -> bool:
    """Whether a source names a scheme; then it is never taken for a path."""
    return "://" in source


def local(source: str, wanted: str, spool: Path, settings: Settings, task: Task) -> Source:
    """A file below one of the allowed folders, symbolic links followed; raises `LoadFailed`.

    It gets a second name in the spool folder, the only one that DuckDB may read: were the folder itself
    allowed, SQL could read every file in it.
    """
    allowed = [Path(os.path.realpath(folder)) for folder in settings.allowed_paths]
    bases = [path for path in [Path(source)] if path.is_absolute()] or [folder / source for folder in allowed]
    for base in bases:
        path = Path(os.path.realpath(base))
        if any(path.is_relative_to(folder) for folder in allowed) and path.is_file():
            kind = _format(wanted, path.name, "")
            return Source(_brought(path, spool, task), kind, path.stat().st_size, temporary=True)
    raise LoadFailed(f"There is no file {source} below a folder that loads may read.")


def _brought(path: Path, spool: Path, task: Task) -> Path:
    """The file in the spool folder: a hard link, or a copy where that cannot be."""
    inside = _place(path.name, spool, task)
    inside.unlink(missing_ok=True)
    try:
        os.link(path, inside)
    except OSError:
        shutil.copyfile(path, inside)
    return inside


def _place(name: str, spool: Path, task: Task) -> Path:
    """A path of the attempt's own; the ending tells DuckDB how it is packed."""
    packed = next((ending for ending in _PACKED if name.lower().endswith(ending)), "")
    return spool / f"{task.assignment.task_run_id}-{task.assignment.token}.data{packed}"


def download(
    source: str, wanted: str, spool: Path, settings: Settings, task: Task, tell: Callable[[dict[str, Any]], None]
) -> Source:
    """Fetches a URL into the spool folder; raises `LoadFailed`, or `Stopped` when the task was."""
    name = Path(urlsplit(source).path).name
    path = _place(name, spool, task)
    began = time.monotonic()
    request = Request(
        url=source,
        path=str(path),
        allow_private=settings.allow_private_urls,
        max_bytes=settings.download_bytes,
        max_seconds=settings.download_seconds,
        read_seconds=settings.read_seconds,
    )
    try:
        done = _run(request, task, tell)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return Source(path, _format(wanted, name, done["content_type"]), done["bytes"], True, time.monotonic() - began)


def _run(request: Request, task: Task, tell: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    command = [sys.executable, "-m", "runyard.warehouse.download", msgspec.json.encode(request).decode()]
    last: dict[str, Any] = {}
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, close_fds=True)
    with child, task.ended_by(child.kill):
        assert child.stdout is not None
        for line in child.stdout:
            last = json.loads(line)
            if "bytes" in last:
                tell(_progress(last))
    task.check()
    if "failed" in last:
        raise LoadFailed(last["failed"], retry=last["retry"])
    if "done" not in last:
        raise LoadFailed(f"The downloader ended without a result (exit code {child.returncode}).", retry=True)
    done: dict[str, Any] = last["done"]
    return done


def _progress(line: dict[str, Any]) -> dict[str, Any]:
    data = {"message": "Downloading.", "bytes": line["bytes"]}
    if line["total"]:
        data["fraction"] = round(line["bytes"] / line["total"], 4)
    return data


def _format(wanted: str, name: str, content_type: str) -> str:
    """The format that was asked for, else by the name's ending, else by the content type, else CSV."""
    if wanted != "auto":
        return wanted
    bare = name.lower()
    for ending in _PACKED:
        bare = bare.removesuffix(ending)
    if (known := _ENDINGS.get(Path(bare).suffix)) is not None:
        return known
    kind = content_type.partition(";")[0].strip().lower().rpartition("/")[2].removeprefix("x-")
    if kind == "html":
        raise LoadFailed("The source is an HTML page, not a CSV, NDJSON or Parquet file.")
    return "parquet" if "parquet" in kind else _TYPES.get(kind, "csv")
