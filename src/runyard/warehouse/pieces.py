"""Large CSV files, of which DuckDB's own way to read in parallel may leave parts out, without a word.

It cuts a file into blocks of 8 MB for its threads, and looks in each for the first line. Where bad lines are put aside
it does not check that each block begins where the one before ends: one that begins within quotes, before a line that is
bad, is left out (seen with versions 1.3 to 2.0). So we cut a large file ourselves, at ends of lines that lie outside of
quotes, and each piece is one block: it is read by one thread from its start to its end, as a small file is. A file that
still comes is cut and read as it comes. A cut that turns out wrong means one piece, and one thread.
"""

from __future__ import annotations

import codecs
import contextlib
import mmap
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import duckdb
import msgspec

from runyard.warehouse import pipes
from runyard.warehouse.failures import LoadFailed
from runyard.warehouse.fetch import Source
from runyard.warehouse.tables import short, text

BLOCK_BYTES = 8_000_000
"""What DuckDB's threads take of a CSV file at a time: a smaller file is read by one."""
_LINE_BYTES = 2_000_000
"""A line may not be longer, for DuckDB."""
_PIECE_BYTES = BLOCK_BYTES - _LINE_BYTES - 100_000
_CHUNK = 1 << 20
_REJECTS = {"store_rejects": "true", "rejects_limit": "0"}
_ONE_THREAD = {"parallel": "false"}
_PLACE = 1 << 40
"""A place is the number of a piece, times this, plus where in it a line begins.

The number of a line is none: of values that are cast late (UUID, HUGEINT) DuckDB tells that of another line.
"""
PLACE = f"file_id::BIGINT * {_PLACE} + line_byte_position"
_ENDS = {r"'\n'": b"\n", r"'\r\n'": b"\r\n", r"'\r'": b"\r"}
"""What `new_line` says."""


class Doubted(Exception):
    """The file has to be read in one piece; nothing of what was read counts."""


class Reading(msgspec.Struct):
    """What `read_csv` is given."""

    source: str
    """SQL of a path, or of a list of them."""
    options: dict[str, str]
    parts: list[pipes.Part] = []
    """What the paths give, unless it is the file itself."""
    mark: str = ""
    """A line of ours that ends the only part: one with too many values, so that DuckDB puts it aside."""
    counted: tuple[int, int] = (0, 0)
    """A place in the file, and the lines before it: as far as they were counted last."""


@contextlib.contextmanager
def reading(
    source: Source, options: dict[str, str], columns: int, cursor: duckdb.DuckDBPyConnection
) -> Iterator[Reading]:
    """The file, of so many columns, for one statement; raises `LoadFailed` if not all of it was there, or `Doubted`."""
    options, source.parts = options | _REJECTS, []
    if source.unpacked <= BLOCK_BYTES:
        yield Reading(text(str(source.path)), options)
    else:
        with _in_one(source, options, columns) if source.in_one else _divided(source, options, cursor) as found:
            source.parts = found.parts
            yield found
        if any(part.sent != part.size for part in found.parts):  # to its reader that is an end like any other
            raise LoadFailed("The file could not be read to its end.", retry=True)


@contextlib.contextmanager
def _divided(source: Source, options: dict[str, str], cursor: duckdb.DuckDBPyConnection) -> Iterator[Reading]:
    quote = character(options["quote"])
    if (quote and options["escape"] != options["quote"]) or options["new_line"] == r"'\r'":
        raise Doubted
    size = source.unpacked
    parts = [
        pipes.Part(source.path.with_suffix(f".{number}.pipe"), source.path)
        for number in range(size // _PIECE_BYTES + 1)
    ]
    listed = ", ".join(text(str(part.pipe)) for part in parts)
    piecewise = options | {"header": "false", "skip": "0"}
    over = threading.Event()
    with pipes.fed(parts, _threads(cursor)) as enough, ThreadPoolExecutor(1, "cuts") as cutter:
        cut = cutter.submit(_cut, source, options, parts, enough, over)
        try:
            yield Reading(f"[{listed}]", piecewise, parts)
        finally:
            over.set()
    source.arrive()
    cut.result()
    if source.unpacked != size:
        raise Doubted


@contextlib.contextmanager
def _in_one(source: Source, options: dict[str, str], columns: int) -> Iterator[Reading]:
    """One thread leaves out what follows a quote that is never closed, and does not say so: a last line tells."""
    source.arrive()
    with source.path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        ended = file.read() in (b"\n", b"\r")
    delimiter = character(options["delim"])
    mark = delimiter.join([b"?!"] * (columns + 2)) if delimiter else b"\xff"  # a byte that no text has
    after = mark if ended else _ENDS[options["new_line"]] + mark
    part = pipes.Part(source.path.with_suffix(".pipe"), source.path, after)
    part.tell(0, source.unpacked)
    with pipes.fed([part], 1):
        yield Reading(text(str(part.pipe)), options | _ONE_THREAD, [part], mark.replace(b"\xff", b"?").decode())


def _threads(cursor: duckdb.DuckDBPyConnection) -> int:
    row = cursor.execute("SELECT current_setting('threads')").fetchone()
    return int(row[0]) if row else 1


def _cut(
    source: Source,
    options: dict[str, str],
    parts: list[pipes.Part],
    enough: threading.Event,
    over: threading.Event,
) -> None:
    """Tells the parts what they are, as soon as it is there. When there is no telling, they end, and it raises."""
    try:
        with source.opened(over) as file:
            places = cuts(file, source.unpacked, len(parts), options)
            start = next(places)
            for part, stop in zip(parts, places, strict=True):
                part.tell(start, stop)
                start = stop
    except BaseException:
        enough.set()
        raise


def cuts(file: IO[bytes], size: int, count: int, options: dict[str, str]) -> Iterator[int]:
    """Where the pieces begin, at lines that stand outside of quotes, and where the last one ends.

    Raises `Doubted` if there is no telling, or if a piece would be more than a block.
    """
    quote = character(options["quote"])
    first = last = _first(file, quote, options)
    yield first
    quotes = 0
    for number in range(1, count + 1):
        quotes += _counted(file, first + (size - first) * number // count, quote)
        place, more = _line_end(file, quote, quotes) if number < count else (file.tell(), 0)
        quotes += more
        if place - last > BLOCK_BYTES or (number == count and (place != size or quotes % 2)):
            raise Doubted
        last = place or last
        yield last


def _first(file: IO[bytes], quote: bytes, options: dict[str, str]) -> int:
    """Where the rows begin, after what is skipped and the header; `file` is there then."""
    for _ in range(int(options.get("skip", "0"))):
        file.readline()
    if options.get("header") == "true":
        line = file.readline()
        while quote and line.count(quote) % 2 and (more := file.readline()):
            line += more
    return file.tell()


def _counted(file: IO[bytes], until: int, quote: bytes) -> int:
    """The quotes from where the file is to a place, or none if it has passed it."""
    found = 0
    while (left := until - file.tell()) > 0 and (chunk := file.read(min(left, _CHUNK))):
        found += chunk.count(quote) if quote else 0
    return found


def _line_end(file: IO[bytes], quote: bytes, before: int) -> tuple[int, int]:
    """The end of the next line outside of quotes, or 0; and the quotes on the way."""
    found, until = 0, file.tell() + _LINE_BYTES
    while file.tell() < until and (line := file.readline(_CHUNK)):
        found += line.count(quote) if quote else 0
        if line.endswith(b"\n") and (before + found) % 2 == 0 and not _marked(file):
            return file.tell(), found
    return 0, found


def _marked(file: IO[bytes]) -> bool:
    """Whether the next line begins with what would be the mark of a text if it began one: a reader leaves it out."""
    place = file.tell()
    mark = file.read(len(codecs.BOM_UTF8))
    file.seek(place)
    return mark == codecs.BOM_UTF8


def character(literal: str) -> bytes:
    """What a SQL literal of an option says."""
    return literal[1:-1].replace("''", "'").encode()


def check(cursor: duckdb.DuckDBPyConnection, source: Source, found: Reading) -> None:
    """Looks whether what was put aside can be trusted; raises `Doubted`."""
    if found.mark:
        _check_end(cursor, source.path, found)
    elif found.parts:
        _check_cuts(cursor, found)


def _check_cuts(cursor: duckdb.DuckDBPyConnection, found: Reading) -> None:
    """Where a line at an edge of a piece does not parse the cut may have been in its middle."""
    listed = ", ".join(str(part.size) for part in found.parts)
    size = f"list_extract([{listed}], file_id::BIGINT + 1)"
    row = cursor.execute(
        "SELECT 1 FROM reject_errors WHERE error_type <> 'CAST' AND (line = 1 AND file_id > 0"
        f" OR file_id < {len(found.parts) - 1} AND line_byte_position + strlen(csv_line) + 3 >= {size}) LIMIT 1"
    ).fetchone()
    if row is not None:
        raise Doubted


def _check_end(cursor: duckdb.DuckDBPyConnection, path: Path, found: Reading) -> None:
    """Our own line is taken out again; where it is missing, and in no other, an open quote is one bad line more."""
    # A line's place is that of the empty ones before it; of values that are cast late it is none.
    last = f"line_byte_position + strlen(csv_line) > {found.parts[0].size}"
    ours = f"({last} OR byte_position IS NULL) AND trim(csv_line, chr(10) || chr(13)) = {text(found.mark)}"
    row = cursor.execute(f"DELETE FROM reject_errors WHERE {ours} RETURNING line").fetchone()
    row = row or cursor.execute(f"SELECT line FROM reject_errors WHERE {last} LIMIT 1").fetchone()
    if row is None:
        start, raw = _open(path, *(character(found.options[one]) for one in ("quote", "escape")))
        cursor.execute(
            "INSERT INTO reject_errors (file_id, line, line_byte_position, column_idx, error_type, csv_line,"
            " error_message) VALUES (0, ?, ?, 1, 'UNQUOTED VALUE', ?, 'Value with unterminated quote found.')",
            (_lines_before(start, path, found) + 1, start, raw),
        )


def _open(path: Path, quote: bytes, escape: bytes) -> tuple[int, str]:
    """Where the line begins in which a quote opens that is never closed, and that line."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.rfind(quote)
        while at >= 0:
            first = at
            while data[first - 1 : first] == quote:
                first -= 1
            escaped = escape != quote and data[first - 1 : first] == escape
            if (at - first) % 2 == 0 and not escaped:
                break
            at = data.rfind(quote, 0, first)
        start = data.rfind(b"\n", 0, max(at, 0)) + 1
        return start, short(data[start : start + _CHUNK].decode(errors="replace"))


def line_of(piece: int, line: int, path: Path, found: Reading) -> int:
    """The number of a line of a piece in the file, from 1 on. What was asked before is not counted again."""
    return line + (_lines_before(found.parts[piece].start, path, found) if found.parts else 0)


def _lines_before(place: int, path: Path, found: Reading) -> int:
    start, lines = found.counted if found.counted[0] <= place else (0, 0)
    with path.open("rb") as file:
        file.seek(start)
        while (left := place - file.tell()) > 0 and (chunk := file.read(min(left, _CHUNK))):
            lines += chunk.count(b"\n")
    found.counted = place, lines
    return lines
