"""An executor for tests of work; its attempts find a folder of files."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runyard.core.attempts import Places
from tests.executors.harness import Bench


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("work")
    (folder / "repositories").mkdir()
    places = Places(
        files=str(folder / "files"),
        environments=str(folder / "environments"),
        checkouts=str(folder / "checkouts"),
        allowed=[str(folder / "repositories")],
    )
    one = Bench(folder / "attempts", places=places)
    yield one
    one.close()
