"""Large CSV files, of which DuckDB's own way to read in parallel may leave parts out, without a word.

It cuts a file into blocks of 8 MB for its threads, and looks in each for the first line. Where a bad line ends the
load it checks that each block begins where the one before ends. Where bad lines are put aside it does not: a block that
begins within quotes, before a line that is bad, is left out (seen with versions 1.3 to 2.0). So a large file is first
read as if all were well, with that check. When it is not, we cut it ourselves, at ends of lines that lie outside of
quotes, and each piece is read by one thread from its start to its end. A cut that turns out wrong means one piece, and
one thread.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import duckdb
import msgspec

from runyard.warehouse import pipes
from runyard.warehouse.failures import LoadFailed
from runyard.warehouse.fetch import Source, Trust
from runyard.warehouse.tables import text

BLOCK_BYTES = 8_000_000
"""What DuckDB's threads take of a CSV file at a time: a smaller file is read by one."""
_PIECE_BYTES, _LEAST_BYTES, _MOST_PIECES = 32 * 1024**2, 2 * pipes.PIPE_BYTES, 256
_CHUNK, _SEARCHED = 1 << 20, 1 << 24
_ONE_THREAD = {"parallel": "false"}
_REJECTS = {"store_rejects": "true", "rejects_limit": "0"}
_PLACE = 1 << 40
"""A place is the number of a piece, times this, plus where in it a line begins.

The number of a line is none: of values that are cast late (UUID, HUGEINT) DuckDB tells that of another line.
"""
PLACE = f"file_id::BIGINT * {_PLACE} + line_byte_position"


class Doubted(Exception):
    """The file has to be read with the next lower `Trust`; nothing of what was read counts."""


class Reading(msgspec.Struct):
    """What `read_csv` is given."""

    source: str
    """SQL of a path, or of a list of them."""
    options: dict[str, str]
    starts: list[int] = []
    """Where in the file its pieces begin."""
    sizes: list[int] = []
    rejects: bool = True
    """Whether bad lines are put aside; otherwise the first one ends the statement."""


def _threads(cursor: duckdb.DuckDBPyConnection) -> int:
    row = cursor.execute("SELECT current_setting('threads')").fetchone()
    return int(row[0]) if row else 1


@contextlib.contextmanager
def reading(source: Source, options: dict[str, str], cursor: duckdb.DuckDBPyConnection) -> Iterator[Reading]:
    """The file for one statement, in the way that it is trusted; raises `LoadFailed` if not all of it was there."""
    with source.reading() as path:
        whole = text(str(path))
        if source.coming is not None or source.trust == Trust.IN_ONE:
            yield Reading(whole, {**options, **_REJECTS, **_ONE_THREAD})
        elif source.unpacked <= BLOCK_BYTES:
            yield Reading(whole, {**options, **_REJECTS})
        elif source.trust == Trust.CLEAN:
            yield Reading(whole, options, rejects=False)
        else:
            with _divided(path, options, _threads(cursor)) as found:
                yield found


@contextlib.contextmanager
def _divided(path: Path, options: dict[str, str], threads: int) -> Iterator[Reading]:
    starts = cuts(path, options, threads)
    ends = [*starts[1:], path.stat().st_size]
    parts = [
        pipes.Part(path.with_suffix(f".{number}.pipe"), path, start, end)
        for number, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]
    listed = ", ".join(text(str(part.pipe)) for part in parts)
    changed = {**options, **_REJECTS, **_ONE_THREAD, "header": "false", "skip": "0"}
    with pipes.fed(parts, threads):
        yield Reading(f"[{listed}]", changed, starts, [part.stop - part.start for part in parts])
    if any(part.sent != part.stop - part.start for part in parts):  # to its reader that is an end like any other
        raise LoadFailed("The file could not be read to its end.", retry=True)


def cuts(path: Path, options: dict[str, str], threads: int) -> list[int]:
    """Where pieces begin: at lines that stand outside of quotes. Raises `Doubted` if there is no telling them."""
    quote = character(options["quote"])
    if (options["escape"] != options["quote"] and quote) or options.get("new_line") == r"'\r'":
        raise Doubted
    with path.open("rb") as file:
        starts = [_first(file, quote, options)]
        size = path.stat().st_size - starts[0]
        if size < _LEAST_BYTES:  # which may be in a pipe before its reader comes, and then be lost
            raise Doubted
        count = min(max(size // _PIECE_BYTES, 4 * threads), size // _LEAST_BYTES, _MOST_PIECES)
        quotes, last = 0, starts[0]
        for number in range(1, count):
            quotes += _counted(file, starts[0] + size * number // count, quote)
            cut, more = _line_end(file, quote, quotes)
            quotes += more
            if cut and cut - last >= _LEAST_BYTES and starts[0] + size - cut >= _LEAST_BYTES:
                starts.append(last := cut)
        quotes += _counted(file, starts[0] + size, quote)
    if quotes % 2:
        raise Doubted
    return starts


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
    found, until = 0, file.tell() + _SEARCHED
    while file.tell() < until and (line := file.readline(_CHUNK)):
        found += line.count(quote) if quote else 0
        if line.endswith(b"\n") and (before + found) % 2 == 0:
            return file.tell(), found
    return 0, found


def character(literal: str) -> bytes:
    """What a SQL literal of an option says."""
    return literal[1:-1].replace("''", "'").encode()


def check(cursor: duckdb.DuckDBPyConnection, found: Reading) -> None:
    """Raises `Doubted` when a line at an edge of a piece does not parse: then the cut may have been in its middle."""
    if len(found.sizes) < 2:
        return
    sizes = ", ".join(map(str, found.sizes))
    size = f"list_extract([{sizes}], file_id::BIGINT + 1)"
    row = cursor.execute(
        "SELECT 1 FROM reject_errors WHERE error_type <> 'CAST' AND (line = 1 AND file_id > 0"
        f" OR file_id < {len(found.sizes) - 1} AND line_byte_position + strlen(csv_line) + 3 >= {size}) LIMIT 1"
    ).fetchone()
    if row is not None:
        raise Doubted


def line_of(piece: int, line: int, path: Path, found: Reading) -> int:
    """The number of a line of a piece in the file, from 1 on."""
    if found.sizes == []:
        return line
    with path.open("rb") as file:
        before, left = 0, found.starts[piece]
        while left and (chunk := file.read(min(left, _CHUNK))):
            before += chunk.count(b"\n")
            left -= len(chunk)
    return before + line
