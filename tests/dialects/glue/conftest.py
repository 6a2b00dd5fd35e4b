"""One server for all tests of this folder, and boto3 clients whose answers are checked against botocore's model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dialects.glue.world import World
from tests.live_server import live_server


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("glue")
    with live_server(folder, "--dev") as url:
        made = World(url, folder)
        try:
            yield made
        finally:
            made.close()


@pytest.fixture
def glue(world: World) -> Iterator[World]:
    """The same world; what a test leaves running is stopped."""
    yield world
    world.stop_all()


@pytest.fixture(scope="session")
def folder(world: World) -> Path:
    return world.folder
