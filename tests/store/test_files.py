"""The small files of the data folder: a kill in the middle of their making leaves the old one or none, never a half."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from runyard.app import node_name
from runyard.http.tokens import load_master_key
from runyard.store import files


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("before", [None, b"old"])
@pytest.mark.parametrize("step", ["open", "write", "fsync", "rename"])
@pytest.mark.parametrize("side", ["before", "after"])
def test_a_kept_file_is_whole_or_as_it_was_wherever_its_making_breaks_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bytes | None, step: str, side: str
) -> None:
    path = tmp_path / "kept"
    if before is not None:
        files.keep(path, before)
    real = getattr(os, step)

    def killed(*arguments: object) -> object:
        if side == "after":
            real(*arguments)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, step, killed)
        with pytest.raises(Killed):
            files.keep(path, b"new")
    found = path.read_bytes() if path.exists() else None
    assert found == (b"new" if (step, side) == ("rename", "after") else before)
    files.keep(path, b"newer")
    assert path.read_bytes() == b"newer"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["kept"]


def test_a_kept_file_is_synced_before_it_has_its_name_and_its_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, rename = os.fsync, os.rename

    def synced(fd: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")
        fsync(fd)

    def renamed(draft: Path, path: Path) -> None:
        done.append("name")
        rename(draft, path)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    files.keep(tmp_path / "kept", b"x")
    assert done == ["file", "name", "folder"]


def test_a_master_key_whose_making_was_killed_is_made_by_the_next_server_of_the_same_pid(tmp_path: Path) -> None:
    (tmp_path / f"master.key.{os.getpid()}").touch(0o600)
    (tmp_path / "master.key.new").write_bytes(b"half")
    assert len(load_master_key(tmp_path / "master.key")) == 32


def test_a_node_keeps_its_name_and_takes_a_new_one_only_where_none_was_kept(tmp_path: Path) -> None:
    name = node_name(tmp_path)
    assert name == node_name(tmp_path) != ""
    (tmp_path / "node").write_text("")  # as an older version left it that was killed while it wrote
    assert node_name(tmp_path) != ""
    assert node_name(tmp_path) == node_name(tmp_path)
