"""Executors for tests: shared ones for those that leave nothing behind, own ones for those that do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.executors.harness import Bench
from tests.warehouse.desk import Desk


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    desk = Desk(tmp_path_factory.mktemp("shared"))
    yield desk
    desk.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Shared: its reports and folders are those of many tests."""
    with pytest.MonkeyPatch.context() as patch:
        # What a server might hold, and no task may see.
        patch.setenv("AWS_SECRET_ACCESS_KEY", "fake-secret-of-the-server")
        patch.setenv("RUNYARD_TOKEN", "fake-token-of-the-server")
        one = Bench(tmp_path_factory.mktemp("bench") / "attempts")
    yield one
    one.close()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Bench]:
    """For one test alone."""
    one = Bench(tmp_path / "attempts")
    yield one
    one.close()
