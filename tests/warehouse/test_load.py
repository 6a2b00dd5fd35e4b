"""Loads: typed, whole or not at all, with a quarantine, from checked places only."""

from __future__ import annotations

import bz2
import gzip
import http.server
import lzma
import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runyard.core.actions import Load
from tests.warehouse.desk import Desk
from tests.warehouse.server import Files

MIXED = b"""a,b,d
1,x,2020-01-01
zz,y,2020-01-02
3,"q,q",nope
4,w
5,v,2020-01-05,extra
6,"two
lines",bad
8,t,2020-02-02
"""
COLUMNS = {"a": "INTEGER", "b": "VARCHAR", "d": "DATE"}


@pytest.fixture(scope="module")
def files() -> Iterator[Files]:
    files = Files()
    yield files
    files.close()


def load(desk: Desk, source: str, table: str, **fields: Any) -> Any:
    return desk.run(Load(source=source, table=table, **fields))


def test_rows_of_a_url_that_do_not_fit_are_put_aside(shared: Desk, files: Files) -> None:
    url = files.serve("/mixed.csv", MIXED)
    outcome = load(shared, url, "mixed", columns=COLUMNS)
    assert outcome.result == "succeeded", outcome.detail
    counts = {name: outcome.metrics[name] for name in ("rows", "bytes", "quarantine_rows", "invalid_lines")}
    assert counts == {"rows": 2, "bytes": len(MIXED), "quarantine_rows": 3, "invalid_lines": 2}
    assert shared.rows("FROM mixed ORDER BY a") == [[1, "x", "2020-01-01"], [8, "t", "2020-02-02"]]
    aside = shared.rows("SELECT a, b, d, c__error_column, len(c__error), c__import_id FROM mixed_quarantine ORDER BY a")
    assert [row[:5] for row in aside] == [
        ["3", "q,q", "nope", ["d"], 1],
        ["6", "two\nlines", "bad", ["d"], 1],
        ["zz", "y", "2020-01-02", ["a"], 1],
    ]
    assert len({row[5] for row in aside}) == 1


def test_too_many_bad_rows_load_nothing(shared: Desk, files: Files) -> None:
    url = files.serve("/bad.csv", MIXED)
    outcome = load(shared, url, "strict", columns=COLUMNS, max_bad_rows=4)
    assert (outcome.result, outcome.reason) == ("failed", "load_error")
    assert outcome.detail.startswith("5 rows do not fit")
    assert shared.run("FROM strict").result == "failed"
    assert load(shared, url, "strict", columns=COLUMNS, max_bad_rows=5).result == "succeeded"


def test_append_keeps_and_replace_drops_what_was_there(shared: Desk) -> None:
    (shared.files / "n.csv").write_text("n,t\n1,a\n2,b\n")
    load(shared, "n.csv", "kept")
    load(shared, "n.csv", "kept")
    assert shared.rows("SELECT count(*) FROM kept") == [[4]]
    load(shared, "n.csv", "kept", mode="replace")
    assert shared.rows("SELECT count(*) FROM kept") == [[2]]


def test_a_loaded_file_stays_where_it_was_and_nothing_stays_in_the_spool(shared: Desk) -> None:
    (shared.files / "own.csv").write_text("n\n1\n")
    load(shared, "own.csv", "own")
    assert (shared.files / "own.csv").read_text() == "n\n1\n"
    assert not [path for path in (shared.home / "warehouse").glob("*.spool/*/*") if path.is_file()]


def test_a_failing_replace_leaves_the_table_as_it_was(shared: Desk) -> None:
    (shared.files / "good.csv").write_text("n\n1\n2\n")
    (shared.files / "wrong.csv").write_text("n\nx\ny\n")
    load(shared, "good.csv", "stays")
    assert load(shared, "wrong.csv", "stays", mode="replace", max_bad_rows=0).result == "failed"
    assert shared.rows("SELECT n FROM stays ORDER BY n") == [[1], [2]]


def test_create_refuses_a_table_that_exists(shared: Desk) -> None:
    (shared.files / "c.csv").write_text("n\n1\n")
    assert load(shared, "c.csv", "made", mode="create").result == "succeeded"
    outcome = load(shared, "c.csv", "made", mode="create")
    assert outcome.result == "failed"
    assert "exists already" in outcome.detail


def test_loads_and_truncates_of_one_table_keep_their_order(shared: Desk, files: Files) -> None:
    url = files.serve("/order.csv", b"n\n1\n2\n3\n")
    load(shared, url, "ordered")
    numbers = [shared.start(Load(source=url, table="ordered")) for _ in range(3)]
    numbers.append(shared.start("TRUNCATE ordered"))
    numbers.append(shared.start(Load(source=url, table="ordered")))
    assert {shared.wait(number).result for number in numbers} == {"succeeded"}
    assert shared.rows("SELECT count(*) FROM ordered") == [[3]]


def test_a_repeated_load_returns_the_recorded_outcome(shared: Desk, files: Files) -> None:
    url = files.serve("/again.csv", b"n\n1\n")
    first = shared.start(Load(source=url, table="again"))
    before = shared.wait(first)
    assert shared.wait(shared.start(Load(source=url, table="again"), token=2, same_as=first)) == before
    assert shared.rows("SELECT count(*) FROM again") == [[1]]
    assert sum(path == "/again.csv" for path, _ in files.asked) == 1


def test_ndjson_quarantines_values_and_counts_lines_that_are_none(shared: Desk, files: Files) -> None:
    body = b'{"a":1,"n":{"k":[1,2]}}\n{"a":"zz"}\nnot json\n{"a":4,"t":"x"}\n[1]\n'
    url = files.serve("/events", body, "application/x-ndjson")
    columns = {"a": "INTEGER", "n": "STRUCT(k INTEGER[])", "t": "VARCHAR"}
    outcome = load(shared, url, "events", columns=columns)
    assert outcome.result == "succeeded", outcome.detail
    assert (outcome.metrics["quarantine_rows"], outcome.metrics["invalid_lines"]) == (1, 2)
    assert shared.rows("FROM events ORDER BY a") == [[1, {"k": [1, 2]}, None], [4, None, "x"]]


def test_parquet_is_cast_to_the_tables_types(shared: Desk) -> None:
    pq.write_table(pa.table({"a": ["1", "x"], "b": ["p", "q"]}), shared.files / "p.parquet")
    outcome = load(shared, "p.parquet", "parts", columns={"a": "INTEGER", "b": "VARCHAR"})
    assert (outcome.metrics["rows"], outcome.metrics["quarantine_rows"]) == (1, 1)
    assert shared.rows("SELECT a, c__error_column FROM parts_quarantine") == [["x", ["a"]]]


@pytest.mark.parametrize("ending", ["gz", "zst"])
def test_compressed_csv_is_read_by_its_name(shared: Desk, files: Files, ending: str) -> None:
    body = b"n,t\n" + b"".join(b"%d,row\n" % n for n in range(1000))
    packed = gzip.compress(body) if ending == "gz" else pa.compress(body, codec="zstd", asbytes=True)
    url = files.serve(f"/packed.csv.{ending}", packed)
    assert load(shared, url, f"packed_{ending}").metrics["rows"] == 1000


def test_options_say_how_a_csv_is_written(shared: Desk) -> None:
    (shared.files / "o.csv").write_text("1;NULL;02.01.2024\n2;'x;y';03.01.2024\n")
    options = {"delimiter": ";", "header": False, "quote": "'", "null_string": "NULL", "date_format": "%d.%m.%Y"}
    outcome = load(shared, "o.csv", "opts", columns=COLUMNS, options=options)
    assert outcome.result == "succeeded", outcome.detail
    assert shared.rows("FROM opts ORDER BY a") == [[1, None, "2024-01-02"], [2, "x;y", "2024-01-03"]]


def test_null_strings_and_date_formats_count_when_types_are_detected(shared: Desk) -> None:
    (shared.files / "d.csv").write_text("n,d\n1,02.01.2024\nNA,31.01.2024\n")
    outcome = load(shared, "d.csv", "found", options={"null_string": "NA", "date_format": "%d.%m.%Y"})
    assert [column["type"] for column in outcome.output["columns"]] == ["BIGINT", "DATE"]
    assert shared.rows("FROM found ORDER BY d") == [[1, "2024-01-02"], [None, "2024-01-31"]]


ENCODED = [
    ("utf-8", "", None), ("utf-8-sig", "", None), ("utf-16", "", "utf-16"), ("cp1252", "", "windows-1252"),
    ("cp1252", "windows-1252", "cp1252"),
    ("iso8859-2", "iso8859-2", "iso8859-2"),
    ("utf-16-le", "utf-16-le", "utf-16-le"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("written", "given", "told"), ENCODED, ids=[f"{one}-{two or 'found'}" for one, two, _ in ENCODED]
)
@pytest.mark.parametrize("ending", ["csv", "ndjson"])
def test_an_encoding_is_given_or_found(shared: Desk, written: str, given: str, told: str | None, ending: str) -> None:
    lines = {"csv": "who,t\n1,Öl für José\n", "ndjson": '{"who": 1, "t": "Öl für José"}\n'}
    table = f"enc_{written}_{given}_{ending}".replace("-", "_")
    (shared.files / f"{table}.{ending}").write_bytes(lines[ending].encode(written))
    outcome = load(shared, f"{table}.{ending}", table, options={"encoding": given} if given else {})
    assert outcome.result == "succeeded", outcome.detail
    assert shared.rows(f"FROM {table}") == [[1, "Öl für José"]]
    if ending == "csv":
        assert outcome.output["reading"].get("encoding") == told


@pytest.mark.parametrize(
    ("given", "said"), [("utf-8-nope", "no encoding"), ("hex", "no encoding"), ("ascii", "not ascii")]
)
def test_an_encoding_that_is_none_or_another_one_loads_nothing(shared: Desk, given: str, said: str) -> None:
    (shared.files / "enc.csv").write_text("who,t\n1,Öl\n")
    outcome = load(shared, "enc.csv", "never", options={"encoding": given})
    assert outcome.result == "failed"
    assert said in outcome.detail


def test_some_broken_lines_do_not_make_a_utf8_file_another_ones(shared: Desk) -> None:
    (shared.files / "some.csv").write_bytes("who,t\n1,Öl\n".encode() + b"2,\xff\xff\n")
    outcome = load(shared, "some.csv", "partly")
    assert (outcome.metrics["rows"], outcome.metrics["invalid_lines"]) == (1, 1)
    assert shared.rows("FROM partly") == [[1, "Öl"]]


@pytest.mark.parametrize("line", ["b;A", "b,a", "b\tA", "B|a"])
def test_a_header_that_names_the_tables_columns_tells_the_delimiter(shared: Desk, line: str) -> None:
    delimiter = line[1]
    (shared.files / "named.csv").write_text(f"{line}\nx{delimiter}1\n")
    outcome = load(shared, "named.csv", "named", columns={"a": "INTEGER", "b": "VARCHAR"}, mode="replace")
    assert outcome.output["reading"]["delimiter"] == delimiter, outcome.detail
    assert shared.rows("FROM named") == [[1, "x"]]


def test_a_header_is_known_by_the_tables_columns_even_when_all_is_text(shared: Desk) -> None:
    (shared.files / "h.csv").write_text("x,y\na,b\nc,d\n")
    outcome = load(shared, "h.csv", "texts", columns={"x": "VARCHAR", "y": "VARCHAR"})
    assert outcome.metrics["rows"] == 2


def test_a_download_that_breaks_off_is_resumed(shared: Desk, files: Files) -> None:
    body = b"n\n" + b"".join(b"%d\n" % n for n in range(50_000))
    url = files.cut_off("/resumed.csv", body, 100_000, times=1, ranges=True)
    assert load(shared, url, "resumed").metrics["rows"] == 50_000
    ranges = [asked for path, asked in files.asked if path == "/resumed.csv"]
    assert ranges[0] is None
    assert ranges[1] is not None


def test_a_server_that_cannot_resume_is_read_from_the_start(shared: Desk, files: Files) -> None:
    body = b"n\n" + b"".join(b"%d\n" % n for n in range(50_000))
    url = files.cut_off("/restarted.csv", body, 100_000, times=1, ranges=False)
    assert load(shared, url, "restarted").metrics["rows"] == 50_000


def test_a_download_that_always_breaks_off_loads_nothing(shared: Desk, files: Files) -> None:
    url = files.cut_off("/broken.csv", b"n\n" + b"1\n" * 1000, 0, times=99, ranges=False)
    outcome = load(shared, url, "broken")
    assert (outcome.result, outcome.reason) == ("failed", "load_error")
    assert "broke off" in outcome.detail
    assert shared.run("FROM broken").result == "failed"


def test_parts_of_two_files_are_not_put_together(shared: Desk, files: Files) -> None:
    url = files.cut_off("/changed.csv", b"n\n" + b"1\n" * 100_000, 100_000, times=1, ranges=True)
    whole = files.paths["/changed.csv"]
    files.serve("/changed.csv", b"n\n" + b"22\n" * 100_000)
    later = files.paths["/changed.csv"]
    tries = iter([whole])
    files.paths["/changed.csv"] = lambda request: next(tries, later)(request)
    outcome = load(shared, url, "changed")
    assert (outcome.result, outcome.retry) == ("failed", True), outcome.metrics
    assert "became another file" in outcome.detail
    assert load(shared, url, "changed").metrics["rows"] == 100_000


def test_the_end_of_a_body_in_pieces_is_known(shared: Desk, files: Files) -> None:
    """A length that nobody told: each piece comes after its own, and an empty one ends the body."""
    body, asked = b"n\n" + b"1\n" * 20_000, []

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        asked.append(request.headers.get("Range"))
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        for start in range(0, len(body), 4000):
            piece = body[start : start + 4000]
            request.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        if len(asked) > 1:  # the first time the connection ends without the end of the body
            request.wfile.write(b"0\r\n\r\n")

    files.paths["/pieces.csv"] = answer
    assert load(shared, files.url("/pieces.csv"), "in_pieces").metrics["rows"] == 20_000
    assert len(asked) == 2


def test_a_large_download_tells_its_progress_and_can_be_stopped(shared: Desk, files: Files) -> None:
    def endless(request: Any) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(1 << 30))
        request.end_headers()
        while True:
            request.wfile.write(b"1\n" * 1000)
            time.sleep(0.01)

    def quiet(request: Any) -> None:
        try:
            endless(request)
        except OSError:
            request.close_connection = True

    files.paths["/endless.csv"] = quiet
    shared.wait_started(number := shared.start(Load(source=files.url("/endless.csv"), table="endless")))
    until = time.monotonic() + 5
    while not shared.progress(number) and time.monotonic() < until:
        time.sleep(0.01)
    shared.executor.stop(number, 1, grace=0, why="cancel")
    assert shared.wait(number, 2.0).result == "stopped"
    assert shared.progress(number)[0].data["bytes"] >= 0


BAD = [
    ("/nowhere.csv", None, "answered 404"),
    ("/page", (b"<!doctype html><p>hello", "text/html"), "HTML page"),
    ("/page.csv", (b"<html>\n<body>hello, world</body>\n</html>\n", "text/csv"), "cannot be read as CSV"),
    ("/empty.csv", (b"", "text/csv"), "empty"),
    ("/binary.csv", (bytes(range(256)) * 40, "text/csv"), "cannot be read as CSV"),
    ("/not.parquet", (b"PAR0" * 100, "text/plain"), "cannot be read as Parquet"),
    ("/book.xlsx", (b"PK\x03\x04" + bytes(200), "text/csv"), "a zip archive or an Excel file"),
    ("/x.csv.xz", (lzma.compress(b"n\n1\n"), "text/csv"), "packed with xz"),
    ("/x.csv.bz2", (bz2.compress(b"n\n1\n"), "text/csv"), "packed with bzip2"),
    ("/half.csv.gz", (gzip.compress(b"n\n" + b"1\n" * 9999)[:40], "text/csv"), ""),
]


@pytest.mark.parametrize(("path", "answer", "said"), BAD, ids=[path for path, _, _ in BAD])
def test_a_source_that_is_no_table_is_said_in_one_line(
    shared: Desk, files: Files, path: str, answer: tuple[bytes, str] | None, said: str
) -> None:
    url = files.serve(path, *answer) if answer else files.url(path)
    outcome = load(shared, url, "never")
    assert (outcome.result, outcome.reason) == ("failed", "load_error"), outcome.metrics
    assert said in outcome.detail
    assert "\n" not in outcome.detail
    assert str(shared.home) not in str(outcome.error)
    assert shared.run("FROM never").result == "failed"


def test_a_column_that_the_table_does_not_have_is_named(shared: Desk) -> None:
    (shared.files / "w.csv").write_text("n,extra\n1,2\n")
    shared.run("CREATE TABLE narrow (n INTEGER)")
    assert "'extra'" in load(shared, "w.csv", "narrow").detail


@pytest.mark.parametrize("source", ["/etc/passwd", "../warehouse/default.duckdb", "file:///etc/passwd", "link.csv", ""])
def test_files_outside_the_allowed_folders_are_refused(shared: Desk, source: str) -> None:
    link = shared.files / "link.csv"
    if not link.is_symlink():
        link.symlink_to("/etc/passwd")
    assert load(shared, source, "never").result == "failed"


@pytest.mark.parametrize("kind", ["INTEGER); DROP TABLE x; --", "nope", ""])
def test_a_column_type_is_a_type_and_nothing_else(shared: Desk, kind: str) -> None:
    (shared.files / "k.csv").write_text("n\n1\n")
    assert load(shared, "k.csv", "never", columns={"n": kind}).result == "failed"


@pytest.mark.parametrize("table", ["effects", "EFFECTS"])
def test_a_load_cannot_name_our_own_schema(shared: Desk, table: str) -> None:
    (shared.files / "k.csv").write_text("run_id\n1\n")
    assert load(shared, "k.csv", table, schema="_Runyard").result == "failed"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    desk = Desk(tmp_path_factory.mktemp("guarded"), allow_private_urls=False)
    yield desk
    desk.close()


PRIVATE = ["http://127.0.0.1:{}/x", "http://localhost:{}/x", "http://2130706433:{}/x", "http://0177.0.0.1:{}/x"]
PRIVATE += ["http://[::1]:{}/x", "http://[::ffff:127.0.0.1]:{}/x", "http://0:{}/x", "http://0.0.0.0:{}/x"]
PRIVATE += ["http://10.0.0.1:{}/x", "http://169.254.169.254/latest/meta-data", "ftp://127.0.0.1:{}/x"]
PRIVATE += ["http://a:b@127.0.0.1:{}/x", "http://127.1:{}/x", "http://[64:ff9b::7f00:1]:{}/x"]


@pytest.mark.parametrize("url", PRIVATE)
def test_a_private_address_is_refused_by_default(guarded: Desk, files: Files, url: str) -> None:
    before = len(files.asked)
    outcome = guarded.run(Load(source=url.format(files.url("").rpartition(":")[2]), table="never"))
    assert (outcome.result, outcome.reason, outcome.retry) == ("failed", "load_error", False)
    assert len(files.asked) == before


def test_what_signs_a_url_is_in_no_message(shared: Desk, files: Files) -> None:
    for url in (
        files.url("/gone.csv?sig=5ecret"),
        files.cut_off("/cut.csv?sig=5ecret", b"n\n1\n", 0, times=9, ranges=False),
    ):
        outcome = load(shared, url, "never")
        assert outcome.result == "failed"
        assert "5ecret" not in str(outcome), outcome


def test_a_redirect_to_another_scheme_is_refused(shared: Desk, files: Files) -> None:
    url = files.redirect("/away", "file:///etc/passwd")
    assert "http" in load(shared, url, "never").detail


def test_a_redirect_to_a_public_name_of_a_file_is_followed(shared: Desk, files: Files) -> None:
    url = files.redirect("/moved.csv", files.serve("/here.csv", b"n\n1\n"))
    assert load(shared, url, "moved").metrics["rows"] == 1


def test_a_redirect_in_a_circle_ends(shared: Desk, files: Files) -> None:
    url = files.redirect("/round", files.url("/round"))
    assert "redirects" in load(shared, url, "never").detail
