"""A folder over HTTP, on loopback."""

from __future__ import annotations

import contextlib
import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    with _running(functools.partial(Quiet, directory=str(folder))) as url:
        yield url


@contextlib.contextmanager
def _running(handler: Any) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def redirecting(there: str) -> Iterator[str]:
    """Answers everything with a redirect to the same path at another address."""

    class Redirects(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", there + self.path)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with _running(Redirects) as url:
        yield url
