"""HTTP to one server: requests with retries that are safe, problem bodies as errors, event streams that resume."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import httpx
import msgspec

from runyard.client.errors import Error, from_response, unreachable
from runyard.core.errors import Code

T = TypeVar("T")

RETRIES = 3
"""How often a request that is safe to repeat is sent again after a broken connection or a 503."""
CONNECT = 10.0
"""Seconds for opening a stream."""
PATIENCE = 60.0
"""Seconds for which a follower waits for a server that went away."""
STREAM_SILENCE = 45.0
"""Seconds without a byte after which a stream is taken for dead and opened again."""


class Message(NamedTuple):
    """One message of an event stream."""

    event: str
    id: str
    data: bytes


class Transport:
    """Sends requests to one server and decodes its answers."""

    def __init__(self, url: str, token: str | None, timeout: float) -> None:
        self.url = url.rstrip("/")
        headers = {"Accept": "application/json", "User-Agent": "runyard-client"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        # trust_env off: a proxy meant for the internet must not see local traffic or the token.
        try:
            self._http = httpx.Client(base_url=_checked(self.url), headers=headers, timeout=timeout, trust_env=False)
        except (httpx.InvalidURL, UnicodeError) as error:
            raise Error(Code.INVALID, f"{url!r} is no address of a server: {error}. Write http://HOST:PORT.") from None

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def call(self, kind: type[T], method: str, path: str, **request: Any) -> T:
        """Sends a request and decodes the answer's JSON."""
        response = self.send(method, path, **request)
        try:
            return msgspec.json.decode(response.content, type=kind)
        except msgspec.DecodeError as error:
            text = f"{self.url}{path} answered with a body that this client cannot read: {error}"
            raise Error(Code.INTERNAL, text, status=response.status_code) from None

    def send(
        self, method: str, path: str, *, json: Any = None, headers: dict[str, str] | None = None, **request: Any
    ) -> httpx.Response:
        """Sends a request; every status of 400 and above raises `Error`."""
        headers = dict(headers or {})
        if json is not None:
            request["content"] = _encode(json)
            headers["Content-Type"] = "application/json"
        repeatable = method in {"GET", "PUT", "DELETE"} or "Idempotency-Key" in headers
        for attempt in range(RETRIES if repeatable else 0, -1, -1):
            response = self._once(method, path, headers, request, last=attempt == 0)
            if response is not None:
                return response
        raise AssertionError("the last attempt returns or raises")

    def _once(
        self, method: str, path: str, headers: dict[str, str], request: dict[str, Any], *, last: bool
    ) -> httpx.Response | None:
        try:
            response = self._http.request(method, f"/api/v1{path}", headers=headers, **request)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise unreachable(self.url, str(error) or type(error).__name__) from None
        except httpx.TransportError as error:
            if last:
                raise unreachable(self.url, str(error) or type(error).__name__) from None
            return None
        if response.status_code == 503 and not last:
            time.sleep(min(_seconds(response.headers.get("Retry-After")), 5.0))
            return None
        if response.status_code >= 400:
            raise from_response(response.status_code, response.content)
        return response

    # --- streams ------------------------------------------------------------------------------------------

    def follow(self, path: str, last_id: str | None = None) -> Iterator[Message]:
        """The messages of an event stream until its `end`; opened again where it was when it breaks."""
        well_at = time.monotonic()
        while True:
            opened_at = time.monotonic()
            try:
                for message in self._stream(path, last_id):
                    if message.event == "end":
                        return
                    last_id = message.id or last_id
                    yield message
            except httpx.TransportError as error:
                broken_at = time.monotonic()
                if broken_at - opened_at < CONNECT + 5.0 and broken_at - well_at > PATIENCE:
                    raise unreachable(self.url, str(error) or type(error).__name__) from None
            if time.monotonic() - opened_at >= CONNECT + 5.0:
                well_at = time.monotonic()  # it had been open until now
            time.sleep(0.2)

    def _stream(self, path: str, last_id: str | None) -> Iterator[Message]:
        headers = {"Accept": "text/event-stream"}
        if last_id is not None:
            headers["Last-Event-ID"] = last_id
        timeout = httpx.Timeout(CONNECT, read=STREAM_SILENCE)
        with self._http.stream("GET", f"/api/v1{path}", headers=headers, timeout=timeout) as response:
            if response.status_code >= 400:
                error = from_response(response.status_code, response.read())
                if response.status_code != 503:
                    raise error
                raise httpx.ReadError(error.message)
            yield from parse_stream(response.iter_bytes())


def persist(call: Callable[[], T], patience: float = PATIENCE) -> T:
    """The call's result, asked for again while no server answers, for at most `patience` seconds."""
    end = time.monotonic() + patience
    while True:
        try:
            return call()
        except Error as error:
            if error.code is not Code.UNAVAILABLE or time.monotonic() > end:
                raise
        time.sleep(0.2)


def parse_stream(chunks: Iterator[bytes]) -> Iterator[Message]:
    """Messages of a text/event-stream body; the pieces may be cut anywhere."""
    event, identifier = "message", ""
    data: list[bytes] = []
    for line in _lines(chunks):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line:
            if data or event != "message":
                yield Message(event, identifier, b"\n".join(data))
            event, data = "message", []
        elif name == b"event":
            event = value.decode("utf-8", "replace")
        elif name == b"id":
            identifier = value.decode("utf-8", "replace")
        elif name == b"data":
            data.append(value)


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    # Not str.splitlines: JSON text may hold U+2028 and other characters that it takes for ends of lines.
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r")


def _checked(url: str) -> httpx.URL:
    parsed = httpx.URL(url)
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise httpx.InvalidURL("it needs http:// or https:// and a host")
    return parsed


def _encode(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Error(Code.INVALID, f"The request cannot be written as JSON: {error}.") from None


def _seconds(text: str | None) -> float:
    try:
        return float(text) if text else 0.5
    except ValueError:
        return 0.5
