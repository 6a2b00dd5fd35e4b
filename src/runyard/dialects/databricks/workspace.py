"""The workspace's files: notebooks and others, real files below the data folder.

A notebook is a file whose first line says so (`# Databricks notebook source`) or that ends in .ipynb; it is shown
without its ending, as the service does.
"""

from __future__ import annotations

import base64
import os
import re
from pathlib import Path
from typing import Any

from runyard.core.errors import RunyardError, invalid
from runyard.dialects.databricks import files, parse, paths, serve
from runyard.dialects.databricks.files import truth
from runyard.dialects.databricks.serve import Given, Place, done
from runyard.dialects.databricks.tables import HEADERS, NOTEBOOK_LANGUAGES
from runyard.http.answers import Whole, answer
from runyard.http.card import Answer, Route
from runyard.http.request import Request, offload

_ENDINGS = {".py": "PYTHON", ".sql": "SQL", ".scala": "SCALA", ".r": "R", ".ipynb": "PYTHON"}
_FIELD = re.compile(rb'name="([^"]*)"')
MAX_BYTES = 10 * 1024 * 1024


class WorkspaceRoutes:
    """Handlers of the workspace's files."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._root = Path(place.roots.workspace)

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        read, write = "data:read", "data:write"
        return (
            *serve.routes("POST", "/workspace/import", write, self.import_),
            *serve.routes("GET", "/workspace/export", read, self.export),
            *serve.routes("GET", "/workspace/get-status", read, self.get_status),
            *serve.routes("POST", "/workspace/mkdirs", write, self.mkdirs),
            *serve.routes("POST", "/workspace/delete", write, self.delete),
            *serve.routes("GET", "/workspace/list", read, self.list_),
        )

    async def import_(self, request: Request) -> Answer:
        """POST workspace/import, as JSON or as a form with the file's bytes"""
        given = await _import_form(request)
        await offload(files.guarded, self._import, given)
        return done()

    async def export(self, request: Request) -> Answer:
        """GET workspace/export"""
        given = parse.query(request.scope["query_string"])
        data, kind = await offload(self._export, given)
        if truth(given.get("direct_download")):
            return Whole(data, "application/octet-stream")
        return answer({"content": base64.b64encode(data).decode(), "file_type": kind})

    async def get_status(self, request: Request) -> Answer:
        """GET workspace/get-status"""
        given = parse.query(request.scope["query_string"])
        return answer(await offload(lambda: self._shown(self._existing(given))))

    async def mkdirs(self, request: Request) -> Answer:
        """POST workspace/mkdirs"""
        given = await serve.body(request)
        await offload(files.guarded, self._mkdirs, given)
        return done()

    async def delete(self, request: Request) -> Answer:
        """POST workspace/delete"""
        given = await serve.body(request)
        await offload(files.guarded, self._delete, given)
        return done()

    async def list_(self, request: Request) -> Answer:
        """GET workspace/list"""
        given = parse.query(request.scope["query_string"])
        shown = await offload(self._list, given)
        return answer({"objects": shown} if shown else {})

    # --- on the disk ---

    def _at(self, given: Given) -> Path:
        return Path(paths.workspace(self._place.roots, str(parse.need(given, "path"))))

    def _existing(self, given: Given) -> Path:
        path = self._at(given)
        found = existing(path)
        if found is None and path == self._root:
            path.mkdir(parents=True, exist_ok=True)
            return path
        if found is None:
            raise _missing(given["path"])
        return found

    def _import(self, given: Given) -> dict[str, Any]:
        path, form = self._at(given), str(given.get("format", "SOURCE")).upper()
        data = given["bytes"] if "bytes" in given else base64.b64decode(str(given.get("content", "")))
        if len(data) > MAX_BYTES:
            raise invalid(f"The content may have {MAX_BYTES} bytes.", error_code="MAX_NOTEBOOK_SIZE_EXCEEDED")
        target, data = _notebook(path, form, str(given.get("language", "")).upper(), data)
        old = existing(path) if target.suffix != path.suffix else (target if target.exists() else None)
        if old is not None and not truth(given.get("overwrite")):
            raise _taken(given["path"])
        if old is not None and old.is_dir():
            raise _taken(given["path"])
        target.parent.mkdir(parents=True, exist_ok=True)
        if old is not None and old != target:
            old.unlink()
        target.write_bytes(data)
        return {}

    def _export(self, given: Given) -> tuple[bytes, str]:
        path = self._existing(given)
        if path.is_dir():
            raise invalid(f"{given['path']} is a folder, and only files can be exported here.")
        return path.read_bytes(), path.suffix.removeprefix(".")

    def _mkdirs(self, given: Given) -> dict[str, Any]:
        path = self._at(given)
        if path.is_file():
            raise _taken(given["path"])
        path.mkdir(parents=True, exist_ok=True)
        return {}

    def _delete(self, given: Given) -> dict[str, Any]:
        path = self._existing(given)
        files.remove(path, given["path"], recursive=truth(given.get("recursive")), root=self._place.roots.workspace)
        return {}

    def _list(self, given: Given) -> list[dict[str, Any]]:
        path = self._existing(given)
        entries = sorted(path.iterdir()) if path.is_dir() else [path]
        return [self._shown(one) for one in entries]

    def _shown(self, path: Path) -> dict[str, Any]:
        stat, name = path.stat(), os.path.relpath(path, self._root)
        shown: dict[str, Any] = {
            "path": "/" if name == "." else f"/{name}",
            "object_type": "DIRECTORY" if path.is_dir() else "FILE",
            "object_id": stat.st_ino,
            "created_at": round(stat.st_ctime * 1000),
            "modified_at": round(stat.st_mtime * 1000),
        }
        if path.is_file():
            shown["size"] = stat.st_size
            if is_notebook(path):
                shown |= {"object_type": "NOTEBOOK", "language": _ENDINGS[path.suffix.lower()]}
                shown["path"] = f"/{os.path.relpath(path.with_suffix(''), self._root)}"
        return shown


def _missing(path: str) -> RunyardError:
    return invalid(f"Path ({path}) doesn't exist.", error_code="RESOURCE_DOES_NOT_EXIST", status=404)


def _taken(path: str) -> RunyardError:
    return invalid(f"Path ({path}) already exists.", error_code="RESOURCE_ALREADY_EXISTS")


def existing(path: Path) -> Path | None:
    """The file or folder at a path, or the notebook of that name."""
    if path.exists():
        return path
    notebooks = (path.with_name(path.name + ending) for ending in _ENDINGS)
    return next((one for one in notebooks if one.is_file()), None)


def is_notebook(path: Path) -> bool:
    """Whether a file is a notebook: by its ending, or its first line."""
    ending = path.suffix.lower()
    if ending == ".ipynb":
        return True
    if ending not in _ENDINGS:
        return False
    with open(path, "rb") as file:
        first = file.read(200).split(b"\n")[0].strip()
    return first.endswith(b"Databricks notebook source")


def _notebook(path: Path, form: str, language: str, data: bytes) -> tuple[Path, bytes]:
    """Where an import goes and what is written: a source in a language is a notebook, and gets its first line."""
    if form == "JUPYTER" or (form == "AUTO" and path.suffix == ".ipynb"):
        return (path if path.suffix == ".ipynb" else path.with_name(f"{path.name}.ipynb")), data
    if form in ("AUTO", "RAW"):
        return path, data
    if form != "SOURCE":
        raise invalid(f"The format {form} cannot be imported here; use SOURCE, JUPYTER, AUTO or RAW.")
    if language not in NOTEBOOK_LANGUAGES:
        raise invalid(f"The format SOURCE needs a language: one of {', '.join(NOTEBOOK_LANGUAGES)}.")
    ending = NOTEBOOK_LANGUAGES[language]
    header = HEADERS.get(ending)
    if header and not data.startswith(header.encode()):
        data = f"{header}\n".encode() + data
    return (path if path.suffix == f".{ending}" else path.with_name(f"{path.name}.{ending}")), data


async def _import_form(request: Request) -> Given:
    kind = request.header(b"content-type") or ""
    if not kind.startswith("multipart/form-data"):
        return await serve.body(request)
    parts = form_parts(await request.whole(), kind)
    given: Given = {name: data.decode("utf-8", "replace") for name, data in parts.items() if name != "content"}
    given["bytes"] = parts.get("content", b"")
    return given


def form_parts(data: bytes, content_type: str) -> dict[str, bytes]:
    """The fields of a multipart form (RFC 7578), each as its bytes."""
    boundary = content_type.partition("boundary=")[2].split(";")[0].strip('"')
    if not boundary:
        raise parse.malformed("The form has no boundary.")
    found: dict[str, bytes] = {}
    for part in (b"\r\n" + data).split(b"\r\n--" + boundary.encode("latin-1"))[1:]:
        head, _, content = part.partition(b"\r\n\r\n")
        name = _FIELD.search(head)
        if name is not None:
            found[name[1].decode("utf-8", "replace")] = content
    return found
