"""Uploads: kept on disk for a load, capped, and gone when nobody takes them."""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.helpers import Api, Server

MIB = 1 << 20


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("uploads") / "data", dev=True, upload_cap=2 * MIB, body_cap=MIB)
    yield server
    server.stop()


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_an_upload_is_loaded_and_gone(small: Server, method: str) -> None:
    with small.client() as http:
        api = Api(http)
        body = b"n,t\n" + b"1,some text\n" * 120_000  # larger than body_cap
        kept = api.call(method, "/uploads", 201, content=body)
        assert kept == {"id": kept["id"], "source": f"upload:{kept['id']}", "bytes": len(body)}
        assert (small.data / "uploads" / kept["id"]).stat().st_size == len(body)
        action = {"kind": "load", "source": kept["source"], "table": f"sent_{method.lower()}"}
        run = api.wait(api.submit({"key": "a", "action": action}))
        assert run["state"] == "succeeded", run
        assert not (small.data / "uploads" / kept["id"]).exists()


def pieces(count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield b"x" * 65_536


@pytest.mark.parametrize("packed", [False, True])
def test_a_body_that_comes_in_pieces_is_kept_whole(small: Server, packed: bool) -> None:
    """Without a length: `curl -T -`, a generator. Also a packed NDJSON file, which nothing but its bytes tells."""
    body = b"n,t\n" + b"".join(b"%d,text\n" % n for n in range(90_000))
    if packed:
        body = gzip.compress(b"".join(b'{"n": %d}\n' % n for n in range(90_000)))
    with small.client() as http:
        api = Api(http)
        kept = api.call("POST", "/uploads", 201, content=(body[n : n + 5000] for n in range(0, len(body), 5000)))
        assert kept["bytes"] == len(body)
        action = {"kind": "load", "source": kept["source"], "table": f"pieces_{packed}"}
        run = api.wait(api.submit({"key": "a", "action": action}))
        assert run["state"] == "succeeded", run
        asked = {"sql": f"SELECT count(*), sum(n)::BIGINT FROM pieces_{packed}"}
        assert api.call("POST", "/query", json=asked)["rows"] == [[90_000, sum(range(90_000))]]


def test_an_upload_over_the_cap_is_refused_and_leaves_nothing(small: Server) -> None:
    with small.client() as http:
        api = Api(http)
        before = sorted((small.data / "uploads").iterdir()) if (small.data / "uploads").exists() else []
        api.refused("POST", "/uploads", 413, content=b"x" * (2 * MIB + 1))
        api.refused("POST", "/uploads", 413, content=pieces(40))
        assert sorted((small.data / "uploads").iterdir()) == before


def test_an_upload_that_nobody_loads_goes_after_a_day(tmp_path: Path) -> None:
    (tmp_path / "data" / "uploads").mkdir(parents=True)
    old, young = (tmp_path / "data" / "uploads" / name for name in ("a" * 32, "b" * 32))
    for path, age in ((old, 90_000), (young, 80_000)):
        path.write_bytes(b"x")
        os.utime(path, (time.time() - age, time.time() - age))
    server = Server(tmp_path / "data", dev=True)
    try:
        with server.client() as http:
            Api(http).call("POST", "/uploads", 201, content=b"n\n1\n")
        assert (old.exists(), young.exists()) == (False, True)
    finally:
        server.stop()


def test_a_principal_without_the_scope_cannot_upload(api: Api, server: Server) -> None:
    _, token = api.token("data:read")
    with server.client(token) as http:
        Api(http).refused("POST", "/uploads", 403, content=b"x")
