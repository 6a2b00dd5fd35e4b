"""One server with --dev for the folder's tests; each test makes Data Sources of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.dialects.tinybird.calls import Tinybird
from tests.live_server import live_server

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tinybird")


@pytest.fixture(scope="session")
def url(folder: Path) -> Iterator[str]:
    with live_server(folder, "--dev") as address:
        yield address


@pytest.fixture
def tb(url: str) -> Iterator[Tinybird]:
    client = Tinybird(url)
    yield client
    client.http.close()


@pytest.fixture
def name() -> Callable[[str], str]:
    """Names that no other test uses."""
    number = next(_NUMBERS)
    return lambda what: f"{what}_{number}"
