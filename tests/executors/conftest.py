"""Executors for tests: shared ones for those that leave nothing behind, own ones for those that do."""

from __future__ import annotations

import signal
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
        # What a server in a shell's background, or under nohup, is started with.
        former = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGQUIT, signal.SIGHUP)}
        one = Bench(tmp_path_factory.mktemp("bench") / "attempts")
        for number, handler in former.items():
            signal.signal(number, handler)
    yield one
    one.close()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Bench]:
    """For one test alone."""
    one = Bench(tmp_path / "attempts")
    yield one
    one.close()
