"""A server for the tests of the client library."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import runyard
from tests.live_server import live_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with live_server(tmp_path_factory.mktemp("server"), "--dev") as url:
        yield url


@pytest.fixture
def client(server: str) -> Iterator[runyard.Client]:
    with runyard.Client(server) as client:
        yield client
