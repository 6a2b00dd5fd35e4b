"""Every test of the suite runs on every implementation; those that close and reopen, on each that is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runyard.store.base import Store
from tests.store.harness import HARNESSES, Harness


@pytest.fixture(params=HARNESSES, ids=lambda one: one.__name__)
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Harness:
    made: Harness = request.param(tmp_path)
    return made


@pytest.fixture(params=[one for one in HARNESSES if one.kept], ids=lambda one: one.__name__)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Harness:
    made: Harness = request.param(tmp_path)
    return made


@pytest.fixture
def store(harness: Harness) -> Iterator[Store]:
    opened = harness.open()
    yield opened
    opened.close()
