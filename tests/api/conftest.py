"""Servers that the tests of this folder share, each with a data folder that goes away with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.helpers import Api, Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("server") / "data")
    yield started
    started.stop()


@pytest.fixture(scope="session")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("dev") / "data", dev=True)
    yield started
    started.stop()


@pytest.fixture(scope="session")
def api(server: Server) -> Iterator[Api]:
    with server.client(server.admin_token) as client:
        yield Api(client)
