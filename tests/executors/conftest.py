"""One executor for all tests that need no other; an own one for those that break it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.executors.harness import Bench


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
