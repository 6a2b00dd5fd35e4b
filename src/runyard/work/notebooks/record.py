"""The record of a notebook: one JSON file in the attempt's folder, written anew as the cells go by."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import msgspec

from runyard.work.notebooks.cells import Cell

NAME = "notebook.json"
MAX_BYTES = 20 * 1024 * 1024
"""Outputs beyond this are not kept; the log has the text of all of them."""
PIECE = 64 * 1024
"""Text goes on in a further output after so much, so that a line more never copies much."""
_EVERY_SECONDS = 1.0


class Record:
    """{"name", "language", "parameters", "cells": [{"kind", "title", "source", "state", "outputs", "error"?,
    "started_at"?, "ended_at"?}], "result"?}; a cell's state is waiting, running, done, failed or skipped."""

    def __init__(self, folder: str, about: dict[str, Any], cells: list[Cell]) -> None:
        self._path = os.path.join(folder, NAME)
        self._book: dict[str, Any] = {
            **about,
            "cells": [
                {"kind": one.kind, "title": one.title, "source": one.shown, "state": "waiting", "outputs": []}
                for one in cells
            ],
        }
        self._present: dict[str, Any] = {"outputs": []}
        self._size = 0
        self._written = 0.0
        self._owner = os.getpid()
        self._lock = threading.RLock()

    def begin(self, number: int) -> None:
        """The cell with this number, from 0, runs now."""
        self._present = self._book["cells"][number]
        self._present |= {"state": "running", "started_at": _now()}
        self.write()

    def end(self, state: str, error: dict[str, Any] | None = None) -> None:
        """The present cell is over."""
        self._present |= {"state": state, "ended_at": _now()}
        if error is not None:
            self._present["error"] = error
        self.write()

    def close(self, result: str | None) -> None:
        """Nothing more runs."""
        for cell in self._book["cells"]:
            if cell["state"] == "waiting":
                cell["state"] = "skipped"
        if result is not None:
            self._book["result"] = result
        self.write()

    def add(self, output: dict[str, Any]) -> None:
        """One more output of the present cell."""
        output = {name: _sayable(value) for name, value in output.items()}
        size = sum(len(value) for value in output.values())
        if self._size + size > MAX_BYTES:
            output = {"kind": "text", "name": "stderr", "text": f"(an output of {size} characters is not kept)\n"}
        else:
            self._size += size
        with self._lock:
            self._present["outputs"].append(output)
        self._soon()

    def say(self, name: str, text: str) -> None:
        """Text that the present cell wrote to `stdout` or `stderr`."""
        text, outputs = _sayable(text), self._present["outputs"]
        last = outputs[-1] if outputs else {}
        if last.get("kind") != "text" or last.get("name") != name or len(last["text"]) > PIECE:
            return self.add({"kind": "text", "name": name, "text": text})
        if self._size + len(text) <= MAX_BYTES:
            self._size += len(text)
            last["text"] += text
        return self._soon()

    def _soon(self) -> None:
        if time.monotonic() - self._written >= _EVERY_SECONDS:
            self.write()

    def write(self) -> None:
        """The file as of now: whole, whoever reads it meanwhile."""
        if os.getpid() != self._owner:  # a process that the notebook forked knows only its own part
            return
        with self._lock:
            self._written = time.monotonic()
            with open(f"{self._path}.new", "wb") as file:
                file.write(msgspec.json.encode(self._book))
            os.rename(f"{self._path}.new", self._path)


def _sayable(text: str) -> str:
    """The text without halves of characters, which JSON cannot hold."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _now() -> int:
    return time.time_ns() // 1_000_000
