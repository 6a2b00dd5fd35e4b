"""The downloader: `python -m runyard.warehouse.download`, a child of the warehouse process.

Reads a `Request` as JSON from its standard input, since that may hold a secret, and streams one URL into a file; or a
`Send`, and streams a file to a URL.
Says on its standard output, one JSON object a line, how far it is, and at the end either {"done": ...} or
{"failed": sentence, "retry": bool}. It ends when nobody reads that any more.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import msgspec

from runyard.net import addresses, connect
from runyard.warehouse.failures import LoadFailed, is_full
from runyard.warehouse.objects import S3, get
from runyard.warehouse.sending import AGAIN, Send, send, shown

_CHUNK = 1 << 20
_TELL_SECONDS = 0.25
_REDIRECTS = 10
_RESUMES = 5


class Request(msgspec.Struct, frozen=True, kw_only=True, tag="fetch"):
    """What to fetch, where to, and within which limits (bytes, seconds)."""

    url: str
    path: str
    allow_private: bool
    max_bytes: int
    max_seconds: float
    read_seconds: float
    s3: S3 | None = None
    """The service, for a URL that is an object's."""


class Failure(Exception):
    """The download ends without a file."""

    def __init__(self, sentence: str, *, retry: bool) -> None:
        super().__init__(sentence)
        self.retry = retry


class Broken(Exception):
    """The connection ended too early; the rest may be had by asking again."""


class Download:
    """One URL on its way into one file."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.got = 0
        self.total: int | None = None
        self.kind = ""
        self._tag = ""
        self._again = 0
        """How often the file was begun anew, after a part of it had come."""
        self._until = time.monotonic() + request.max_seconds
        self._told = 0.0

    def run(self) -> dict[str, Any]:
        """Fetches the whole file, resuming where a connection broke."""
        empty_tries = 0
        with Path(self.request.path).open("wb") as target:
            while True:
                before = self.got
                try:
                    self._fetch(target)
                    return {"bytes": self.got, "content_type": self.kind, "again": self._again}
                except (Broken, OSError, http.client.HTTPException) as error:
                    empty_tries = empty_tries + 1 if self.got == before else 0
                    self._give_up(error, empty_tries)
                time.sleep(min(0.2 * 2**empty_tries, 5.0))

    def _give_up(self, error: Exception, tries: int) -> None:
        """Raises when trying again is of no use: nothing new came, several times, or there is no room for it."""
        if is_full(error):
            raise error
        if tries < (_RESUMES if self.got else 2):
            return
        so_far = f" after {self.got} of {self.total} bytes" if self.total else f" after {self.got} bytes"
        raise Failure(
            f"The download of {shown(self.request.url)} broke off{so_far}: {error or type(error).__name__}", retry=True
        )

    def _fetch(self, target: Any) -> None:
        """One connection's worth: redirects, then the body into the file."""
        url = self.request.url
        for _ in range(_REDIRECTS):
            connection, response = self._ask(url)
            try:
                if response.status not in {301, 302, 303, 307, 308}:
                    return self._take(url, response, target)
                url = urljoin(url, response.headers.get("Location", ""))
            finally:
                connection.close()
        raise Failure(f"{shown(self.request.url)} redirects more than {_REDIRECTS} times.", retry=False)

    def _ask(self, url: str) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """Asks for the rest of the file. Every URL, also a redirect's, goes through the address check."""
        parts = addresses.split(url)
        address = addresses.resolve(parts, allow_private=self.request.allow_private)
        connection = connect.pinned(parts, address, self.request.read_seconds)
        path = connect.target(parts)
        headers = {"Accept-Encoding": "identity", "User-Agent": "runyard", "Accept": "*/*"}
        if self.got:
            headers["Range"] = f"bytes={self.got}-"
        if self.got and self._tag:
            headers["If-Range"] = self._tag
        try:
            connection.request("GET", path, headers=headers)
            return connection, connection.getresponse()
        except BaseException:
            connection.close()
            raise

    def _take(self, url: str, response: http.client.HTTPResponse, target: Any) -> None:
        if response.status not in {200, 206}:
            sentence = f"{shown(url)} answered {response.status} {response.reason}."
            if response.status in AGAIN:
                raise Broken(sentence)
            raise Failure(sentence, retry=False)
        self.kind = response.headers.get("Content-Type", "")
        self._place(response, target)
        buffer = memoryview(bytearray(_CHUNK))
        while size := response.readinto(buffer):
            target.write(buffer[:size])
            self.got += size
            self._check()
        if self.total is not None and self.got != self.total:
            raise Broken(f"{self.got} of {self.total} bytes came.")

    def _place(self, response: http.client.HTTPResponse, target: Any) -> None:
        """A whole answer starts the file anew, a partial one goes on where it stopped."""
        if response.status == 200 and self.got:
            target.seek(0)
            target.truncate()
            self.got, self._again = 0, self._again + 1
        elif response.status == 206 and not response.headers.get("Content-Range", "").startswith(f"bytes {self.got}-"):
            raise Failure("The server answered with another part of the file than was asked for.", retry=True)
        length = response.headers.get("Content-Length", "")
        before, self.total = self.total, self.got + int(length) if length.isdigit() else None
        if response.status == 206 and self.total != before and before is not None:
            raise Failure(f"{shown(self.request.url)} became another file while it was downloaded.", retry=True)
        self._tag = response.headers.get("ETag", "") or response.headers.get("Last-Modified", "")
        if self._tag.startswith("W/"):
            self._tag = ""
        self._check()

    def _check(self) -> None:
        """Raises when a limit is reached; says how far it is, now and then."""
        if max(self.got, self.total or 0) > self.request.max_bytes:
            raise Failure(
                f"{shown(self.request.url)} is larger than the limit of {self.request.max_bytes} bytes.", retry=False
            )
        now = time.monotonic()
        if now > self._until:
            raise Failure(f"The download took longer than {self.request.max_seconds:g} seconds.", retry=True)
        if now - self._told > _TELL_SECONDS:
            self._told = now
            told = {"bytes": self.got, "total": self.total, "content_type": self.kind, "again": self._again}
            say(told)


def say(line: dict[str, Any]) -> None:
    """One line for the warehouse process."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _object(request: Request, service: S3) -> dict[str, Any]:
    """An object into the file."""
    now_and_then = _Sayer()

    def tell(got: int, total: int) -> None:
        now_and_then({"bytes": got, "total": total, "content_type": "", "again": 0})

    to, seconds = Path(request.path), request.max_seconds
    size, kind = get(request.url, to, service, most=request.max_bytes, seconds=seconds, tell=tell)
    return {"bytes": size, "content_type": kind, "again": 0}


class _Sayer:
    """Passes on lines, but not more often than somebody could look."""

    def __init__(self) -> None:
        self._said = 0.0

    def __call__(self, line: dict[str, Any]) -> None:
        if time.monotonic() - self._said > _TELL_SECONDS:
            self._said = time.monotonic()
            say(line)


def _done(request: Request | Send) -> dict[str, Any]:
    if isinstance(request, Send):
        return send(request, _Sayer())
    return Download(request).run() if request.s3 is None else _object(request, request.s3)


def main(argument: bytes) -> None:
    """Fetches or sends, as the request says."""
    request: Request | Send = msgspec.json.decode(argument, type=Request | Send)
    try:
        say({"done": _done(request)})
    except LoadFailed as error:
        say({"failed": str(error), "retry": error.retry})
    except addresses.Refused as error:
        say({"failed": str(error), "retry": False})
    except OSError as error:
        say({"failed": error.strerror or str(error), "retry": True})
    except Failure as error:
        say({"failed": str(error), "retry": error.retry})


if __name__ == "__main__":
    main(sys.stdin.buffer.read())
