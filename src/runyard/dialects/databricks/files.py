"""DBFS: files below the data folder, as the service's calls read and write them."""

from __future__ import annotations

import base64
import binascii
import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runyard.core.errors import RunyardError, invalid
from runyard.dialects.databricks import parse, paths, serve
from runyard.dialects.databricks.serve import Given, Place, done
from runyard.http.answers import answer
from runyard.http.card import Answer, Route
from runyard.http.request import Request, offload

BLOCK = 1024 * 1024
"""The most that one call reads or writes (published)."""
MAX_HANDLES = 1000


def missing(path: str) -> RunyardError:
    """There is nothing at the path."""
    said = f"No file or directory exists on path {path}."
    return invalid(said, error_code="RESOURCE_DOES_NOT_EXIST", status=404)


def taken(path: str) -> RunyardError:
    """There is something at the path already."""
    return invalid(f"A file or directory already exists at the path {path}.", error_code="RESOURCE_ALREADY_EXISTS")


class DbfsRoutes:
    """Handlers of DBFS."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._handles: dict[int, Path] = {}
        self._next = itertools.count(1)

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        read, write = "data:read", "data:write"
        verbs: list[tuple[str, str, str, Callable[[Given], dict[str, Any]]]] = [
            ("POST", "put", write, self._put),
            ("POST", "create", write, self._create),
            ("POST", "add-block", write, self._add_block),
            ("POST", "close", write, self._close),
            ("POST", "mkdirs", write, self._mkdirs),
            ("POST", "delete", write, self._delete),
            ("POST", "move", write, self._move),
            ("GET", "read", read, self._read),
            ("GET", "get-status", read, self._status),
            ("GET", "list", read, self._list),
        ]
        return tuple(
            route
            for method, name, scope, work in verbs
            for route in serve.routes(method, f"/dbfs/{name}", scope, _handler(method, work))
        )

    def _at(self, given: Given, name: str = "path") -> Path:
        return Path(paths.dbfs(self._place.roots, str(parse.need(given, name))))

    def _put(self, given: Given) -> dict[str, Any]:
        path = self._at(given)
        _make_room(path, given)
        path.write_bytes(block(given.get("contents", "")))
        return {}

    def _create(self, given: Given) -> dict[str, Any]:
        path = self._at(given)
        if len(self._handles) >= MAX_HANDLES:
            raise invalid("Too many files are open; close some.", error_code="RESOURCE_EXHAUSTED")
        _make_room(path, given)
        path.write_bytes(b"")
        handle = next(self._next)
        self._handles[handle] = path
        return {"handle": handle}

    def _add_block(self, given: Given) -> dict[str, Any]:
        with open(self._handle(given), "ab") as file:
            file.write(block(given.get("data", "")))
        return {}

    def _close(self, given: Given) -> dict[str, Any]:
        self._handle(given)
        del self._handles[int(given["handle"])]
        return {}

    def _handle(self, given: Given) -> Path:
        text = str(parse.need(given, "handle"))
        path = self._handles.get(int(text)) if text.isdigit() else None
        if path is None:
            raise invalid(f"There is no open handle {text}.", error_code="RESOURCE_DOES_NOT_EXIST", status=404)
        return path

    def _mkdirs(self, given: Given) -> dict[str, Any]:
        path = self._at(given)
        if path.is_file():
            raise taken(given["path"])
        path.mkdir(parents=True, exist_ok=True)
        return {}

    def _delete(self, given: Given) -> dict[str, Any]:
        path = self._at(given)
        remove(path, given["path"], recursive=truth(given.get("recursive")), root=self._place.roots.dbfs)
        return {}

    def _move(self, given: Given) -> dict[str, Any]:
        source, target = self._at(given, "source_path"), self._at(given, "destination_path")
        if not source.exists():
            raise missing(given["source_path"])
        if target.exists():
            raise taken(given["destination_path"])
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, target)
        return {}

    def _read(self, given: Given) -> dict[str, Any]:
        path = self._at(given)
        if not path.is_file():
            raise missing(given["path"])
        length = min(number(given, "length", BLOCK), BLOCK)
        with open(path, "rb") as file:
            file.seek(number(given, "offset", 0))
            data = file.read(length)
        return {"bytes_read": len(data), "data": base64.b64encode(data).decode()}

    def _status(self, given: Given) -> dict[str, Any]:
        path = self._at(given)
        if not path.exists():
            raise missing(given["path"])
        return self._shown(path)

    def _list(self, given: Given) -> dict[str, Any]:
        path = self._at(given)
        if not path.exists():
            raise missing(given["path"])
        entries = sorted(path.iterdir()) if path.is_dir() else [path]
        return {"files": [self._shown(one) for one in entries]} if entries else {}

    def _shown(self, path: Path) -> dict[str, Any]:
        stat, folder = path.stat(), path.is_dir()
        shown = os.path.relpath(path, self._place.roots.dbfs)
        return {
            "path": "/" if shown == "." else f"/{shown}",
            "is_dir": folder,
            "file_size": 0 if folder else stat.st_size,
            "modification_time": round(stat.st_mtime * 1000),
        }


def _handler(method: str, work: Callable[[Given], dict[str, Any]]) -> Callable[[Request], Any]:
    async def handle(request: Request) -> Answer:
        given = parse.query(request.scope["query_string"]) if method == "GET" else await serve.body(request)
        result = await offload(guarded, work, given)
        return answer(result) if result else done()

    return handle


def guarded(work: Callable[[Given], dict[str, Any]], given: Given) -> dict[str, Any]:
    """Does it; what the operating system refuses is the caller's mistake (a folder where a file should be)."""
    try:
        return work(given)
    except OSError as error:
        raise invalid(f"The path cannot be used: {error.strerror}.", error_code="IO_ERROR") from None


def block(text: Any) -> bytes:
    """The bytes of a base64 text, at most 1 MiB."""
    try:
        data = base64.b64decode(str(text), validate=True)
    except binascii.Error:
        raise parse.malformed("The data must be base64.") from None
    if len(data) > BLOCK:
        said = f"The maximum block size is {BLOCK} bytes; use create, add-block and close for more."
        raise invalid(said, error_code="MAX_BLOCK_SIZE_EXCEEDED")
    return data


def truth(value: Any) -> bool:
    """A truth value that may have come as text."""
    return str(value).lower() in ("true", "1")


def number(given: Given, name: str, default: int) -> int:
    """A number from 0 that may have come as text."""
    text = str(given.get(name, default))
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise invalid(f"{name} must be 0 or more; it is {text!r}.")
    return int(text)


def _make_room(path: Path, given: Given) -> None:
    if path.is_dir() or (path.exists() and not truth(given.get("overwrite"))):
        raise taken(given["path"])
    path.parent.mkdir(parents=True, exist_ok=True)


def remove(path: Path, shown: str, *, recursive: bool, root: str) -> None:
    """Removes a file or folder; nothing there is fine, as the service has it."""
    if str(path) == root:
        raise invalid("The root cannot be deleted.")
    if path.is_dir() and not path.is_symlink():
        if any(path.iterdir()) and not recursive:
            said = f"The folder {shown} is not empty; delete it with recursive."
            raise invalid(said, error_code="DIRECTORY_NOT_EMPTY")
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
