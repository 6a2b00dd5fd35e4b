"""Which folders and URLs a file trigger may look at, and what is new there. Everything here may block."""

from __future__ import annotations

import fnmatch
import http.client
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from runyard.core.errors import invalid
from runyard.core.triggers import FileArrival
from runyard.net import addresses, connect

MAX_ENTRIES = 200_000
"""How many files one look at a folder goes through."""
TIMEOUT_SECONDS = 10.0


class Gone(Exception):
    """What was watched cannot be watched any more; the message is one sentence."""


class Arrived(msgspec.Struct, frozen=True):
    """What a look found: names, and what the trigger must remember so that they are not found again."""

    names: list[str]
    memory: dict[str, Any]


class Folders:
    """The folders that may be watched."""

    def __init__(self, allowed: Sequence[Path] = (), *, allow_private_urls: bool = False) -> None:
        self._allowed = [os.path.realpath(one) for one in allowed]
        self._private = allow_private_urls

    def check(self, source: FileArrival, field: str = "source.location") -> None:
        """Refuses (invalid) a folder that is none, or lies elsewhere, and a URL that can never be used."""
        try:
            if is_url(source.location):
                addresses.split(source.location)
            else:
                self.real(source.location)
        except (addresses.Refused, Gone) as error:
            raise invalid(str(error), field=field) from None

    def real(self, location: str) -> str:
        """The folder that a path leads to; raises `Gone`."""
        path = os.path.realpath(location)
        if not any(path == one or path.startswith(f"{one}{os.sep}") for one in self._allowed):
            raise Gone(
                f"The folder {location} lies below none of the allowed paths; the setting allowed_paths opens it."
            )
        if not os.path.isdir(path):
            raise Gone(f"There is no folder {location} on this server.")
        return path

    def look(self, source: FileArrival, memory: dict[str, Any], since: int) -> Arrived:
        """What is new since the last look, or at the first one since a moment in milliseconds; raises `Gone`.

        Raises OSError for trouble that may pass.
        """
        if is_url(source.location):
            return self._url(source.location, memory)
        return _folder(self.real(source.location), source.pattern, memory, since)

    def _url(self, url: str, memory: dict[str, Any]) -> Arrived:
        try:
            tag = _tag(url, allow_private=self._private)
        except addresses.Refused as error:
            raise Gone(str(error)) from None
        known = memory.get("tag")
        changed = known is not None and bool(tag) and tag != known
        return Arrived([url] if changed else [], {"tag": tag or known or ""})


def is_url(location: str) -> bool:
    """Whether it is a URL and not a folder."""
    return location.startswith(("http://", "https://"))


# --- a folder ---------------------------------------------------------------------------------------------


def _folder(folder: str, pattern: str, memory: dict[str, Any], since: int) -> Arrived:
    """Files whose inode changed after the mark: written, renamed or moved here, also while no server ran.

    The mark is the newest such moment (in ns) that was seen. Moments are coarse, so what was seen at the mark
    itself is remembered by name.
    """
    mark, at_mark = memory.get("mark", since * 1_000_000), set(memory.get("at_mark", ()))
    found: list[tuple[int, str]] = []
    for name, changed in _files(folder, pattern):
        if changed > mark or (changed == mark and name not in at_mark):
            found.append((changed, name))
    if not found:
        return Arrived([], {"mark": mark, "at_mark": sorted(at_mark)})
    found.sort()
    newest = found[-1][0]
    last = {name for changed, name in found if changed == newest} | (at_mark if newest == mark else set())
    return Arrived([name for _, name in found], {"mark": newest, "at_mark": sorted(last)})


def _files(folder: str, pattern: str) -> Iterator[tuple[str, int]]:
    """(path below the folder, moment of the inode's last change in ns); links are not followed."""
    left = MAX_ENTRIES
    for place, folders, names in os.walk(folder):
        left -= len(names) + len(folders)
        if left < 0:
            raise Gone(f"The folder {folder} holds more than {MAX_ENTRIES} files; watch a smaller one.")
        for name in fnmatch.filter(names, pattern):
            path = os.path.join(place, name)
            try:
                yield os.path.relpath(path, folder), os.lstat(path).st_ctime_ns
            except FileNotFoundError:  # gone since it was listed
                continue


# --- a URL ------------------------------------------------------------------------------------------------


def _tag(url: str, *, allow_private: bool) -> str:
    """What tells one content of a URL from another; empty while there is none. Raises OSError."""
    status, headers = _asked("HEAD", url, allow_private=allow_private)
    if status in (405, 501):
        status, headers = _asked("GET", url, allow_private=allow_private)
    if status in (404, 410):
        return ""
    if not 200 <= status < 300:
        raise OSError(f"{url} answered {status}")
    told = [headers.get(name, "") for name in ("etag", "last-modified", "content-length", "content-range")]
    if not any(told):
        raise Gone(f"{url} gives neither ETag nor Last-Modified nor Content-Length: a change cannot be seen.")
    return "|".join(told)


def _asked(method: str, url: str, *, allow_private: bool) -> tuple[int, dict[str, str]]:
    parts = addresses.split(url)
    connection = connect.pinned(parts, addresses.resolve(parts, allow_private=allow_private), TIMEOUT_SECONDS)
    try:
        connection.request(method, connect.target(parts), headers={"User-Agent": "runyard", "Range": "bytes=0-0"})
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}
    except http.client.HTTPException as error:
        raise OSError(f"{url} answered nonsense: {error or type(error).__name__}") from None
    finally:
        connection.close()
