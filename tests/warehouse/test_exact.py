"""Files of any kind against a reference in plain Python: each line is a row by value, put aside by text, or counted.

A failure names the seed, which gives the same file again. More files: RUNYARD_FUZZ_SEED (the first seed) and
RUNYARD_FUZZ_FILES (how many) with `pytest -m long`.
"""

from __future__ import annotations

import collections
import datetime
import os
from collections.abc import Iterator
from typing import Any

import pytest

from runyard.warehouse import pieces, pipes, shapes
from tests.warehouse import json_stories, parquet_stories, reference
from tests.warehouse.inside import Inside, opened
from tests.warehouse.stories import Story, csv_story

FIRST = int(os.environ.get("RUNYARD_FUZZ_SEED", "100000"))
FILES = int(os.environ.get("RUNYARD_FUZZ_FILES", "3000"))
REFUSED = (
    "The file cannot be read as CSV",
    "The file is empty",
    "The file has a column 'column0'",
    "its lines end in different ways",
    "no UTF-8",
)
"""What may be said of a damaged file."""


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    with opened(tmp_path_factory.mktemp("inside")) as one:
        yield one


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pipes, pieces and buffers of some kilobytes, so that a file of a hundred has many edges."""
    monkeypatch.setattr(pipes, "_PIPE_BYTES", 4096)
    monkeypatch.setattr(pieces, "BLOCK_BYTES", 8000)
    monkeypatch.setattr(pieces, "_LINE_BYTES", 4000)
    monkeypatch.setattr(pieces, "_PIECE_BYTES", 3000)
    # Of a buffer DuckDB's threads take a part: no less than what is read without being cut.
    whole, buffers = shapes.shape_of, {"buffer_size": "40000", "max_line_size": "8192"}

    def shape(*given: Any) -> shapes.Shape:
        found = whole(*given)
        found.reading |= buffers
        return found

    monkeypatch.setattr(shapes, "shape_of", shape)


def same(row: tuple[Any, ...]) -> str:
    """A row as it is compared: an instant is one in every zone."""
    aware = (one.astimezone(datetime.UTC) if isinstance(one, datetime.datetime) and one.tzinfo else one for one in row)
    return repr(tuple(aware))


def check(
    inside: Inside, name: str, data: bytes, columns: dict[str, str], expected: reference.Expected, **load: Any
) -> Any:
    """Loads a file and compares what became of it; the reason where it was refused."""
    (inside.files / name).write_bytes(data)
    for table in ("t", "t_quarantine"):
        inside.rows(f"DROP TABLE IF EXISTS {table}")
    outcome = inside.tried(str(inside.files / name), "t", columns=columns, **load)
    if isinstance(outcome, str):
        return outcome
    assert collections.Counter(map(same, inside.rows("FROM t"))) == collections.Counter(map(same, expected.rows))
    assert aside(inside, columns, outcome.metrics["quarantine_rows"], expected) == expected.aside
    assert outcome.metrics["invalid_lines"] == expected.invalid
    return ""


def aside(inside: Inside, columns: dict[str, str], count: int, expected: reference.Expected) -> list[reference.Aside]:
    """The rows put aside, in the order of those expected. Of several wrong columns DuckDB may tell only one."""
    if not count:
        return []
    listed = ", ".join(f'"{column}"' for column in columns)
    found = inside.rows(f"SELECT {listed}, c__error_column FROM t_quarantine")
    left: dict[tuple[Any, ...], list[Any]] = collections.defaultdict(list)
    for one in expected.aside:
        left[one[0]].append(one[1])
    unknown = []
    for *texts, told in found:
        fit = [wrong for wrong in left[tuple(texts)] if set(told) & set(wrong)]
        if fit:
            left[tuple(texts)].remove(fit[0])
        else:
            unknown.append((tuple(texts), tuple(told)))
    missing = [(texts, wrong) for texts, all_ in left.items() for wrong in all_]
    assert (unknown, missing) == ([], [])
    return expected.aside


def csv_is_exact(inside: Inside, seed: int, story: Story) -> None:
    if story.whole is not None:
        return what_stands_before_the_damage_is_there(inside, story)
    expected = reference.csv_rows(story.plain, story.dialect, story.columns, story.order)
    refused = check(inside, story.name, story.data, story.columns, expected, options=story.options)
    broken = story.plain.decode(errors="replace").count("\ufffd") > 0
    assert not refused or not expected.rows or (broken and "no UTF-8" in refused), refused
    return None


def what_stands_before_the_damage_is_there(inside: Inside, story: Story) -> None:
    assert story.whole is not None
    (inside.files / story.name).write_bytes(story.data)
    inside.rows("DROP TABLE IF EXISTS t")
    outcome = inside.tried(str(inside.files / story.name), "t", columns=story.columns, options=story.options)
    if isinstance(outcome, str):
        assert any(said in outcome for said in REFUSED), outcome
        return
    expected = reference.csv_rows(story.whole, story.dialect, story.columns, story.order)
    sure = expected.rows[:-2]  # the last one may go on behind the damage
    missing = collections.Counter(map(same, sure)) - collections.Counter(map(same, inside.rows("FROM t")))
    assert not missing


def try_all(inside: Inside, seeds: range, one: Any) -> None:
    for seed in seeds:
        try:
            one(inside, seed)
        except AssertionError as error:
            error.add_note(f"The seed is {seed}.")
            raise
    assert inside.left() == []


def small_csv(inside: Inside, seed: int) -> None:
    csv_is_exact(inside, seed, csv_story(seed))


def large_csv(inside: Inside, seed: int) -> None:
    csv_is_exact(inside, seed, csv_story(seed, (500, 1000, 3000)))


def ndjson(inside: Inside, seed: int) -> None:
    story = json_stories.story(seed)
    expected = reference.ndjson_rows(story.plain, story.columns)
    refused = check(inside, story.name, story.data, story.columns, expected, options=story.options)
    assert not refused or not expected.rows, refused


def parquet(inside: Inside, seed: int) -> None:
    story = parquet_stories.story(seed)
    assert check(inside, "f.parquet", story.data, story.columns, story.expected) == ""


def test_small_csv_files_are_loaded_exactly(inside: Inside) -> None:
    try_all(inside, range(110), small_csv)


def test_csv_files_with_many_edges_are_loaded_exactly(inside: Inside, small_pieces: None) -> None:
    try_all(inside, range(8), large_csv)


def test_ndjson_files_are_loaded_exactly(inside: Inside) -> None:
    try_all(inside, range(70), ndjson)


def test_parquet_files_are_loaded_exactly(inside: Inside) -> None:
    try_all(inside, range(24), parquet)


@pytest.mark.long
@pytest.mark.parametrize(("one", "share"), [(small_csv, 1.0), (ndjson, 0.5), (parquet, 0.3)])
def test_many_files_are_loaded_exactly(inside: Inside, one: Any, share: float) -> None:
    try_all(inside, range(FIRST, FIRST + int(FILES * share)), one)


@pytest.mark.long
def test_many_files_with_many_edges_are_loaded_exactly(inside: Inside, small_pieces: None) -> None:
    try_all(inside, range(FIRST, FIRST + FILES // 10), large_csv)
