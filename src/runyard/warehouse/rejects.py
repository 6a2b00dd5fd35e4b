"""The lines of a CSV file that DuckDB rejected: which do not parse, and which go to the quarantine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import msgspec

from runyard.warehouse import lines, pieces
from runyard.warehouse.names import name, text
from runyard.warehouse.tables import SAMPLES, Counts, Target, short

_LOOKED_AT = 1000
_REJECTED = "temp.runyard_rejected"
"""One row for each rejected line, or for all lines with the same text: `times` says how many."""
_COLUMNS = (
    "min(csv_line) AS raw, list(DISTINCT column_name ORDER BY column_name) AS columns,"
    " list(DISTINCT {message} ORDER BY {message}) AS errors, bool_and(error_type = 'CAST') AS fits"
)
_BY_PLACE = (
    f"SELECT min(file_id) AS piece, min(line) AS line, 1 AS times, {_COLUMNS} FROM reject_errors GROUP BY {{place}}"
)
_LATE = "(error_type = 'CAST' AND byte_position IS NULL)"
"""Of values that are cast after a line was read (UUID, HUGEINT ...) DuckDB tells another line's number and, where
the file takes more than one of its buffers, another line's place. Only the text is certain: lines with the same one
have the same errors, so that as many are meant as have places of their own, or errors of one column."""
_BY_TEXT = f"""
SELECT min(file_id) AS piece, min(line) AS line,
    greatest(count(DISTINCT {{place}}) FILTER (NOT {_LATE}), max(nth) FILTER ({_LATE})) AS times, {_COLUMNS}
FROM (SELECT *, row_number() OVER (PARTITION BY csv_line, column_idx, {_LATE}) AS nth FROM reject_errors)
GROUP BY csv_line
"""


class Rejects(msgspec.Struct):
    """What was read, and how."""

    found: pieces.Reading
    path: Path
    """The file."""
    reading: dict[str, str]
    """Options of `read_csv`."""
    places: list[str]
    """The columns of the table that the file has."""
    changed: dict[str, tuple[str, str]]
    """Of columns that were read as another type: that, and their own."""


def are_there(cursor: duckdb.DuckDBPyConnection) -> bool:
    """Whether any line was rejected."""
    return cursor.execute("SELECT 1 FROM reject_errors LIMIT 1").fetchone() is not None


def hide_ends(cursor: duckdb.DuckDBPyConnection, marks: tuple[bytes, bytes, bytes]) -> bool:
    """Whether a rejected line is really two, of which the first ends in another way than most lines do."""
    rows = cursor.execute(
        "SELECT trim(csv_line, chr(10) || chr(13)) AS whole FROM reject_errors"
        f" WHERE regexp_matches(whole, '[\\r\\n]') LIMIT {_LOOKED_AT}"
    ).fetchall()
    return any(next(lines.ends(line.encode(), *marks), b"") for (line,) in rows)


def put_aside(target: Target, rejects: Rejects, counts: Counts, to: Path) -> None:
    """Counts what does not parse, and keeps the rest aside, by way of a file `to`."""
    _gather(target.cursor, rejects.changed)
    counts.invalid, counts.first, counts.lines = _invalid(target.cursor, rejects.path, rejects.found)
    try:
        if written := _write(target.cursor, to, pieces.character(rejects.reading["delim"]).decode()):
            counts.quarantined = _keep_aside(target, rejects, to)
            counts.invalid += written - counts.quarantined  # alone they do not parse
    finally:
        to.unlink(missing_ok=True)
    target.cursor.execute(f"DROP TABLE {_REJECTED}")


def _gather(cursor: duckdb.DuckDBPyConnection, changed: dict[str, tuple[str, str]]) -> None:
    """The rejected lines, from their errors, which speak of the types that columns have."""
    cases = ""
    for place, kinds in changed.items():
        wrong, right = (text(f"'{kind}'") for kind in kinds)
        cases += f" WHEN {text(place)} THEN replace(error_message, {wrong}, {right})"
    message = f"CASE column_name{cases} ELSE error_message END" if cases else "error_message"
    late = cursor.execute(f"SELECT 1 FROM reject_errors WHERE {_LATE} LIMIT 1").fetchone() is not None
    found = (_BY_TEXT if late else _BY_PLACE).format(place=pieces.PLACE, message=message)
    cursor.execute(f"CREATE TEMP TABLE runyard_rejected AS SELECT row_number() OVER () AS number, * FROM ({found})")


def _invalid(
    cursor: duckdb.DuckDBPyConnection, path: Path, found: pieces.Reading
) -> tuple[int, str, list[dict[str, Any]]]:
    """How many lines do not parse, what is wrong with the first bad line of all, and some that do not parse."""
    row = cursor.execute(
        "SELECT coalesce(sum(times) FILTER (NOT fits), 0)::BIGINT, arg_min((piece, line, errors[1]), (piece, line))"
        f" FROM {_REJECTED}"
    ).fetchone()
    assert row is not None
    piece, line, error = row[1]
    return row[0], f"line {pieces.line_of(piece, line, path, found)}: {error or ''}", _lines(cursor, path, found)


def _lines(cursor: duckdb.DuckDBPyConnection, path: Path, found: pieces.Reading) -> list[dict[str, Any]]:
    """Some of the lines that do not parse."""
    rows = cursor.execute(
        f"SELECT piece, line, raw, errors[1] FROM {_REJECTED} WHERE NOT fits ORDER BY piece, line LIMIT {SAMPLES}"
    ).fetchall()
    return [
        {"line": pieces.line_of(piece, line, path, found), "text": short(raw.strip("\r\n")), "error": short(error)}
        for piece, line, raw, error in rows
    ]


def _write(cursor: duckdb.DuckDBPyConnection, path: Path, delimiter: str) -> int:
    """The rejected lines as a file of their own, each after its number; how many."""
    count = 0
    bad = cursor.execute(f"SELECT number, times, raw FROM {_REJECTED} WHERE fits")
    with path.open("w", encoding="utf-8", newline="") as file:
        while rows := bad.fetchmany(10_000):
            count += sum(times for _, times, _ in rows)
            # Empty lines, and a part of the last line's end, may stand before the line.
            file.writelines("{}{}{}\n".format(number, delimiter, raw.strip("\r\n")) for number, _, raw in rows)
    return count


def _keep_aside(target: Target, rejects: Rejects, path: Path) -> int:
    """The original columns of the rejected lines as text, with what was wrong."""
    kinds = ", ".join(["'c__number': 'BIGINT'", *(f"{text(place)}: 'VARCHAR'" for place in rejects.places)])
    changed = {**rejects.reading, "header": "false", "skip": "0", "new_line": r"'\n'"}
    reading = ", ".join(f"{key} = {value}" for key, value in changed.items())
    listed = ", ".join(f"f.{name(place)}" for place in rejects.places)
    return target.keep_aside(
        rejects.places,
        f"SELECT {listed}, e.columns, e.errors FROM read_csv({text(str(path))}, columns = {{{kinds}}}, {reading},"
        f" ignore_errors = true, parallel = false) f JOIN {_REJECTED} e ON e.number = f.c__number, range(e.times)",
    )
