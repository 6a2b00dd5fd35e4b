"""A full disk: the run fails with one clear reason, the table is as before, and work goes on once there is room."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from runyard.core.actions import Copy, Load
from tests.warehouse.desk import Desk, Work
from tests.warehouse.server import Files

SIZE, BALLAST = 40_000_000, 8_000_000
MANY = "SELECT range AS n, md5(range::VARCHAR) AS t FROM range(2_000_000)"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own; only root can make one."""
    place = tmp_path / "small"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", place], capture_output=True)
    if made.returncode:
        pytest.skip("a small file system cannot be mounted here: that needs root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder with room."""
    place = tmp_path / "outside"
    place.mkdir()
    return place


@pytest.fixture
def desk(small: Path, outside: Path) -> Iterator[Desk]:
    one = Desk(small, allowed_paths=[outside])
    one.rows("CREATE TABLE kept AS SELECT 1::BIGINT AS n, 'before' AS t")
    yield one
    one.close()


@pytest.fixture(scope="module")
def files() -> Iterator[Files]:
    one = Files()
    yield one
    one.close()


BODY = b"n,t\n" + b"".join(b"%d,%s\n" % (n, b"x" * 1000) for n in range(40_000))


def work(kind: str, files: Files) -> Work | str:
    found: dict[str, Work | str] = {
        "copy": Copy(statement=MANY, table="kept", mode="replace"),
        "insert": f"INSERT INTO kept {MANY}",
        "result": MANY,
        "download": Load(source=files.serve("/large.csv", BODY), table="kept", mode="replace"),
        "load": Load(source="large.csv", table="kept", mode="replace"),
    }
    return found[kind]


KINDS = ["insert", "download", "load", *(pytest.param(kind, marks=pytest.mark.long) for kind in ("copy", "result"))]


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_fails_the_run_with_one_reason_and_changes_nothing(
    desk: Desk, files: Files, outside: Path, kind: str
) -> None:
    (outside / "large.csv").write_bytes(BODY)
    (desk.home / "ballast").write_bytes(bytes(BALLAST))
    outcome = desk.wait(desk.start(work(kind, files)), 30)
    assert outcome.result == "failed", outcome.metrics
    assert "disk is full" in outcome.detail
    assert str(desk.home) not in str(outcome.error)
    (desk.home / "ballast").unlink()
    assert desk.rows("FROM kept") == [[1, "before"]]
    desk.rows("CREATE TABLE more AS SELECT 2 AS n")
    assert desk.rows("FROM more") == [[2]]
