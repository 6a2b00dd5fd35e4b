"""Named files that an attempt leaves in its folder `artifacts`, and its `export.html`, which is made when asked for."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import msgspec

from runyard.core.actions import Dbt, Notebook, Python, Shell, Wheel
from runyard.core.errors import Code, RunyardError
from runyard.core.launch import ARTIFACTS, CLAIM, LOG, TREE, WORK, decode_claim
from runyard.executors import export

EXPORT, RECORD = "export.html", "notebook.json"
MAX_BYTES = 64 * 1024 * 1024
SCRIPT_BYTES = 1024 * 1024
LOG_BYTES = 5 * 1024 * 1024
"""How much of the end of a log stands in an export."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def read(folder: Path, name: str) -> bytes | None:
    """The file's bytes, or None where there is none; raises too_large over 64 MiB."""
    if not _NAME.fullmatch(name):
        return None
    if name == EXPORT:
        return _export(folder)
    try:
        return _kept(folder, name)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _kept(folder: Path, name: str) -> bytes | None:
    # No link is followed: the attempt may have put one there.
    within = os.open(folder / ARTIFACTS, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=within)
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                raise
            return None
    finally:
        os.close(within)
    about = os.fstat(fd)
    if not stat.S_ISREG(about.st_mode):
        os.close(fd)
        return None
    with open(fd, "rb") as file:
        if about.st_size > MAX_BYTES:
            said = f"The artifact {name} has {about.st_size} bytes; {MAX_BYTES} are the most that is read."
            raise RunyardError(Code.TOO_LARGE, said)
        return file.read(MAX_BYTES)


def _export(folder: Path) -> bytes | None:
    try:
        action = decode_claim((folder / CLAIM).read_bytes()).action
    except FileNotFoundError:
        return None
    if isinstance(action, Notebook):
        kept = read(folder, RECORD)
        return export.document(msgspec.json.decode(kept)) if kept is not None else None
    return export.document(_program(folder, action))


def _script(folder: Path, file: str) -> str | None:
    """The text of a program on the server, or in the attempt's checkout, as it is now; None if it cannot be shown."""
    try:
        fd = os.open(folder / WORK / TREE / file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        return None
    with open(fd, "rb") as opened:
        return opened.read(SCRIPT_BYTES).decode("utf-8", "replace")


def _program(folder: Path, action: object) -> export.Book:
    """A program and what it wrote, as a notebook of one cell."""
    source, kind = "", "python"
    if isinstance(action, Python):
        script = _script(folder, action.file) if action.file else None
        source = action.source or script or action.file or f"python -m {action.module}"
    elif isinstance(action, Dbt):
        kind, source = "shell", "\n".join(action.commands)
    elif isinstance(action, Wheel):
        source = " ".join([f"{action.package} {action.entry_point}", *action.arguments])
    elif isinstance(action, Shell):
        kind = "shell"
        source = action.command if isinstance(action.command, str) else " ".join(action.command)
    try:
        with open(folder / LOG, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - LOG_BYTES))
            text = file.read(LOG_BYTES).decode("utf-8", "replace")
    except FileNotFoundError:
        text = ""
    outputs = [{"kind": "text", "name": "stdout", "text": text}] if text else []
    cell = {"kind": kind, "title": "", "source": source, "state": "done", "outputs": outputs}
    return {"name": "task", "language": kind, "cells": [cell]}
