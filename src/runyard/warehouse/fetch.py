"""Makes the source of a load a local file: checks a path, or runs the downloader for a URL."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import msgspec

from runyard.warehouse import charset, objects
from runyard.warehouse.coming import Coming
from runyard.warehouse.download import Request
from runyard.warehouse.downloads import Downloads
from runyard.warehouse.failures import LoadFailed
from runyard.warehouse.pipes import Part
from runyard.warehouse.settings import Settings
from runyard.warehouse.tasks import Task
from runyard.warehouse.unpack import packing, unpack

_ENDINGS = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".json": "ndjson"}
_ENDINGS |= {".parquet": "parquet", ".pq": "parquet"}
_TYPES = {"csv": "csv", "ndjson": "ndjson", "jsonl": "ndjson", "json-seq": "ndjson", "json": "ndjson"}
_PACKED = (".gz", ".zst")
_TEXTS, _UTF8 = {"csv", "ndjson"}, {"utf-8", "utf-8-sig"}
_UPLOAD = "upload:"
_ID = re.compile(r"[0-9a-f]{32}")
_HEAD_BYTES = 32 * 1024**2
"""A file is read while it still comes once so much is there: more than the lines by which its shape is detected."""
_THREAD_PACE = 40e6
"""A thread of DuckDB's reads so many bytes of CSV a second at least (57 MB where this was measured)."""


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
    encoding: str = "utf-8"
    """How a text was written; the file is UTF-8 by now."""
    loose: bool = False
    """Whether a CSV reader has to take what the rules of CSV do not have."""
    in_one: bool = False
    """Whether it has to be read by one thread, from its start to its end."""
    parts: list[Part] = []
    """As which it is read, if it is large."""
    coming: Coming | None = None
    """The rest of the file is still on its way."""
    head: Path | None = None
    """The first lines of a file that is still on its way."""

    def opened(self, over: threading.Event) -> IO[bytes]:
        """The file. Its end is waited for, unless that is `over`."""
        return self.path.open("rb") if self.coming is None else self.coming.opened(over)

    def arrive(self) -> None:
        """Waits for the rest of the file; raises `LoadFailed` if it does not come."""
        if self.coming is not None:
            self.size = self.unpacked = self.coming.finish()
            self.seconds = self.coming.seconds

    def fraction(self) -> float | None:
        """How much of it was read, 0 to 1, if that can be told."""
        return sum(part.sent for part in self.parts) / self.unpacked if self.parts else None

    def remove(self) -> None:
        """Nothing of it is left here."""
        if self.coming is not None:
            self.coming.close()
        for path in (self.head, self.path if self.temporary else None):
            if path is not None:
                with contextlib.suppress(OSError):  # the load may have committed
                    path.unlink(missing_ok=True)


def plain(source: Source, settings: Settings, task: Task) -> Source:
    """The source unpacked, with its format told; raises `LoadFailed`, and then the file is removed."""
    source.unpacked, source.most = source.size, settings.download_bytes
    if source.coming is not None:
        return source
    try:
        source.packed = packing(source.path)
        if source.packed:
            _unpack(source, settings, task)
            if packing(source.path):
                raise LoadFailed("The file is packed twice; a load takes it plain, or packed once.")
        if source.format == "auto":
            source.format = _seen(source.path)
        if source.format in _TEXTS:
            _as_utf8(source, task)
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


def _as_utf8(source: Source, task: Task) -> None:
    given = getattr(task.assignment.action, "options", {}).get("encoding")
    source.encoding = charset.known(str(given)) if given else charset.detected(source.path)
    if source.encoding == "utf-8-sig" and source.format == "csv":
        source.encoding = "utf-8"  # that reader knows the mark itself
    if source.encoding == "utf-8":
        return
    to = source.path.with_suffix(".plain")
    try:
        charset.to_utf8(source.path, to, source.encoding, strict=bool(given), check=task.check)
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
    downloads: Downloads,
    service: objects.S3 | None = None,
) -> Source:
    """Fetches a URL into the spool folder; raises `LoadFailed`, or `Stopped` when the task was.

    Of a large CSV file the source is given as soon as its head is there.
    """
    path = _place(spool, task)
    request = Request(
        url=source,
        path=str(path),
        allow_private=settings.allow_private_urls,
        max_bytes=settings.download_bytes,
        max_seconds=settings.download_seconds,
        read_seconds=settings.read_seconds,
        s3=service if objects.is_object(source) else None,
    )
    coming = Coming(downloads.start(request), path, task, tell)
    try:
        encoding = str(getattr(task.assignment.action, "options", {}).get("encoding") or "").lower()
        pace = _THREAD_PACE * (settings.threads or os.cpu_count() or 1)
        return _arriving(coming, Path(urlsplit(source).path).name, wanted, encoding, pace)
    except BaseException:
        coming.close()
        path.unlink(missing_ok=True)
        raise


def _arriving(coming: Coming, name: str, wanted: str, encoding: str, pace: float) -> Source:
    """The file once it is there, or while it still comes if it can be read from its start to its end."""
    path = coming.path
    if coming.begins(_HEAD_BYTES, pace):
        kind = _format(wanted, name, coming.kind)
        plain = not packing(path) and charset.detected(path) in _UTF8 and encoding in ("", "utf-8")
        if plain and (kind if kind != "auto" else _seen(path)) == "csv":
            return Source(path, "csv", coming.total, temporary=True, coming=coming, head=_headed(path))
    size = coming.finish()
    coming.close()
    return Source(path, _format(wanted, name, coming.kind), size, temporary=True, seconds=coming.seconds)


def _headed(path: Path) -> Path:
    """A copy of the whole lines at the start of a file that is being written."""
    head = path.with_suffix(".head")
    with path.open("rb") as file:
        start = file.read(_HEAD_BYTES)
    head.write_bytes(start[: start.rfind(b"\n") + 1] or start)
    return head


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
