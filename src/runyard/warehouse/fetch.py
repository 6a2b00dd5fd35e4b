"""Makes the source of a load a local file: checks a path, or runs the downloader for a URL."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from runyard.warehouse import objects
from runyard.warehouse.download import Request
from runyard.warehouse.failures import LoadFailed
from runyard.warehouse.settings import Settings
from runyard.warehouse.tasks import Task
from runyard.warehouse.unpack import packing, unpack

_ENDINGS = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".json": "ndjson"}
_ENDINGS |= {".parquet": "parquet", ".pq": "parquet"}
_TYPES = {"csv": "csv", "ndjson": "ndjson", "jsonl": "ndjson", "json-seq": "ndjson", "json": "ndjson"}
_PACKED = (".gz", ".zst")
_UPLOAD = "upload:"
_ID = re.compile(r"[0-9a-f]{32}")


class Source(msgspec.Struct):
    """A local file to load from; `temporary` ones are removed after it."""

    path: Path
    format: str
    size: int
    """Bytes as they came."""
    temporary: bool = False
    seconds: float = 0.0
    packed: str = ""
    """`gzip` or `zstd`: how it came. The file is plain by now."""
    unpacked: int = 0
    """Bytes of the plain file."""
    most: int = 0
    """So many bytes may come out of it."""


def plain(source: Source, settings: Settings, task: Task) -> Source:
    """The source unpacked, with its format told; raises `LoadFailed`, and then the file is removed."""
    source.unpacked, source.most = source.size, settings.download_bytes
    try:
        source.packed = packing(source.path)
        if source.packed:
            _unpack(source, settings, task)
        if source.format == "auto":
            source.format = _seen(source.path)
    except BaseException:
        source.path.unlink(missing_ok=True)
        raise
    return source


def _unpack(source: Source, settings: Settings, task: Task) -> None:
    to = source.path.with_suffix(".plain")
    try:
        limits = {"most": settings.download_bytes, "ratio": settings.unpack_ratio}
        source.unpacked = unpack(source.path, to, source.packed, check=task.check, **limits)
        to.replace(source.path)
    finally:
        to.unlink(missing_ok=True)


def _seen(path: Path) -> str:
    """The format of a file that nothing else tells, by how it begins."""
    with path.open("rb") as file:
        head = file.read(4096).lstrip()
    return "parquet" if head.startswith(b"PAR1") else "ndjson" if head.startswith(b"{") else "csv"


def is_upload(source: str) -> bool:
    """Whether a source is a body that a caller sent."""
    return source.startswith(_UPLOAD)


def upload_path(source: str, settings: Settings) -> Path:
    """Where an upload lies; raises `LoadFailed` for what cannot be one."""
    name = source.removeprefix(_UPLOAD)
    if not _ID.fullmatch(name):
        raise LoadFailed(f"{source} is no upload: an upload's id has 32 hexadecimal digits.")
    return Path(settings.uploads) / name


def uploaded(source: str, wanted: str, spool: Path, settings: Settings, task: Task) -> Source:
    """An upload, which stays until its load has committed; raises `LoadFailed` when it is gone."""
    path = upload_path(source, settings)
    if not path.is_file():
        raise LoadFailed(f"There is no {source} any more: uploads are kept until they are loaded, a day at most.")
    return Source(_brought(path, spool, task), wanted, path.stat().st_size, temporary=True)


def placed(source: str, wanted: str, spool: Path, settings: Settings, task: Task) -> Source:
    """An object in the folder that stands for a service; raises `LoadFailed`."""
    path = objects.local(source, settings.objects)
    if not path.is_file():
        raise LoadFailed(f"There is no object {source}.")
    return Source(_brought(path, spool, task), _format(wanted, path.name, ""), path.stat().st_size, temporary=True)


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
    inside = _place(spool, task)
    inside.unlink(missing_ok=True)
    try:
        os.link(path, inside)
    except OSError:
        shutil.copyfile(path, inside)
    return inside


def _place(spool: Path, task: Task) -> Path:
    """A path of the attempt's own."""
    return spool / f"{task.assignment.task_run_id}-{task.assignment.token}.data"


def download(
    source: str,
    wanted: str,
    spool: Path,
    settings: Settings,
    task: Task,
    tell: Callable[[dict[str, Any]], None],
    service: objects.S3 | None = None,
) -> Source:
    """Fetches a URL into the spool folder; raises `LoadFailed`, or `Stopped` when the task was."""
    name = Path(urlsplit(source).path).name
    path = _place(spool, task)
    began = time.monotonic()
    request = Request(
        url=source,
        path=str(path),
        allow_private=settings.allow_private_urls,
        max_bytes=settings.download_bytes,
        max_seconds=settings.download_seconds,
        read_seconds=settings.read_seconds,
        s3=service if objects.is_object(source) else None,
    )
    try:
        done = _run(request, task, tell)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return Source(path, _format(wanted, name, done["content_type"]), done["bytes"], True, time.monotonic() - began)


def _run(request: Request, task: Task, tell: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    command = [sys.executable, "-m", "runyard.warehouse.download"]
    last: dict[str, Any] = {}
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=True)
    with child, task.ended_by(child.kill):
        assert child.stdin is not None
        assert child.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it was ended already
            child.stdin.write(msgspec.json.encode(request))
            child.stdin.close()
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
    """The format that was asked for, else by the name's ending, else by the content type, else `auto`."""
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
    return "parquet" if "parquet" in kind else _TYPES.get(kind, "auto")
