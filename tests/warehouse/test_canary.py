"""No URL that a user gives leads to an address that is not public: a listener on loopback hears of none of them."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runyard.core.actions import Load
from runyard.net import addresses
from runyard.warehouse.download import Download, Request
from tests.warehouse.desk import Desk
from tests.warehouse.server import Files


class Canary:
    """Listens on every loopback address and counts who comes."""

    def __init__(self) -> None:
        self.visits: list[str] = []
        canary = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                canary.visits.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", "4")
                self.end_headers()
                self.wfile.write(b"n\n1\n")

            def log_message(self, format: str, *args: Any) -> None:
                """Says nothing."""

        class Server(http.server.ThreadingHTTPServer):
            def process_request(self, request: Any, client_address: Any) -> None:
                canary.visits.append("connected")
                super().process_request(request, client_address)

        self._servers = [Server(("0.0.0.0", 0), Handler)]
        self.port = self._servers[0].server_port
        for server in self._servers:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()


@pytest.fixture(scope="module")
def canary() -> Iterator[Canary]:
    one = Canary()
    yield one
    one.close()


HOSTS = [
    # names and plain forms
    "localhost", "LOCALHOST", "localhost.", "127.0.0.1", "127.0.0.1.", "127.0.0.2", "127.127.127.127",
    "0.0.0.0", "0", "0.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1",
    # shortened, decimal, octal and hexadecimal
    "127.1", "127.0.1", "2130706433", "017700000001", "0x7f000001", "0x7f.1", "0177.0.0.1", "0177.0.0.01",
    "0x7f.0x0.0x0.0x1", "127.0.0.0x1", "0x7F000001", "3232235521", "2852039166", "0xA9FEA9FE", "0251.0376.0251.0376",
    # IPv6, and IPv4 inside of it
    "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[0000::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:0:127.0.0.1]",
    "[::127.0.0.1]", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]", "[2002:a9fe:a9fe::]", "[2001:0:4136:e378:8000:63bf:80ff:fffe]", "[fe80::1]", "[fe80::1%25lo]",
    "[fc00::1]", "[fd00:ec2::254]", "[fec0::1]", "[ff02::1]", "[::1%lo]",
    # what parsers read differently
    "127.0.0.1%00.example.org", "127。0。0。1", "①②⑦.⓪.⓪.①", "ⓛocalhost", "loc%61lhost", "127.0.0.1\\@example.org",
    "example.org@127.0.0.1", "user:pass@127.0.0.1", "127.0.0.1#@example.org",
    " 127.0.0.1", "127.0.0.1\t", "127.0.0.1\n",
]  # fmt: skip
OTHERS = [
    "file:///etc/passwd", "FILE:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/x", "dict://127.0.0.1:11211/x",
    "jar:http://127.0.0.1!/x", "unix:///run/x.sock", "http+unix://%2Frun%2Fx.sock/", "data://text/plain,n", "http:///x",
    "http://", "https://127.0.0.1/x", "http://127.0.0.1:99999/x", "http://127.0.0.1:x/", "ldap://127.0.0.1/x",
]  # fmt: skip


def fetch(url: str, path: Path, **fields: Any) -> Any:
    limits: dict[str, Any] = {"max_bytes": 1 << 20, "max_seconds": 3.0, "read_seconds": 1.0, "allow_private": False}
    return Download(Request(url=url, path=str(path), **{**limits, **fields})).run()


def test_there_are_at_least_sixty_ways() -> None:
    assert len(HOSTS) + len(OTHERS) >= 60


def test_the_canary_hears_who_is_allowed_to_come(canary: Canary, tmp_path: Path) -> None:
    assert fetch(f"http://127.0.0.1:{canary.port}/x", tmp_path / "x", allow_private=True)["bytes"] == 4
    assert canary.visits == ["connected", "/x"]


@pytest.mark.parametrize("host", HOSTS)
def test_no_spelling_of_a_private_host_is_connected_to(
    canary: Canary, tmp_path: Path, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    canary.visits.clear()
    with pytest.raises(Exception, match=r"(?i)not public|resolve|valid|user name|broke off|address|refused"):
        fetch(f"http://{host}:{canary.port}/x", tmp_path / "x")
    assert canary.visits == []


@pytest.mark.parametrize("url", OTHERS)
def test_no_other_kind_of_url_is_opened(canary: Canary, tmp_path: Path, url: str) -> None:
    canary.visits.clear()
    with pytest.raises(addresses.Refused):
        fetch(url, tmp_path / "x")
    assert canary.visits == []


@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]", "2130706433", "localhost"])
@pytest.mark.parametrize("hops", [1, 3])
def test_a_chain_of_redirects_ends_before_the_private_host(
    canary: Canary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, hops: int
) -> None:
    """The first server counts as public by a changed check: only its port tells it from the canary."""
    files = Files()
    try:
        target = f"http://{host}:{canary.port}/secret"
        for hop in range(hops):
            target = files.redirect(f"/{hop}", target)
        port, real = int(files.url("/").rsplit(":", 1)[1].rstrip("/")), addresses.resolve
        monkeypatch.setattr(
            addresses,
            "resolve",
            lambda parts, *, allow_private: "127.0.0.1" if parts.port == port else real(parts, allow_private=False),
        )
        canary.visits.clear()
        with pytest.raises(addresses.Refused, match="not public"):
            fetch(target, tmp_path / "x")
        assert len(files.asked) == hops
        assert canary.visits == []
    finally:
        files.close()


def test_a_name_that_changes_its_address_is_connected_to_where_it_was_checked(
    canary: Canary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first answer of the name server is public, every later one is loopback."""
    answers = iter(["192.0.0.9", *["127.0.0.1"] * 20])  # public by the registry, and nobody's
    tried: list[str] = []

    def connect(address: tuple[str, int], **more: Any) -> socket.socket:
        tried.append(address[0])
        raise OSError("nobody is there")

    def resolve(host: str, port: int, **more: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket, "create_connection", connect)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    canary.visits.clear()
    with pytest.raises(addresses.Refused, match="not public"):
        fetch(f"http://rebinding.example:{canary.port}/x", tmp_path / "x")
    assert tried == ["192.0.0.9"]
    assert canary.visits == []


def test_a_load_does_not_reach_a_private_host_either(tmp_path: Path, canary: Canary) -> None:
    desk = Desk(tmp_path, allow_private_urls=False)
    try:
        canary.visits.clear()
        for host in ("127.0.0.1", "2130706433", "[::ffff:127.0.0.1]"):
            outcome = desk.run(Load(source=f"http://{host}:{canary.port}/x.csv", table="t"))
            assert (outcome.result, outcome.retry) == ("failed", False)
            assert "not public" in outcome.detail
        assert canary.visits == []
    finally:
        desk.close()
