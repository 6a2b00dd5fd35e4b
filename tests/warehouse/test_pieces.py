"""Large CSV files with bad lines: each line is a row, put aside, or counted, wherever the reader cuts the file."""

from __future__ import annotations

import http.server
import os
import random
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest

from runyard.core.actions import Load
from runyard.core.attempts import Outcome
from runyard.warehouse import pieces
from runyard.warehouse.failures import LoadFailed
from runyard.warehouse.fetch import Source
from tests.warehouse.desk import Desk
from tests.warehouse.server import Files

COLUMNS = {"at": "TIMESTAMP", "n": "BIGINT", "word": "VARCHAR", "data": "VARCHAR"}
HEADER = "at,n,word,data\n"
GOOD, BAD = "2024-01-01 00:00:01", "this is not a date!"
SIZE = 17_000_000
"""More than two blocks."""
PLAIN = {"quote": "'\"'", "escape": "'\"'", "header": "true", "skip": "0", "new_line": r"'\n'"}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Any:
    one = Desk(tmp_path_factory.mktemp("pieces"))
    yield one
    one.close()


def line(n: int, *, at: str = GOOD) -> str:
    """Always as long, with half of it in quotes."""
    return f'{at},{n:08},view,"{{""city"": ""Berlin"", ""price"": {n % 100_000:05}}}"\n'


def edge(path: Path, bad: str) -> int:
    """A file in which every block begins within quotes, before a bad line; how many lines it has."""
    length, count = len(line(0)), SIZE // len(line(0))
    with path.open("w") as file:
        head = HEADER.rstrip("\n") + "\n"
        file.write(head)
        for n in range(count):
            start = len(head) + n * length
            edges = range(pieces.BLOCK_BYTES, SIZE, pieces.BLOCK_BYTES)
            file.write(bad.format(n=n) if any(start - length < edge <= start for edge in edges) else line(n))
    return count


def load(desk: Desk, path: Path | str, table: str, **fields: Any) -> Outcome:
    action = Load(source=str(path), table=table, columns=fields.pop("columns", COLUMNS), **fields)
    outcome = desk.wait(desk.start(action), 60)
    assert outcome.result == "succeeded", outcome.detail
    return outcome


def counts(outcome: Outcome) -> tuple[int, int, int]:
    return tuple(outcome.metrics[name] for name in ("rows", "quarantine_rows", "invalid_lines"))


def sums(desk: Desk, table: str, where: str = "true") -> Any:
    return desk.rows(f"SELECT count(*)::BIGINT, sum(n::BIGINT)::BIGINT FROM {table} WHERE {where}")[0]


def test_duckdb_alone_still_leaves_out_a_block_that_begins_before_a_bad_line(tmp_path: Path) -> None:
    """Should this fail one day, then `pieces` may go."""
    lost = 0
    for shift in range(0, 76, 4):
        path = tmp_path / "edge.csv"
        text = HEADER.replace("data", "data" + "x" * shift)
        length, count = len(line(0)), 9_000_000 // len(line(0))
        first = (pieces.BLOCK_BYTES - len(text)) // length + 1
        rows = (line(n, at=BAD if n == first else GOOD) for n in range(count))
        path.write_text(text + "".join(rows))
        bare = duckdb.connect()
        kinds = ", ".join(f"'{name}': '{kind}'" for name, kind in COLUMNS.items())
        bare.execute(
            f"CREATE TABLE t AS SELECT * FROM read_csv('{path}', columns = {{{kinds}}}, header = true, delim = ',',"
            " quote = '\"', escape = '\"', auto_detect = false, store_rejects = true, rejects_limit = 0)"
        )
        found = bare.execute("SELECT (SELECT count(*) FROM t) + (SELECT count(*) FROM reject_errors)").fetchone()
        bare.close()
        assert found is not None
        lost = max(lost, count - found[0])
        if lost:
            break
    assert lost > 1000


@pytest.mark.parametrize(
    ("bad", "kind"), [(f"{BAD},{{n:08}},view,x\n", "quarantine_rows"), ("2024-01-01,{n:08}\n", "invalid_lines")]
)
def test_a_bad_line_where_a_block_begins_takes_no_good_ones_with_it(desk: Desk, bad: str, kind: str) -> None:
    path = desk.files / f"{kind}.csv"
    count = edge(path, bad)
    outcome = load(desk, path, kind)
    wrong = count - outcome.metrics["rows"]
    assert wrong == outcome.metrics[kind] == 2
    assert sum(counts(outcome)) == count
    path.unlink()


def story(seed: int, path: Path) -> tuple[int, int, int, int]:
    """A file of any lines: rows, misfits, lines that do not parse, and the sum of the numbers of the rows."""
    chance, rows, misfits, broken, total, size = random.Random(seed), 0, 0, 0, 0, 0
    share, ends = chance.choice([0.001, 0.05, 0.3]), chance.choice(["\n", "\r\n"])
    texts = ["plain", '"with, comma"', '"two' + ends + 'lines"', '"say ""so"""', f'"{ends}"', '""', "", '"""' + '"""']
    with path.open("w", newline="") as file:
        file.write(HEADER.strip() + ends)
        while size < SIZE:
            n = chance.randrange(10**9)
            text, fits = chance.choice(texts), chance.random() >= share
            if fits:
                rows, total = rows + 1, total + n
                one = f"{GOOD},{n},{text},{'y' * chance.randrange(60)}{ends}"
            elif chance.random() < 0.5:
                misfits += 1
                one = f"{BAD},{n},{text},z{ends}"
            else:
                broken += 1
                one = f"{GOOD},{n}{ends}"
            size += file.write(one)
    return rows, misfits, broken, total


@pytest.mark.parametrize("seed", range(4))
def test_any_lines_are_rows_or_put_aside_or_counted(desk: Desk, seed: int) -> None:
    path = desk.files / f"story{seed}.csv"
    rows, misfits, broken, total = story(seed, path)
    outcome = load(desk, path, f"story{seed}")
    assert counts(outcome) == (rows, misfits, broken)
    assert sums(desk, f"story{seed}") == [rows, total]
    assert desk.rows(f"SELECT count(*) FROM story{seed}_quarantine WHERE \"at\" = '{BAD}'")[0][0] == misfits
    path.unlink()


def test_a_line_is_told_by_its_number_in_the_file(desk: Desk) -> None:
    path, last = desk.files / "numbered.csv", 9_000_000 // len(line(0))
    with path.open("w") as file:
        file.write(HEADER)
        file.writelines(line(n) if n != last - 5 else "broken\n" for n in range(last))
    outcome = load(desk, path, "numbered")
    assert counts(outcome) == (last - 1, 0, 1)
    assert outcome.output["invalid_sample"][0]["line"] == last - 5 + 2
    assert outcome.output["invalid_sample"][0]["text"] == "broken"


def test_lines_of_several_pieces_are_told_by_their_numbers(desk: Desk) -> None:
    path, last = desk.files / "far.csv", SIZE // len(line(0))
    broken = [5, last // 2, last // 2 + 1, last - 2]
    with path.open("w") as file:
        file.write(HEADER)
        file.writelines("broken\n" if n in broken else line(n) for n in range(last))
    outcome = load(desk, path, "far")
    assert counts(outcome) == (last - len(broken), 0, len(broken))
    assert [one["line"] for one in outcome.output["invalid_sample"]] == [n + 2 for n in broken]


def test_a_large_clean_file_is_read_once_and_says_nothing_else(desk: Desk) -> None:
    path, last = desk.files / "clean.csv", SIZE // len(line(0))
    with path.open("w") as file:
        file.write(HEADER)
        file.writelines(map(line, range(last)))
    assert counts(load(desk, path, "clean")) == (last, 0, 0)
    assert sums(desk, "clean") == [last, last * (last - 1) // 2]


@pytest.mark.parametrize("stray", [1, 2])
def test_quotes_that_mean_nothing_mislead_nobody(desk: Desk, stray: int) -> None:
    """One or two quotes in the middle of plain values; between them every quote seems to stand the other way round."""
    path, last = desk.files / f"stray{stray}.csv", 12_000_000 // 40
    odd = {last // 10, last * 9 // 10} if stray == 2 else {last // 2}
    with path.open("w") as file:
        file.write(HEADER)
        for n in range(last):
            word = 'a 5" pipe' if n in odd else '"two\nlines"'
            file.write(f"{GOOD if n % 20 else BAD},{n},{word},d\n")
    outcome = load(desk, path, f"stray{stray}")
    bad = (last + 19) // 20
    assert counts(outcome) == (last - bad, bad, 0)
    assert sums(desk, f"stray{stray}") == [last - bad, sum(n for n in range(last) if n % 20)]


def test_a_large_file_with_backslashes_before_quotes_loses_nothing(desk: Desk) -> None:
    path, last = desk.files / "backslash.csv", 9_000_000 // 45
    with path.open("w") as file:
        file.write(HEADER)
        file.writelines(f'{GOOD if n % 9 else BAD},{n},"say \\"so\\" again",d\n' for n in range(last))
    bad = (last + 8) // 9
    assert counts(load(desk, path, "backslash", options={"escape": "\\", "quote": '"'})) == (last - bad, bad, 0)


def test_what_stands_before_the_rows_is_in_no_piece(tmp_path: Path) -> None:
    path = tmp_path / "head.csv"
    rows = [f'{n},"a\nb"\n' for n in range(800_000)]
    path.write_text('\ufeffn,"odd\nname"\n' + "".join(rows))
    data = path.read_bytes()
    with path.open("rb") as file:
        *starts, end = pieces.cuts(file, len(data), 4, PLAIN)
    assert data[starts[0] :].startswith(b'0,"a')
    assert len(starts) == 4
    assert end == len(data)
    assert all(data[start - 2 : start] == b'"\n' and data[start : start + 1].isdigit() for start in starts)


def test_a_piece_that_ends_too_early_is_no_end(tmp_path: Path) -> None:
    path = tmp_path / "cut.csv"
    path.write_text(HEADER + "".join(line(n) for n in range(SIZE // 76)))

    def read() -> None:
        source = Source(path, "csv", path.stat().st_size, unpacked=path.stat().st_size)
        with duckdb.connect() as connection, pieces.reading(source, PLAIN, 2, connection) as found:
            while not found.parts[-1].size:
                time.sleep(0.001)
            os.truncate(path, SIZE // 2)
            for part in found.parts:
                with part.pipe.open("rb") as file:
                    while file.read(1 << 20):
                        pass

    with pytest.raises(LoadFailed, match="to its end"):
        read()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("last", ["", "end"], ids=["whole", "cut"])
def test_a_quote_that_is_never_closed_is_told_as_in_a_small_file(desk: Desk, ends: str, last: str) -> None:
    """One thread of DuckDB's leaves out such a line, and what is after it, without a word."""
    found = []
    for size in (1_000_000, 9_000_000):
        path = desk.files / f"open{size}{len(ends)}{last}.csv"
        before, after = size // 40, 1000
        with path.open("w", newline="") as file:
            file.write(HEADER.strip() + ends)
            file.writelines(f"{GOOD},{n:010},view,some more{ends}" for n in range(before))
            file.write(f'{GOOD},7,"open,d{ends}')
            file.writelines(f"{GOOD},{n:010},view,more{ends}" for n in range(after))
            file.write(last)
        outcome = load(desk, path, f"open{size}{len(ends)}{last}")
        assert counts(outcome) == (before, 0, 1)
        sample = outcome.output["invalid_sample"][0]
        assert sample["line"] == before + 2
        assert sample["text"].startswith(f'{GOOD},7,"open,d')
        found.append(sample["error"])
        path.unlink()
    assert found[0].splitlines()[0] == found[1].splitlines()[0]


def test_a_large_file_that_comes_slowly_loses_nothing_either(desk: Desk) -> None:
    path = desk.files / "slow.csv"
    count = edge(path, f"{BAD},{{n:08}},view,x\n")
    body = path.read_bytes()
    body += b"".join(line(n).encode() for n in range(count, count + 400_000))
    files = Files()

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        for start in range(0, len(body), 1 << 20):
            request.wfile.write(body[start : start + (1 << 20)])
            time.sleep(0.015)

    files.paths["/slow.csv"] = answer
    try:
        number = desk.start(Load(source=files.url("/slow.csv"), table="slow", columns=COLUMNS))
        piped = False
        while not desk.ended(number):
            piped = piped or bool(list(desk.home.glob("warehouse/default.spool/*/*.pipe")))
            time.sleep(0.01)
        outcome = desk.wait(number)
    finally:
        files.close()
    assert piped
    assert outcome.result == "succeeded", outcome.detail
    assert sum(counts(outcome)) == count + 400_000
