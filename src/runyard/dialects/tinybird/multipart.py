"""A multipart body as it streams in: small fields are collected, the one file goes on piece by piece."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from runyard.core.errors import invalid

_BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,200})"|([^;\s]{1,200}))', re.IGNORECASE)
_FIELD = re.compile(r'\bname="([^"]*)"', re.IGNORECASE)
_PATH = re.compile(r'\bfilename="([^"]*)"', re.IGNORECASE)
_FILE = re.compile(r'\bfilename="', re.IGNORECASE)
_MAX_HEAD = 16_384
_MAX_FIELD = 1 << 20
FILES = ("csv", "ndjson", "parquet", "file", "data")
"""Parts that are files whether they say a file name or not."""


class Multipart:
    """Reads the fields that stand before the first file; `file` then streams that. One file a body."""

    def __init__(self, content_type: str, source: AsyncIterator[bytes]) -> None:
        found = _BOUNDARY.search(content_type)
        if found is None:
            raise invalid("The multipart body's Content-Type names no boundary.")
        self._mark = b"\r\n--" + (found.group(1) or found.group(2)).encode()
        self._source = source
        self._buffer = b"\r\n"
        self.fields: dict[str, str] = {}
        self.file_name: str | None = None
        """The name of the part that is the file; None when there is none."""

    async def _more(self) -> bool:
        async for piece in self._source:
            self._buffer += piece
            return True
        return False

    async def _until(self, mark: bytes, most: int) -> bytes:
        """What stands before a mark, which is taken too."""
        while (at := self._buffer.find(mark)) < 0:
            if len(self._buffer) > most:
                raise invalid(f"A part of the multipart body is larger than {most} bytes.")
            if not await self._more():
                raise invalid("The multipart body ends too early.")
        found, self._buffer = self._buffer[:at], self._buffer[at + len(mark) :]
        return found

    async def begin(self) -> None:
        """Reads up to the first file, or to the end."""
        await self._until(self._mark, _MAX_HEAD)
        while not await self._last():
            head = (await self._until(b"\r\n\r\n", _MAX_HEAD)).decode("utf-8", "replace")
            name = _FIELD.search(head)
            label = name.group(1) if name else ""
            if _FILE.search(head) or label in FILES:
                self.file_name = label
                return
            self.fields[label] = (await self._until(self._mark, _MAX_FIELD)).decode("utf-8", "replace")

    async def parts(self) -> AsyncIterator[tuple[str, bytes]]:
        """Head and content of each part, one after the other."""
        await self._until(self._mark, _MAX_HEAD)
        while not await self._last():
            head = (await self._until(b"\r\n\r\n", _MAX_HEAD)).decode("utf-8", "replace")
            yield head, await self._until(self._mark, _MAX_FIELD)

    async def _last(self) -> bool:
        while len(self._buffer) < 2:
            if not await self._more():
                raise invalid("The multipart body ends too early.")
        return self._buffer.startswith(b"--")

    async def file(self) -> AsyncIterator[bytes]:
        """The file's bytes; raises `invalid` when the body ends before the file does."""
        keep = len(self._mark) - 1
        while (at := self._buffer.find(self._mark)) < 0:
            if len(self._buffer) > keep:
                piece, self._buffer = self._buffer[:-keep], self._buffer[-keep:]
                yield piece
            if not await self._more():
                raise invalid("The multipart body ends before its file does.")
        piece, self._buffer = self._buffer[:at], self._buffer[at + len(self._mark) :]
        if piece:
            yield piece
        await self._rest()

    async def _rest(self) -> None:
        """Fields that come after the file."""
        while not await self._last():
            head = (await self._until(b"\r\n\r\n", _MAX_HEAD)).decode("utf-8", "replace")
            name = _FIELD.search(head)
            if _FILE.search(head):
                raise invalid("A request takes one file; this one has two.")
            value = await self._until(self._mark, _MAX_FIELD)
            self.fields[name.group(1) if name else ""] = value.decode("utf-8", "replace")


async def files(content_type: str, source: AsyncIterator[bytes]) -> list[tuple[str, str, bytes]]:
    """All parts of a small body: name, file name, content."""
    reader, found = Multipart(content_type, source), []
    async for head, content in reader.parts():
        name, path = _FIELD.search(head), _PATH.search(head)
        found.append((name.group(1) if name else "", path.group(1) if path else "", content))
    return found
