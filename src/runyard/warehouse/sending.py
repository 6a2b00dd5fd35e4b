"""Sends a file to a URL by one PUT, which is what a presigned URL of an object store takes.

The sending itself is done where downloads are: in a process of its own, through the same address check, connected to
the address that was checked. A redirect is not followed: it would take the rows to where nobody meant them.
"""

from __future__ import annotations

import contextlib
import http.client
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import msgspec

from runyard.net import addresses, connect
from runyard.warehouse.failures import LoadFailed

_CHUNK = 1 << 18
_TRIES = 3
AGAIN = {408, 425, 429, 500, 502, 503, 504}
"""Statuses with which a service asks to be asked again."""


class Send(msgspec.Struct, frozen=True, kw_only=True, tag="send"):
    """What to send, where to, and within which limits (seconds)."""

    url: str
    path: str
    content_type: str
    allow_private: bool
    max_seconds: float
    silent_seconds: float


class _Again(Exception):
    """The service asks to be asked again."""


def shown(url: str) -> str:
    """A URL for people: what signs it stands behind the question mark."""
    return urlsplit(url)._replace(query="", fragment="").geturl()


def check(url: str) -> None:
    """Raises `LoadFailed` for what is no http(s) URL; where its host lies is looked at when the file is sent."""
    try:
        addresses.split(url)
    except addresses.Refused as error:
        raise LoadFailed(str(error).replace(url, shown(url))) from None


def send(asked: Send, tell: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Sends the whole file; raises `LoadFailed`, or addresses.Refused."""
    until = time.monotonic() + asked.max_seconds
    for left in reversed(range(_TRIES)):
        try:
            return _once(asked, until, tell)
        except (_Again, OSError, http.client.HTTPException) as error:
            if not left:
                said = f"{shown(asked.url)} could not be sent to: {error or type(error).__name__}"
                raise LoadFailed(said, retry=True) from None
        time.sleep(0.2 * (_TRIES - left))
    raise AssertionError


def _once(asked: Send, until: float, tell: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    parts = addresses.split(asked.url)
    address = addresses.resolve(parts, allow_private=asked.allow_private)
    size = Path(asked.path).stat().st_size
    headers = {"Content-Type": asked.content_type, "Content-Length": str(size), "User-Agent": "runyard"}
    with (
        contextlib.closing(connect.pinned(parts, address, asked.silent_seconds)) as connection,
        open(asked.path, "rb") as file,
    ):
        try:
            connection.request("PUT", connect.target(parts), body=_pieces(file, size, until, tell), headers=headers)
        except (BrokenPipeError, ConnectionResetError):  # who refuses early says why
            with contextlib.suppress(OSError, http.client.HTTPException):
                return _taken(asked.url, connection.getresponse())
            raise
        return _taken(asked.url, connection.getresponse())


def _taken(url: str, response: http.client.HTTPResponse) -> dict[str, Any]:
    if 200 <= response.status < 300:
        return {"status": response.status}
    sentence = f"{shown(url)} answered {response.status} {response.reason}"
    if response.status in AGAIN:
        raise _Again(sentence)
    raise LoadFailed(f"{sentence}: an export takes a URL that answers a PUT by keeping its body.")


def _pieces(file: BinaryIO, size: int, until: float, tell: Callable[[dict[str, Any]], None]) -> Iterator[bytes]:
    sent = 0
    while piece := file.read(_CHUNK):
        if time.monotonic() > until:
            raise LoadFailed("Sending the file took too long.", retry=True)
        yield piece
        sent += len(piece)
        tell({"bytes": sent, "fraction": round(sent / size, 4)})
