"""Every format, plain and packed: what fits is loaded, what does not is put aside, a condition replaces its rows."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from runyard.core.actions import Export, Load
from tests.warehouse.desk import Desk

ROWS = [("1", "a", "2024-01-01"), ("zz", "b", "2024-01-01"), ("3", "c", "nope"), ("4", "d", "2024-01-02")]
COLUMNS = {"n": "INTEGER", "t": "VARCHAR", "d": "DATE"}
FORMS = ["csv", "ndjson", "parquet"]
PACKED = ["", ".gz", ".zst"]


def written(rows: Sequence[tuple[str, ...]], form: str) -> bytes:
    if form == "csv":
        return "\n".join(",".join(row) for row in [tuple(COLUMNS), *rows]).encode() + b"\n"
    if form == "ndjson":
        return "\n".join(json.dumps(dict(zip(COLUMNS, row, strict=True))) for row in rows).encode() + b"\n"
    file = io.BytesIO()
    pq.write_table(pa.table(dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True))), file)
    return file.getvalue()


def packed(body: bytes, ending: str) -> bytes:
    if ending == ".gz":
        return gzip.compress(body)
    return pa.compress(body, codec="zstd", asbytes=True) if ending == ".zst" else body


def put(desk: Desk, form: str, ending: str, rows: Sequence[tuple[str, ...]] = ROWS) -> str:
    name = f"rows.{form}{ending}"
    (desk.files / name).write_bytes(packed(written(rows, form), ending))
    return name


@pytest.mark.parametrize("ending", PACKED)
@pytest.mark.parametrize("form", FORMS)
def test_rows_of_every_format_that_do_not_fit_are_put_aside_or_fail_the_load(
    shared: Desk, form: str, ending: str
) -> None:
    name, table = put(shared, form, ending), f"aside_{form}{ending[1:]}"
    strict = shared.run(Load(source=name, table=table, columns=COLUMNS, max_bad_rows=1))
    assert (strict.result, strict.reason) == ("failed", "load_error")
    assert strict.detail.startswith("2 rows do not fit, and at most 1 may")
    assert shared.run(f"FROM {table}").result == "failed"

    outcome = shared.run(Load(source=name, table=table, columns=COLUMNS, max_bad_rows=2))
    assert (outcome.result, outcome.metrics["rows"], outcome.metrics["quarantine_rows"]) == ("succeeded", 2, 2)
    assert shared.rows(f"FROM {table} ORDER BY n") == [[1, "a", "2024-01-01"], [4, "d", "2024-01-02"]]
    aside = shared.rows(f"SELECT n, t, d, c__error_column FROM {table}_quarantine ORDER BY n")
    assert aside == [["3", "c", "nope", ["d"]], ["zz", "b", "2024-01-01", ["n"]]]
    assert len(outcome.output["quarantine_sample"]) == 2


@pytest.mark.parametrize("ending", PACKED)
@pytest.mark.parametrize("form", FORMS)
def test_the_rows_of_a_condition_are_replaced_from_every_format(shared: Desk, form: str, ending: str) -> None:
    table = f"part_{form}{ending[1:]}"
    shared.rows(
        f"CREATE TABLE {table} AS SELECT 9 AS n, 'old' AS t, (DATE '2024-01-01' + range::INT)::DATE AS d FROM range(2)"
    )
    load = Load(source=put(shared, form, ending), table=table, mode="replace_where", where="d = '2024-01-01'")
    outcome = shared.run(load)
    counts = {name: outcome.metrics[name] for name in ("rows", "rows_unmatched", "quarantine_rows")}
    assert counts == {"rows": 1, "rows_unmatched": 1, "quarantine_rows": 2}, outcome.detail
    assert shared.rows(f"FROM {table} ORDER BY n") == [[1, "a", "2024-01-01"], [9, "old", "2024-01-02"]]


@pytest.mark.parametrize("mode", ["replace", "replace_where"])
@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_contradicts_the_table_replaces_nothing(shared: Desk, form: str, mode: Any) -> None:
    table = f"against_{form}_{mode}"
    shared.rows(f"CREATE TABLE {table} AS SELECT 1 AS n, 'kept' AS t, DATE '2024-01-01' AS d")
    name = put(shared, form, "", [("x", "a", "2024-01-01"), ("y", "b", "2024-01-01")])
    load = Load(source=name, table=table, mode=mode, where="n > 0" if mode == "replace_where" else "")
    outcome = shared.run(load)
    assert (outcome.result, outcome.retry) == ("failed", False)
    assert outcome.detail.startswith("None of the 2 rows fit the table, so nothing was replaced")
    assert shared.rows(f"FROM {table}") == [[1, "kept", "2024-01-01"]]
    assert shared.run(f"FROM {table}_quarantine").result == "failed"
    allowed = shared.run(msgspec.structs.replace(load, max_bad_rows=2))
    assert (allowed.result, allowed.metrics["quarantine_rows"]) == ("succeeded", 2)


@pytest.mark.parametrize("ending", PACKED)
@pytest.mark.parametrize("form", FORMS)
def test_half_a_file_of_every_format_changes_nothing(shared: Desk, form: str, ending: str) -> None:
    """Of plain text nobody can tell that the rest is missing: only its last line is half."""
    table, body = f"half_{form}{ending[1:]}", packed(written(ROWS * 2000, form), ending)
    shared.rows(f"CREATE TABLE {table} AS SELECT 1 AS n, 'kept' AS t, DATE '2024-01-01' AS d")
    (shared.files / f"half.{form}{ending}").write_bytes(body[: len(body) // 2])
    outcome = shared.run(Load(source=f"half.{form}{ending}", table=table, mode="replace", max_bad_rows=0))
    assert outcome.result == "failed"
    assert shared.rows(f"FROM {table}") == [[1, "kept", "2024-01-01"]]


@pytest.mark.parametrize("form", FORMS)
def test_an_option_that_a_format_does_not_have_is_refused(shared: Desk, form: str) -> None:
    outcome = shared.run(Load(source=put(shared, form, ""), table="never", options={"delimitter": ";"}))
    assert outcome.result == "failed"
    assert "option 'delimitter'" in outcome.detail


WRITTEN = [(form, ending) for form in ("csv", "ndjson") for ending in PACKED]
WRITTEN += [("parquet", ""), ("arrow", ""), ("arrow", ".zst")]


@pytest.mark.parametrize(("form", "ending"), WRITTEN)
@pytest.mark.parametrize("rows", [0, 3])
def test_an_export_is_read_back_by_pyarrow(shared: Desk, form: str, ending: str, rows: int) -> None:
    target = f"back{rows}.{form}{ending}"
    outcome = shared.run(Export(statement=f"SELECT range AS a, 'ü' AS b FROM range({rows})", target=target))
    assert outcome.result == "succeeded", outcome.detail
    assert read(shared.files / target, form) == {"a": list(range(rows)), "b": ["ü"] * rows}


def read(path: Any, form: str) -> Any:
    if form == "parquet":
        return pq.read_table(path).to_pydict()
    if form == "arrow":
        return pa.ipc.open_file(str(path)).read_all().to_pydict()
    with pa.input_stream(str(path), compression="detect" if path.suffix == ".gz" else None) as plain:
        body = plain.read()
    if path.suffix == ".zst":
        body = pa.CompressedInputStream(pa.BufferReader(body), "zstd").read()
    if form == "csv":
        return pyarrow.csv.read_csv(pa.BufferReader(body)).to_pydict()
    found = [json.loads(line) for line in body.splitlines()]
    return {name: [one[name] for one in found] for name in ("a", "b")}
