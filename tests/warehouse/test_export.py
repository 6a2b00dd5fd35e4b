"""Exports: the rows in every format, whole in their place, and nowhere else."""

from __future__ import annotations

import csv
import gzip
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runyard.core.actions import Export, Load
from runyard.core.attempts import Assignment
from runyard.warehouse.export import Place
from runyard.warehouse.settings import Settings
from tests.warehouse.desk import CROSS_JOIN, Desk

ROWS = "SELECT range AS n, 'a,\"b\nü' AS t FROM range($rows)"


def export(desk: Desk, target: str, **fields: Any) -> Any:
    return desk.run(Export(**{"statement": ROWS, "target": target, "parameters": {"rows": 1000}, **fields}))


def read(path: Path, form: str) -> list[tuple[int, str]]:
    if form == "csv":
        rows = list(csv.reader(path.read_text().splitlines(keepends=True)))
        assert rows[0] == ["n", "t"]
        return [(int(n), t) for n, t in rows[1:]]
    if form == "ndjson":
        return [(one["n"], one["t"]) for one in map(json.loads, path.read_text().splitlines())]
    table = (
        pq.read_table(path) if form == "parquet" else pa.ipc.open_file(pa.BufferReader(path.read_bytes())).read_all()
    )
    return list(zip(table["n"].to_pylist(), table["t"].to_pylist(), strict=True))


@pytest.mark.parametrize("form", ["csv", "ndjson", "parquet", "arrow"])
def test_the_file_holds_the_rows_and_can_be_loaded_again(shared: Desk, form: str) -> None:
    outcome = export(shared, f"out/deep/rows.{form}")
    assert outcome.result == "succeeded", outcome.detail
    path = shared.files / "out" / "deep" / f"rows.{form}"
    assert (outcome.metrics["rows"], outcome.metrics["bytes"]) == (1000, path.stat().st_size)
    assert read(path, form) == [(n, 'a,"b\nü') for n in range(1000)]
    if form != "arrow":
        assert shared.run(Load(source=str(path), table=f"back_{form}")).metrics["rows"] == 1000
    assert [one.name for one in path.parent.iterdir() if one.name.startswith(".")] == []


@pytest.mark.parametrize("target", ["z.csv.gz", "z.ndjson.zst"])
def test_a_second_ending_packs_the_file(shared: Desk, target: str) -> None:
    outcome = export(shared, target)
    assert outcome.output["compression"] == {"gz": "gzip", "zst": "zstd"}[target.rpartition(".")[2]]
    if target.endswith("gz"):
        assert gzip.decompress((shared.files / target).read_bytes()).startswith(b"n,t\n")
    assert shared.run(Load(source=target, table=f"z{target[2]}")).metrics["rows"] == 1000


def test_a_format_that_is_asked_for_wins_over_the_name(shared: Desk) -> None:
    export(shared, "odd.txt", format="ndjson", compression="none")
    assert json.loads((shared.files / "odd.txt").read_text().splitlines()[5])["n"] == 5
    assert "does not tell its format" in export(shared, "none.bin").detail


@pytest.mark.parametrize(
    "target",
    ["/etc/x.csv", "../x.csv", "a/../../x.csv", "link/x.csv", "..", "http://127.0.0.1/x.csv", "file:///tmp/x.csv"],
)
def test_an_export_stays_below_the_allowed_folders(shared: Desk, target: str) -> None:
    outside = shared.home / "outside"
    outside.mkdir(exist_ok=True)
    if not (shared.files / "link").is_symlink():
        (shared.files / "link").symlink_to(outside)
    outcome = export(shared, target, format="csv")
    assert outcome.result == "failed", target
    assert not any(outside.iterdir())
    assert not (shared.home / "x.csv").exists()


def test_a_link_in_place_of_the_file_is_replaced_and_not_followed(shared: Desk) -> None:
    secret = shared.home / "secret.txt"
    secret.write_text("keep me")
    (shared.files / "trap.csv").symlink_to(secret)
    assert export(shared, "trap.csv").result == "succeeded"
    assert secret.read_text() == "keep me"
    assert not (shared.files / "trap.csv").is_symlink()


def test_a_failing_or_stopped_export_leaves_what_was_there(shared: Desk) -> None:
    (shared.files / "stays.csv").write_text("old")
    assert export(shared, "stays.csv", statement="SELECT error('no')", parameters={}).result == "failed"
    number = shared.start(Export(statement=CROSS_JOIN, target="stays.csv"))
    shared.wait_started(number)
    time.sleep(0.1)
    shared.executor.stop(number, 1, grace=0, why="cancel")
    assert shared.wait(number, 2.0).result == "stopped"
    assert (shared.files / "stays.csv").read_text() == "old"


def test_a_repeated_export_is_the_recorded_outcome(shared: Desk) -> None:
    action = Export(statement="SELECT 1 AS n", target="one.csv")
    first = shared.start(action)
    before = shared.wait(first)
    assert before.result == "succeeded", before
    os.unlink(shared.files / "one.csv")
    assert shared.wait(shared.start(action, token=2, same_as=first)) == before
    assert not (shared.files / "one.csv").exists()


def test_what_a_killed_attempt_left_beside_the_target_is_gone_after_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, source = tmp_path / "out", tmp_path / "again"
    folder.mkdir()
    source.write_text("whole")
    settings = Settings(
        database="", attempts="", uploads="", objects="", control_fd=0, parent=0, allowed_paths=[str(folder)]
    )
    first = Assignment(run_id=1, task_run_id=2, token=3, task_key="t", action=Export(statement="", target="rows.csv"))
    with monkeypatch.context() as killed:  # neither what failed nor what was left is looked after by a killed process
        killed.setattr(shutil, "copyfile", lambda source, part: part.write_text("half"))
        killed.setattr(Path, "replace", lambda *_: None)
        killed.setattr(Path, "unlink", lambda *_, **__: None)
        Place("rows.csv", settings, None).put(source, first.effect)
    assert [path.read_text() for path in folder.iterdir()] == ["half"]
    second = msgspec.structs.replace(first, task_run_id=4, token=5)  # a lost attempt is followed by another task run
    Place("rows.csv", settings, None).put(source, second.effect)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"rows.csv": "whole"}


@pytest.mark.parametrize("statement", ["DROP TABLE x", "SELECT 1; SELECT 2", "FROM _runyard.effects", "COPY x TO 'y'"])
def test_an_export_of_what_is_no_query_is_refused(shared: Desk, statement: str) -> None:
    assert export(shared, "never.csv", statement=statement, parameters={}).retry is False
