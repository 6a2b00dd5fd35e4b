"""A server with this dialect, and the few sentences that its tests repeat."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

ENDED = ("done", "error", "cancelled")


class Tinybird:
    """Plain HTTP as a user would speak it."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.http = httpx.Client(base_url=url, headers=headers, timeout=30)

    def call(self, method: str, path: str, status: int = 200, **more: Any) -> Any:
        """Calls, checks the status, gives the body; a refusal must be JSON with a text in `error`."""
        answer = self.http.request(method, path, **more)
        assert answer.status_code == status, f"{answer.status_code} {answer.text}"
        if answer.status_code >= 400:
            assert isinstance(answer.json()["error"], str)
        if not answer.content:
            return None
        return answer.json() if "application/json" in answer.headers["content-type"] else answer.text

    def error(self, method: str, path: str, status: int, **more: Any) -> str:
        """The sentence of a refusal."""
        return str(self.call(method, path, status, **more)["error"])

    def source(self, name: str, schema: str, **more: str) -> dict[str, Any]:
        """A new, empty Data Source."""
        body = self.call("POST", "/v0/datasources", data={"name": name, "schema": schema, **more})
        return dict(body["datasource"])

    def append(self, name: str, text: str, form: str = "csv", mode: str = "append") -> dict[str, Any]:
        """A file as the Classic client sends it."""
        files = {form: (form, text.encode())}
        return dict(self.call("POST", f"/v0/datasources?name={name}&mode={mode}&format={form}", files=files))

    def rows(self, sql: str, **more: Any) -> list[Any]:
        """The rows of a query."""
        return list(self.call("GET", f"/v0/sql?q={quote(sql + ' FORMAT JSON')}", **more)["data"])

    def pipe(self, name: str, *nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
        """A new pipe."""
        return dict(self.call("POST", "/v0/pipes", json={"name": name, "nodes": list(nodes), **more}))

    def job(self, job_id: str) -> dict[str, Any]:
        """A job as it is now."""
        return dict(self.call("GET", f"/v0/jobs/{job_id}"))

    def ended(self, job: dict[str, Any], *wanted: str) -> dict[str, Any]:
        """The job once it is over, or in one of these statuses."""
        deadline = time.monotonic() + 30
        while (now := self.job(job["id"]))["status"] not in (wanted or ENDED):
            assert time.monotonic() < deadline, now
            time.sleep(0.02)
        return now

    def token(self, name: str, *scopes: str) -> Tinybird:
        """A client with a new token of these scopes."""
        made = self.call("POST", "/v0/tokens", params=[("name", name), *(("scope", scope) for scope in scopes)])
        return Tinybird(self.url, made["token"])


@contextmanager
def files_at(folder: Path) -> Iterator[tuple[str, threading.Event]]:
    """A web server of a folder; while the event is not set, paths under /slow/ wait."""
    gate = threading.Event()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given, directory=str(folder))

        def do_GET(self) -> None:
            if self.path.startswith("/slow/"):
                gate.wait(20)
                self.path = self.path.removeprefix("/slow")
            super().do_GET()

        def log_message(self, *given: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", gate
    finally:
        gate.set()
        server.shutdown()
        server.server_close()
        thread.join()
