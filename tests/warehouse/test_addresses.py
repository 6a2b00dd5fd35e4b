"""The address check, and the downloader's use of it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runyard.net import addresses
from runyard.warehouse import download
from runyard.warehouse.download import Download, Request
from tests.warehouse.server import Files

NOT_PUBLIC = [
    "127.0.0.1",
    "127.255.255.255",
    "10.1.2.3",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "0.0.0.0",
    "100.64.0.1",
    "192.0.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd12:3456::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "2002:7f00:1::",
    "2002:a00:1::",
    "2001:db8::1",
    "2001:0:4136:e378:8000:63bf:80ff:fffe",
    "fec0::1",
    "100::1",
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_public_is_known(address: str) -> None:
    assert not addresses.public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_a_public_address_is_known(address: str) -> None:
    assert addresses.public(address)


def test_a_name_with_one_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 80)) for ip in ("8.8.8.8", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **fields: found)
    with pytest.raises(addresses.Refused, match="not public"):
        addresses.resolve(addresses.split("http://rebinding.example/x"), allow_private=False)


@pytest.fixture
def files() -> Iterator[Files]:
    files = Files()
    yield files
    files.close()


def request(url: str, path: Path, **fields: Any) -> Request:
    limits = {"max_bytes": 1 << 20, "max_seconds": 10.0, "read_seconds": 2.0, "allow_private": False}
    return Request(url=url, path=str(path), **{**limits, **fields})


def test_a_public_host_that_redirects_to_a_private_one_is_refused(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first host counts as public by a changed check; the second is checked for real."""
    url = files.redirect("/to", "http://[::1]:1/secret")
    real = addresses.public
    monkeypatch.setattr(addresses, "public", lambda address: address == "127.0.0.1" or real(address))
    with pytest.raises(addresses.Refused, match="::1"):
        Download(request(url, tmp_path / "x")).run()


def test_the_connection_goes_to_the_checked_address_and_not_to_the_name(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = files.serve("/x", b"n\n1\n").replace("127.0.0.1", "public.example")
    monkeypatch.setattr(addresses, "resolve", lambda parts, *, allow_private: "127.0.0.1")
    assert Download(request(url, tmp_path / "x")).run()["bytes"] == 4


def test_a_file_over_the_limit_is_refused_before_it_is_read(files: Files, tmp_path: Path) -> None:
    url = files.serve("/big", b"x" * 5000)
    with pytest.raises(download.Failure, match="larger than the limit"):
        Download(request(url, tmp_path / "x", allow_private=True, max_bytes=4000)).run()
    assert (tmp_path / "x").stat().st_size == 0


def test_a_silent_server_is_given_up(files: Files, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x"
        with pytest.raises(download.Failure, match="broke off"):
            Download(request(url, tmp_path / "x", allow_private=True, read_seconds=0.1)).run()
