"""A small HTTP server on loopback that serves files, and misbehaves where a test asks for it."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable
from typing import Any

Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


class Files:
    """Paths and what is answered for them; `asked` holds the Range header of each request."""

    def __init__(self) -> None:
        self.paths: dict[str, Answer] = {}
        self.asked: list[tuple[str, str | None]] = []
        files = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                files.asked.append((self.path, self.headers.get("Range")))
                files.paths.get(self.path, missing)(self)

            def log_message(self, format: str, *args: Any) -> None:
                """Says nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def serve(self, path: str, body: bytes, content_type: str = "application/octet-stream") -> str:
        def answer(request: http.server.BaseHTTPRequestHandler) -> None:
            start = int((request.headers.get("Range") or "bytes=0-")[6:].rstrip("-"))
            request.send_response(206 if start else 200)
            if start:
                request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            send(request, body[start:], content_type)

        self.paths[path] = answer
        return self.url(path)

    def cut_off(self, path: str, body: bytes, sent: int, *, times: int, ranges: bool) -> str:
        """Promises the whole body and closes after `sent` bytes, the first `times` times."""
        self.serve(path, body)
        whole = self.paths[path]

        def answer(request: http.server.BaseHTTPRequestHandler) -> None:
            if not ranges:
                del request.headers["Range"]
            if sum(one == path for one, _ in self.asked) > times:
                return whole(request)
            request.send_response(200)
            request.send_header("Content-Length", str(len(body)))
            request.end_headers()
            request.wfile.write(body[:sent])

        self.paths[path] = answer
        return self.url(path)

    def redirect(self, path: str, to: str) -> str:
        def answer(request: http.server.BaseHTTPRequestHandler) -> None:
            request.send_response(302)
            request.send_header("Location", to)
            request.send_header("Content-Length", "0")
            request.end_headers()

        self.paths[path] = answer
        return self.url(path)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def send(request: http.server.BaseHTTPRequestHandler, body: bytes, content_type: str) -> None:
    request.send_header("Content-Length", str(len(body)))
    request.send_header("Content-Type", content_type)
    request.end_headers()
    request.wfile.write(body)


def missing(request: http.server.BaseHTTPRequestHandler) -> None:
    request.send_response(404)
    send(request, b"no", "text/plain")
