"""HTTP connections that are pinned to the address that was checked."""

from __future__ import annotations

import http.client
import socket
import ssl
from urllib.parse import SplitResult


def pinned(parts: SplitResult, address: str, seconds: float) -> http.client.HTTPConnection:
    """A connection to the checked address that speaks, and verifies, as the URL's host; raises OSError."""
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    connection = http.client.HTTPConnection(host, parts.port, timeout=seconds)
    raw = socket.create_connection((address, port), timeout=seconds)
    if parts.scheme == "https":
        raw = ssl.create_default_context().wrap_socket(raw, server_hostname=host)
    connection.sock = raw
    return connection


def target(parts: SplitResult) -> str:
    """The path and query of a request line."""
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
