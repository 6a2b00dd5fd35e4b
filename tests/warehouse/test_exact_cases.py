"""What the files of `test_exact` found, one small file each."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import pytest

from runyard.core.actions import Load
from tests.warehouse.desk import Desk
from tests.warehouse.inside import Inside, opened
from tests.warehouse.server import Files
from tests.warehouse.stories import csv_story
from tests.warehouse.test_exact import small_pieces  # noqa: F401

AB = {"a": "INTEGER", "b": "VARCHAR"}
DAY, NEXT = datetime.date(2024, 12, 30), datetime.date(2024, 12, 31)
TEN = datetime.time(10)


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    with opened(tmp_path_factory.mktemp("inside")) as one:
        yield one


def load(
    inside: Inside, body: str, columns: dict[str, str], name: str = "f.csv", **options: Any
) -> tuple[Any, Any, int]:
    """Rows, rows put aside (their columns only) and lines that do not parse."""
    (inside.files / name).write_bytes(body.encode())
    for table in ("t", "t_quarantine"):
        inside.rows(f"DROP TABLE IF EXISTS {table}")
    outcome = inside.load(str(inside.files / name), "t", columns=columns, options=options)
    aside = []
    if outcome.metrics["quarantine_rows"]:
        aside = [row[:-4] for row in inside.rows("FROM t_quarantine")]
    return inside.rows("FROM t ORDER BY ALL"), sorted(aside, key=repr), outcome.metrics["invalid_lines"]


CASES: dict[str, tuple[str, dict[str, str], tuple[Any, Any, int]]] = {
    "what is too much in a file of mixed line ends": (
        'a,b\r\n1,x\n2,y,lost\n3,"q"lost\r\n4,z\r\n', AB, ([(1, "x"), (4, "z")], [], 2),
    ),
    "line ends in quotes stay as they are in a file of mixed ones": (
        'a,b\r\n1,"x\r\ny\rz"\n2,"u\nv"\r3,w\n', AB, ([(1, "x\r\ny\rz"), (2, "u\nv"), (3, "w")], [], 0),
    ),
    "a line end within the first quotes": ('a,"b"\n1,"x\r"\n2,"\r\ny"\n', AB, ([(1, "x\r"), (2, "\r\ny")], [], 0)),
    "line ends within the quotes of rows put aside": (
        'a,b\nx,"\ry"\n2,z\ny,"u\r\nv"\n', AB, ([(2, "z")], [("x", "\ry"), ("y", "u\r\nv")], 0),
    ),
    "values that are cast late among other wrong ones": (
        "a,u,h\nx,7b0c,1\n\n\ny,7b0d,z\n1,7b0e,2\n2,,9\n",
        {"a": "INTEGER", "u": "UUID", "h": "HUGEINT"},
        ([(2, None, 9)], [("1", "7b0e", "2"), ("x", "7b0c", "1"), ("y", "7b0d", "z")], 0),
    ),
    "something behind a date": (
        "d,a\n2024-12-31x,1\n2024-12-31 99,2\n2024-12-31,3\n2024-12-30 00:00:00,4\n",
        {"d": "DATE", "a": "INTEGER"},
        ([(DAY, 4), (NEXT, 3)], [("2024-12-31 99", "2"), ("2024-12-31x", "1")], 0),
    ),
    "spaces around a date": ("d,a\n2024-12-31 ,1\n 2024-12-30,2\n", {"d": "DATE", "a": "INTEGER"}, (
        [(DAY, 2), (NEXT, 1)], [], 0,
    )),
    "something behind a time": (
        "d,a\n10:00:00 PM,1\n10:00:00x,2\n10:00:00,3\n",
        {"d": "TIME", "a": "INTEGER"},
        ([(TEN, 3)], [("10:00:00 PM", "1"), ("10:00:00x", "2")], 0),
    ),
    "the afternoon behind an ISO date": (
        "d,a\n2024-12-31 10:00:00 PM,1\n2024-12-31 10:00:00 am,2\n",
        {"d": "TIMESTAMP", "a": "INTEGER"},
        ([(datetime.datetime(2024, 12, 31, 10), 2), (datetime.datetime(2024, 12, 31, 22), 1)], [], 0),
    ),
    "one date of another form among ISO ones": (
        "d,a\n2024-12-31,1\n2024-12-30,2\n01/02/2024,3\n13/02/2024,4\n",
        {"d": "DATE", "a": "INTEGER"},
        ([(DAY, 2), (NEXT, 1)], [("01/02/2024", "3"), ("13/02/2024", "4")], 0),
    ),
    "dates with dots, the year first": ("d,a\n2024.12.31,1\n", {"d": "DATE", "a": "INTEGER"}, ([(NEXT, 1)], [], 0)),
    "remarks before the header": ("# made by x\n# y\na,b\n1,x\n", AB, ([(1, "x")], [], 2)),
    "a header that begins with a hash": ("#a,b\n1,x\n", {"#a": "INTEGER", "b": "VARCHAR"}, ([(1, "x")], [], 0)),
    "a backslash before a quote in a plain value": (
        'a,b\n1,x\\"y\n2,"C:\\dir"\n3,"k\\\\"\n', AB, ([(1, 'x\\"y'), (2, "C:\\dir"), (3, "k\\\\")], [], 0),
    ),
    "escaped quotes at the end of a value": (
        'a,b\n1,"say \\"hi\\" twice"\n2,"say \\"hi\\""\n', AB, ([(1, 'say "hi" twice'), (2, 'say "hi"')], [], 0),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("body", "columns", "found"), CASES.values(), ids=CASES.keys())
def test_nothing_is_lost_or_changed_by(inside: Inside, body: str, columns: dict[str, str], found: Any) -> None:
    assert load(inside, body, columns) == found


def test_first_lines_with_other_numbers_of_values_do_not_refuse_a_file(inside: Inside) -> None:
    body = "1;x;more\n2\n" + "".join(f"{n};y\n" for n in range(3, 9))
    rows, aside, invalid = load(inside, body, AB, delimiter=";", header=False)
    assert (len(rows), aside, invalid) == (6, [], 2)


def test_a_stray_quote_in_a_first_line_does_not_refuse_a_file(inside: Inside) -> None:
    options: dict[str, Any] = {"quote": '"', "escape": "\\", "delimiter": ",", "header": False}
    assert load(inside, '"0"\n"42"\n"-92"20,77"\n"7"\n', {"a": "BIGINT"}, **options) == ([(0,), (7,), (42,)], [], 1)


def test_a_file_of_cr_alone_is_not_cut_at_other_ends(inside: Inside, small_pieces: None) -> None:  # noqa: F811
    body = "a,b\r" + "".join(f'{n if n % 50 else "x"},"two\nlines"\r' for n in range(1500))
    rows, aside, invalid = load(inside, body, AB)
    assert (len(rows), len(aside), invalid) == (1470, 30, 0)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_an_empty_line_at_the_edge_of_a_block_refuses_nothing(inside: Inside, small_pieces: None, end: str) -> None:  # noqa: F811
    for shift in (1, 4, 5, 12, 18):
        body = f"a,{'b' * shift}b{end}" + "".join(f"{n:08},x{end}{end}" for n in range(2500))
        assert len(load(inside, body, {"a": "INTEGER", f"{'b' * shift}b": "VARCHAR"})[0]) == 2500


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_a_large_file_that_is_not_utf8_is_read_to_its_end(inside: Inside, small_pieces: None, encoding: str) -> None:  # noqa: F811
    (inside.files / "e.csv").write_bytes(("a,b\n" + "".join(f"{n},ü€ü€\n" for n in range(3000))).encode(encoding))
    outcome = inside.load(str(inside.files / "e.csv"), f"large_{encoding[:2]}", columns=AB)
    assert [outcome.metrics[one] for one in ("rows", "quarantine_rows", "invalid_lines")] == [3000, 0, 0]


def test_rejected_values_that_are_cast_late_are_told_apart_across_buffers(inside: Inside, small_pieces: None) -> None:  # noqa: F811
    body = "a,u\n" + "".join(f"{n if n % 7 else 'x'},{'7b0c' if n % 5 == 0 else ''}\n" for n in range(4000))
    rows, aside, invalid = load(inside, body, {"a": "INTEGER", "u": "UUID"})
    wrong = [n for n in range(4000) if n % 7 == 0 or n % 5 == 0]
    assert (len(rows), len(aside), invalid) == (4000 - len(wrong), len(wrong), 0)


def test_ndjson_without_a_field_says_so(inside: Inside) -> None:
    (inside.files / "e.ndjson").write_text("{}\n{}\n")
    assert "none of its objects has a field" in str(inside.tried(str(inside.files / "e.ndjson"), "none"))


def test_large_whole_numbers_of_ndjson_keep_their_digits(inside: Inside) -> None:
    large = 12345678901234567890123
    assert load(inside, f'{{"a":{large}}}\n{{"a":1}}\n', {}, "l.ndjson")[0] == [(1,), (large,)]
    assert load(inside, f'{{"a":{large**2}}}\n{{"a":1}}\n', {}, "l.ndjson")[0] == [("1",), (str(large**2),)]


def test_a_time_of_ndjson_with_something_behind_it_is_put_aside(inside: Inside) -> None:
    body = '{"a":"10:00:00 PM","t":"2024-01-01 10:00:00"}\n{"a":"10:00","t":"2024-01-01 10:00:00 PM"}\n{"a":"10:00"}\n'
    rows, aside, _ = load(inside, body, {"a": "TIME", "t": "TIMESTAMP"}, "t.ndjson")
    assert rows == [(TEN, None)]
    assert len(aside) == 2


def test_samples_of_ndjson_are_lines_that_were_not_taken(inside: Inside) -> None:
    (inside.files / "s.ndjson").write_text('{"a":1,}\n{"a":NaN}\nno\n')
    outcome = inside.load(str(inside.files / "s.ndjson"), "samples", columns={"a": "VARCHAR"})
    assert [one["line"] for one in outcome.output["invalid_sample"]] == [3]


def test_a_path_an_upload_and_a_url_give_the_same_table(shared: Desk) -> None:
    files, uploads = Files(), shared.home / "uploads"
    uploads.mkdir(exist_ok=True)
    try:
        for seed in (3, 8, 13, 17, 20, 28):
            story = csv_story(seed)
            (shared.files / story.name).write_bytes(story.data)
            (uploads / f"{seed:032x}").write_bytes(story.data)
            sources = {"path": story.name, "url": files.serve(f"/{story.name}", story.data)}
            sources["upload"] = f"upload:{seed:032x}"
            found = []
            for place, source in sources.items():
                table = f"{place}_{seed}"
                outcome = shared.run(Load(source=source, table=table, columns=story.columns, options=story.options))
                rows = shared.executor.query("default", f"FROM {table} ORDER BY ALL", limit=500).result(10)["rows"]
                found.append((rows, [outcome.metrics[one] for one in ("rows", "quarantine_rows", "invalid_lines")]))
            assert found[0] == found[1] == found[2], seed
    finally:
        files.close()


@pytest.mark.parametrize("end", ["\n", "\n\n\n", "\r\n\r\n"])
def test_empty_lines_at_the_end_of_a_file_for_one_thread_are_no_bad_ones(
    inside: Inside,
    small_pieces: None,  # noqa: F811
    end: str,
) -> None:
    first = "\r\n" if "\r" in end else "\n"
    body = first.join(["a,b", *(f'{n},"say \\"x\\" so"' for n in range(1500))]) + end
    rows, aside, invalid = load(inside, body, AB)
    assert (len(rows), aside, invalid) == (1500, [], 0)


def test_a_large_file_for_one_thread_may_have_columns_that_are_cast_late(inside: Inside, small_pieces: None) -> None:  # noqa: F811
    one = "7b0cbbd4-0be5-4b18-b0a8-c5eb3a12ae0c"
    body = "u,b\n" + "".join(f'{one},"say \\"x\\" so"\n' for n in range(1500))
    rows, aside, invalid = load(inside, body, {"u": "UUID", "b": "VARCHAR"})
    assert (len(rows), aside, invalid) == (1500, [], 0)


def test_a_value_that_begins_with_a_mark_keeps_it_where_a_piece_begins(inside: Inside, small_pieces: None) -> None:  # noqa: F811
    body = "b,a\n" + "".join(f"\ufeffx,{n}\n" for n in range(4000))
    rows, aside, invalid = load(inside, body, {"b": "VARCHAR", "a": "INTEGER"})
    assert ({row[0] for row in rows}, len(rows), aside, invalid) == ({"\ufeffx"}, 4000, [], 0)
