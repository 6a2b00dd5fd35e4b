"""A small S3 service on loopback: objects by path, ranges, uploads in parts; it misbehaves where a test asks for it."""

from __future__ import annotations

import hashlib
import http.server
import re
import threading
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


class ObjectServer:
    """`objects` are the bytes by "/bucket/key"; `asked` tells method, path, range and who signed."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.asked: list[tuple[str, str, str | None, str]] = []
        self.break_after: list[int] = []
        """For the next answers: so many bytes of the body, then the connection ends."""
        self._parts: dict[int, bytes] = {}
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                service._get(self)

            do_HEAD = do_GET

            def do_PUT(self) -> None:
                service._put(self)

            def do_POST(self) -> None:
                service._post(self)

            def log_message(self, format: str, *args: Any) -> None:
                """Says nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _note(self, request: http.server.BaseHTTPRequestHandler) -> tuple[str, dict[str, list[str]]]:
        parts = urlsplit(request.path)
        signed = re.search(r"Credential=([^/]*)", request.headers.get("Authorization", ""))
        self.asked.append((request.command, parts.path, request.headers.get("Range"), signed[1] if signed else ""))
        return unquote(parts.path), parse_qs(parts.query, keep_blank_values=True)

    def _get(self, request: http.server.BaseHTTPRequestHandler) -> None:
        path, _ = self._note(request)
        body = self.objects.get(path)
        if body is None:
            return _answer(request, 404, b"<Error><Code>NoSuchKey</Code></Error>")
        tag = f'"{hashlib.md5(body).hexdigest()}"'
        start = int((request.headers.get("Range") or "bytes=0-")[6:].partition("-")[0])
        cut = self.break_after.pop(0) if request.command == "GET" and self.break_after else None
        request.send_response(206 if request.headers.get("Range") else 200)
        if request.headers.get("Range"):
            request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        request.send_header("ETag", tag)
        request.send_header("Last-Modified", "Sat, 21 Nov 2026 10:00:00 GMT")
        request.send_header("Content-Length", str(len(body) - start))
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(body[start:][:cut])
        if cut is not None:
            request.close_connection = True

    def _put(self, request: http.server.BaseHTTPRequestHandler) -> None:
        path, query = self._note(request)
        body = request.rfile.read(int(request.headers["Content-Length"]))
        if "partNumber" in query:
            self._parts[int(query["partNumber"][0])] = body
        else:
            self.objects[path] = body
        _answer(request, 200, b"", ETag=f'"{hashlib.md5(body).hexdigest()}"')

    def _post(self, request: http.server.BaseHTTPRequestHandler) -> None:
        path, query = self._note(request)
        request.rfile.read(int(request.headers.get("Content-Length") or 0))
        if "uploads" in query:
            self._parts = {}
            bucket, _, key = path[1:].partition("/")
            ids = f"<Bucket>{bucket}</Bucket><Key>{key}</Key><UploadId>u</UploadId>"
            return _answer(request, 200, _xml("InitiateMultipartUploadResult", ids))
        self.objects[path] = b"".join(self._parts[number] for number in sorted(self._parts))
        _answer(request, 200, _xml("CompleteMultipartUploadResult", '<ETag>"all"</ETag>'))


def _xml(name: str, inner: str) -> bytes:
    return f'<?xml version="1.0"?><{name}>{inner}</{name}>'.encode()


def _answer(request: http.server.BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name, value)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)
