"""An executor for tests of work; its attempts find a folder of files."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runyard.core.attempts import Places
from tests.executors.harness import Bench


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("work")
    one = Bench(folder / "attempts", places=Places(files=str(folder / "files")))
    yield one
    one.close()
