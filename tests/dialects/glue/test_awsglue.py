"""Our own awsglue, as a script sees it, without a server."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runyard.runtime import context as attempt
from runyard.runtime.glue_script import SHIMS, _environment

ARGV = [
    "script.py",
    "--JOB_NAME",
    "nightly",
    "--day=1",
    "--JOB_ID",
    "j_1",
    "--JOB_RUN_ID",
    "jr_1",
    "--TempDir",
    "/tmp/x",
]


@pytest.fixture
def awsglue(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """The package as a script imports it, in an attempt whose files lie below tmp_path."""
    monkeypatch.syspath_prepend(SHIMS)
    monkeypatch.setattr(attempt, "_facts", {"world": {"s3_root": str(tmp_path / "s3"), "allowed_paths": None}})
    monkeypatch.setattr(attempt, "_folder", str(tmp_path))
    yield lambda name: importlib.import_module(f"awsglue.{name}")
    for name in [one for one in sys.modules if one.partition(".")[0] == "awsglue"]:
        del sys.modules[name]


# --- getResolvedOptions ---


def test_options_are_found_in_both_spellings(awsglue: Any) -> None:
    found = awsglue("utils").getResolvedOptions(ARGV, ["JOB_NAME", "day"])
    assert (found["JOB_NAME"], found["day"]) == ("nightly", "1")
    assert (found["JOB_ID"], found["JOB_RUN_ID"]) == ("j_1", "jr_1")
    assert found["TempDir"] == found["RedshiftTempDir"] == "/tmp/x"
    assert found["job_bookmark_option"] == "job-bookmark-disable"


def test_a_missing_option_is_told(awsglue: Any) -> None:
    utils = awsglue("utils")
    with pytest.raises(utils.GlueArgumentError, match="--hour"):
        utils.getResolvedOptions(ARGV, ["JOB_NAME", "hour"])


def test_a_prefix_is_no_option(awsglue: Any) -> None:
    utils = awsglue("utils")
    with pytest.raises(utils.GlueArgumentError, match="--da"):
        utils.getResolvedOptions(ARGV, ["da"])


def test_reserved_names_are_refused(awsglue: Any) -> None:
    with pytest.raises(RuntimeError, match="job_bookmark_option"):
        awsglue("utils").getResolvedOptions(ARGV, ["job_bookmark_option"])


def test_a_value_may_look_like_a_sentence(awsglue: Any) -> None:
    found = awsglue("utils").getResolvedOptions(["s", "--note", "two words = 1"], ["note"])
    assert found["note"] == "two words = 1"


@pytest.mark.parametrize(
    ("given", "option"),
    [
        (["--job-bookmark-option", "job-bookmark-enable"], "job-bookmark-enable"),
        (["--continuation-option", "continuation-enabled"], "job-bookmark-enable"),
        (["--continuation-option", "continuation-readonly"], "job-bookmark-pause"),
    ],
)
def test_the_bookmark_option_is_told_also_in_its_old_words(awsglue: Any, given: list[str], option: str) -> None:
    assert awsglue("utils").getResolvedOptions(["s", *given], [])["job_bookmark_option"] == option


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            ["--job-bookmark-option", "job-bookmark-pause", "--job-bookmark-from", "jr_1"],
            "Missing option.*job-bookmark-to",
        ),
        (["--job-bookmark-option", "job-bookmark-pause", "--job-bookmark-to", "jr_1"], "Missing option.*bookmark-from"),
        (["--job-bookmark-from", "jr_1", "--job-bookmark-to", "jr_2"], "Invalid option"),
    ],
)
def test_half_a_window_and_a_window_without_pause_are_refused(awsglue: Any, given: list[str], said: str) -> None:
    with pytest.raises(RuntimeError, match=said):
        awsglue("utils").getResolvedOptions(["s", *given], [])


# --- frames ---


def rows(frame: Any) -> list[dict[str, Any]]:
    return list(frame.toDF().to_pylist())


def put(folder: Path, name: str, text: str) -> str:
    path = folder / "s3" / "b" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return f"s3://b/{name}"


def frame_of(awsglue: Any, data: Any) -> Any:
    return awsglue("dynamicframe").DynamicFrame.fromDF(data, None, "f")


def read(awsglue: Any, location: str, kind: str, **options: Any) -> Any:
    glue = awsglue("context").GlueContext()
    given = {"paths": [location], **options.pop("connection", {})}
    return glue.create_dynamic_frame.from_options("s3", given, format=kind, format_options=options)


def test_csv_is_read_as_text_with_and_without_a_header(awsglue: Any, tmp_path: Path) -> None:
    location = put(tmp_path, "a.csv", 'n;t\n1;"a;b"\n2;\n')
    found = rows(read(awsglue, location, "csv", withHeader=True, separator=";"))
    assert found == [{"n": "1", "t": "a;b"}, {"n": "2", "t": ""}]
    assert rows(read(awsglue, location, "csv", separator=";"))[0] == {"col0": "n", "col1": "t"}


@pytest.mark.parametrize("text", ['{"a": 1}\n{"a": 2}\n', '[{"a": 1}, {"a": 2}]', '{"a":\n1} {"a": 2}'])
def test_json_is_read_in_lines_arrays_and_sequences(awsglue: Any, tmp_path: Path, text: str) -> None:
    assert rows(read(awsglue, put(tmp_path, "a.json", text), "json")) == [{"a": 1}, {"a": 2}]


def test_a_file_that_is_not_what_it_should_be_is_told(awsglue: Any, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"s3://b/a.parquet is no parquet that can be read"):
        read(awsglue, put(tmp_path, "a.parquet", "no"), "parquet")
    with pytest.raises(RuntimeError, match="does not exist"):
        read(awsglue, "s3://b/none", "json")
    with pytest.raises(RuntimeError, match="format 'orc' is not known"):
        read(awsglue, put(tmp_path, "a.orc", "no"), "orc")


def test_folders_are_read_flat_unless_recurse_is_said_and_without_markers(awsglue: Any, tmp_path: Path) -> None:
    for name in ("in/1.json", "in/below/2.json", "in/_SUCCESS", "in/.hidden"):
        put(tmp_path, name, json.dumps({"n": name}))
    assert [row["n"] for row in rows(read(awsglue, "s3://b/in", "json"))] == ["in/1.json"]
    both = rows(read(awsglue, "s3://b/in/", "json", connection={"recurse": True}))
    assert sorted(row["n"] for row in both) == ["in/1.json", "in/below/2.json"]
    without = {"recurse": True, "exclusions": '["**below**"]'}
    assert len(rows(read(awsglue, "s3://b/in", "json", connection=without))) == 1


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_what_is_written_can_be_read_again(awsglue: Any, tmp_path: Path, kind: str) -> None:
    glue = awsglue("context").GlueContext()
    frame = frame_of(awsglue, [{"a": "1", "b": "x"}, {"a": "2", "b": None}])
    glue.write_dynamic_frame.from_options(frame, "s3", {"path": f"s3://b/out-{kind}"}, format=kind)
    found = rows(read(awsglue, f"s3://b/out-{kind}", kind, **({"withHeader": True} if kind == "csv" else {})))
    assert [row["a"] for row in found] == ["1", "2"]


def test_partitions_become_folders(awsglue: Any, tmp_path: Path) -> None:
    glue = awsglue("context").GlueContext()
    frame = frame_of(awsglue, [{"day": "1", "n": 1}, {"day": "2", "n": 2}, {"day": "1", "n": 3}])
    glue.write_dynamic_frame.from_options(
        frame, "s3", {"path": "s3://b/parts", "partitionKeys": ["day"]}, format="json"
    )
    assert sorted(os.listdir(tmp_path / "s3" / "b" / "parts")) == ["day=1", "day=2"]
    assert sorted(row["n"] for row in rows(read(awsglue, "s3://b/parts/day=1", "json"))) == [1, 3]


def test_columns_are_mapped_cast_dropped_and_renamed(awsglue: Any) -> None:
    transforms = awsglue("transforms")
    frame = frame_of(awsglue, [{"a": "1", "b": "x", "c": None}])
    mapped = transforms.ApplyMapping.apply(
        frame=frame, mappings=[("a", "string", "n", "long"), ("b", "string", "b", "string")]
    )
    assert rows(mapped) == [{"n": 1, "b": "x"}]
    assert rows(transforms.DropFields.apply(frame, ["b", "c"])) == [{"a": "1"}]
    assert rows(transforms.SelectFields.apply(frame, ["b", "nothing"])) == [{"b": "x"}]
    assert rows(transforms.RenameField.apply(frame, "a", "z").select_fields(["z"])) == [{"z": "1"}]
    assert rows(transforms.DropNullFields.apply(frame)) == [{"a": "1", "b": "x"}]
    assert rows(transforms.ResolveChoice.apply(frame, specs=[("a", "cast:int")]).select_fields(["a"])) == [{"a": 1}]
    assert frame.count() == 1


def test_rows_are_filtered_mapped_and_joined(awsglue: Any) -> None:
    transforms = awsglue("transforms")
    left = frame_of(awsglue, [{"id": 1, "v": "a"}, {"id": 2, "v": "b"}])
    right = frame_of(awsglue, [{"id": 2, "w": "c"}])
    assert rows(transforms.Filter.apply(left, f=lambda row: row["id"] > 1)) == [{"id": 2, "v": "b"}]
    assert rows(transforms.Map.apply(left, f=lambda row: {"n": row["id"] * 2})) == [{"n": 2}, {"n": 4}]
    assert rows(transforms.Join.apply(left, right, ["id"], ["id"])) == [{"id": 2, "v": "b", ".id": 2, "w": "c"}]
    assert left.union(right).count() == 3


def test_without_spark_the_session_is_refused_in_one_sentence(awsglue: Any) -> None:
    with pytest.raises(RuntimeError, match="There is no Spark here"):
        awsglue("context").GlueContext().spark_session  # noqa: B018 - a property that raises


def test_other_connections_are_refused(awsglue: Any) -> None:
    with pytest.raises(RuntimeError, match="'mysql' is not known here"):
        awsglue("context").GlueContext().create_dynamic_frame.from_options("mysql", {})


# --- the environment of a script ---


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("", {}),
        ("CUSTOMER_A=1", {"CUSTOMER_A": "1"}),
        ('CUSTOMER_A=1, CUSTOMER_B="x,y"', {"CUSTOMER_A": "1", "CUSTOMER_B": "x,y"}),
        ("PATH=/evil,CUSTOMER_C=a=b", {"CUSTOMER_C": "a=b"}),
    ],
)
def test_customer_variables_are_read(given: str, found: dict[str, str]) -> None:
    assert _environment(given) == found
