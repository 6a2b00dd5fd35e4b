"""Loads CSV: one typed pass by DuckDB's own reader; only the rows that it rejects are looked at again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from runyard.warehouse import pieces
from runyard.warehouse.failures import LoadFailed
from runyard.warehouse.fetch import Source
from runyard.warehouse.tables import SAMPLES, Counts, Target, name, short, text

_OPTIONS = {"encoding", "delimiter", "header", "quote", "escape", "null_string", "date_format", "timestamp_format"}
_DELIMITERS, _HEAD_BYTES = (",", "\t", ";", "|"), 1 << 16
_SINGLE_QUOTED = re.compile(rb"(?:^|[,;|\t])'[^'\r\n]*'(?=[,;|\t\r\n]|$)", re.MULTILINE)
_BACKSLASHED = re.compile(rb'\\"(?![,;|\t\r\n])')
_OTHER_DATES = re.compile(rb"(?<![\d/.-])\d{1,2}([/.-])\d{1,2}\1\d{2,4}(?!\d)|\d ?[AaPp][Mm]\b")
_DOUBLED = re.compile(rb'[^,;|\t\r\n]""')
_DOCUMENTS = ("<html", "<!doctype", "<?xml", "<!--", "<head", "<body", '{"', "[{")
_TOLD_FORMATS = {"dateformat": "date_format", "timestampformat": "timestamp_format"}
_ERRORS = (
    f"SELECT {pieces.PLACE} AS place, min(csv_line) AS raw,"
    " list(DISTINCT column_name ORDER BY column_name) AS columns,"
    " list(error_message ORDER BY column_idx) AS errors, bool_and(error_type = 'CAST') AS fits"
    " FROM reject_errors GROUP BY place"
)


class MixedLines(LoadFailed):
    """Lines of the file end in different ways: it has to be read less strictly (`Source.loose`)."""


class Shape(msgspec.Struct):
    """How a file is written, and the columns that it has, with the types found for them."""

    reading: dict[str, str]
    """How `read_csv` is told to read it: option and SQL literal."""
    delimiter: str
    columns: dict[str, str]


def load(target: Target, source: Source, spool: Path) -> Counts:
    """Rows into the table and its quarantine; raises `LoadFailed` or duckdb.Error."""
    shape = _shape(target, source)
    places = target.prepare(shape.columns)
    kinds = ", ".join(f"{text(place)}: {text(target.columns[place])}" for place in places)
    cursor = target.cursor
    with pieces.reading(source, shape.reading, cursor) as found:
        rows = _read(
            target,
            f"INSERT INTO {target.into} ({', '.join(map(name, places))}) SELECT * FROM"
            f" read_csv({found.source}, columns = {{{kinds}}}, {_said(found.options)})",
        )
    pieces.check(cursor, source, found)
    if cursor.execute("SELECT 1 FROM reject_errors LIMIT 1").fetchone() is None:
        return Counts(rows, reading=_told(shape, source))
    counts = Counts(rows, reading=_told(shape, source))
    counts.invalid, counts.first, counts.lines = _invalid(cursor, source.path, found)
    bad = cursor.execute(f"SELECT place, raw FROM ({_ERRORS}) WHERE fits")
    rejected = spool / f"{source.path.name}.rejected"
    try:
        if written := _write(bad, rejected, shape.delimiter):
            counts.quarantined = _keep_aside(target, places, rejected, shape)
            counts.invalid += written - counts.quarantined  # alone they do not parse
    finally:
        rejected.unlink(missing_ok=True)
    return counts


def _read(target: Target, statement: str) -> int:
    try:
        return target.count(statement)
    except duckdb.InvalidInputException as error:
        if "state machine reached an invalid state" in str(error):
            raise MixedLines("The file cannot be read as CSV: its lines end in different ways.") from None
        raise


def _shape(target: Target, source: Source) -> Shape:
    options, head = _options(target.action.options), _head(source)
    if not head.strip(b"\xef\xbb\xbf \t\r\n"):
        raise LoadFailed("The file is empty.")
    options = _quoting(head, options) | options
    if source.loose:
        options |= {"strict_mode": "false", "new_line": "'\\n'"}
    if (shape := _known(target, head, options)) is not None:
        return shape
    found = _sniff(target, source, options)
    if not found[4] and "header" not in options and (known := target.known()):
        # A file of texts only: its first line is a header when it names columns of the table.
        other = _sniff(target, source, {**options, "header": "true"})
        found = other if {name.lower() for name in _types(other)} <= known else found
    reading = {"auto_detect": "false", "delim": text(_plain(found[0]))}
    shape = Shape(reading | {"header": str(bool(found[4])).lower(), "skip": str(found[3])}, _plain(found[0]), {})
    shape.columns = _types(found)
    for key, kind, form in (("dateformat", "DATE", found[6]), ("timestampformat", "TIMESTAMP", found[7])):
        if form and not str(form).startswith("%Y") and key not in options:
            _take_format(target, source, options, shape, (key, kind, str(form)))
    shape.reading |= options
    return shape


def _take_format(
    target: Target, source: Source, options: dict[str, str], shape: Shape, found: tuple[str, str, str]
) -> None:
    """Dates that are not ISO are read by the form that was found for them; if it is the only one, else they are texts.

    A form is one for the whole file: it must not take other columns of the table with it.
    """
    key, kind, form = found
    wanted = target.kinds()
    written = [column for column, type_ in shape.columns.items() if type_.startswith(kind)]
    alone = all(
        type_.startswith(kind) or not wanted.get(column.lower(), "").startswith(kind)
        for column, type_ in shape.columns.items()
    )
    if alone and not _has_another(target, source, options, (key, form), {one: shape.columns[one] for one in written}):
        shape.reading[key] = text(form)
    else:
        shape.columns |= dict.fromkeys(written, "VARCHAR")


def _has_another(
    target: Target, source: Source, options: dict[str, str], found: tuple[str, str], columns: dict[str, str]
) -> bool:
    """Whether day and month could change their places, or a year of two digits could be either of them."""
    key, form = found
    if "%y" in form:
        return True
    swapped = form.translate({ord("d"): "m", ord("m"): "d"})
    other = _types(_sniff(target, source, {**options, key: text(swapped)}))
    return all(other.get(column) == type_ for column, type_ in columns.items())


def _head(source: Source) -> bytes:
    with (source.head or source.path).open("rb") as file:
        return file.read(_HEAD_BYTES)


def _quoting(head: bytes, options: dict[str, str]) -> dict[str, str]:
    """The quote and what escapes it, as the start of the file has them, unless they are given."""
    if "quote" in options:
        return {"escape": options["quote"]}
    if b'"' not in head and _SINGLE_QUOTED.search(head):
        return dict.fromkeys(("quote", "escape"), text("'"))
    backslash = _BACKSLASHED.search(head) and not _DOUBLED.search(head)
    return {"quote": "'\"'", "escape": text("\\" if backslash else '"')}


def _known(target: Target, head: bytes, options: dict[str, str]) -> Shape | None:
    """The shape of a file whose first line is plain names of columns that are known; None: it has to be looked at.

    That spares small loads a third of their time.
    """
    if "header" in options or len(known := target.known()) < 2 or _OTHER_DATES.search(head):
        return None
    line = head[: head.find(b"\n") + 1]
    if not line.endswith(b"\n") or not line.isascii() or pieces.character(options["quote"]) in line or b"\r" in line:
        return None
    for delimiter in [options["delim"][1:-1]] if "delim" in options else _DELIMITERS:
        names = line.decode().rstrip("\n").split(delimiter) if delimiter else []
        lower = {name.lower() for name in names}
        if len(names) > 1 and len(names) == len(lower) and lower <= known:
            reading = {"auto_detect": "false", "delim": text(delimiter), "header": "true", "skip": "0", **options}
            return Shape(reading, delimiter, dict.fromkeys(names, "VARCHAR"))
    return None


def _sniff(target: Target, source: Source, options: dict[str, str]) -> tuple[Any, ...]:
    given = {"ignore_errors": "true", **options}
    try:
        row = target.cursor.execute(
            "SELECT Delimiter, Quote, Escape, SkipRows, HasHeader, Columns, DateFormat, TimestampFormat FROM"
            f" sniff_csv({text(str(source.head or source.path))}, {_said(given)})"
        ).fetchone()
    except duckdb.Error as error:
        head = _head(source)
        mixed = b"\r\n" in head and b"\n" in head.replace(b"\r\n", b"")
        raise (MixedLines if mixed else LoadFailed)(_not_csv(source, error)) from None
    names = list(_types(row)) if row else [""]
    first = names[0].strip().lower()
    if row is None or "\0" in first or first.startswith(_DOCUMENTS):
        raise LoadFailed("The file cannot be read as CSV: it is a page or another document.")
    if len(names) == 1 and "delim" not in options and any(mark in first for mark in _DELIMITERS):
        raise LoadFailed("The file cannot be read as CSV: no delimiter divides all of its first lines; give one.")
    return row


def _said(options: dict[str, str]) -> str:
    return ", ".join(f"{key} = {value}" for key, value in options.items())


def _types(found: tuple[Any, ...]) -> dict[str, str]:
    return {column["name"]: column["type"] for column in found[5]}


def _not_csv(source: Source, error: duckdb.Error) -> str:
    if "maximum line size" in str(error).lower():
        return "The file cannot be read as CSV: one of its first lines has more than 2,000,000 bytes."
    line = str(error).splitlines()[0].replace(str(source.head or source.path), "the file")
    return f"The file cannot be read as CSV: {line}"


def _plain(value: str) -> str:
    return "" if value == "(empty)" else value


def _options(given: dict[str, Any]) -> dict[str, str]:
    """A load's options as DuckDB's; raises `LoadFailed` for one that there is not."""
    if unknown := sorted(given.keys() - _OPTIONS):
        raise LoadFailed(f"There is no option {unknown[0]!r}; there are {', '.join(sorted(_OPTIONS))}.")
    words = {"delimiter": "delim", "null_string": "nullstr", "date_format": "dateformat"}
    words |= {"timestamp_format": "timestampformat"}
    return {
        words.get(key, key): str(value).lower() if isinstance(value, bool) else text(str(value))
        for key, value in given.items()
        if key != "encoding"  # the file is UTF-8 by now
    }


def _invalid(
    cursor: duckdb.DuckDBPyConnection, path: Path, found: pieces.Reading
) -> tuple[int, str, list[dict[str, Any]]]:
    """How many lines do not parse, what is wrong with the first bad line of all, and some that do not parse."""
    row = cursor.execute(
        f"SELECT count(*) FILTER (NOT fits), min(place), arg_min(errors[1], place) FROM ({_ERRORS})"
    ).fetchone()
    if row is None or row[1] is None:
        return 0, "", []
    first = f"line {pieces.line_of(row[1], path, found)}: {row[2] or ''}"
    return row[0], first, _lines(cursor, path, found) if row[0] else []


def _lines(cursor: duckdb.DuckDBPyConnection, path: Path, found: pieces.Reading) -> list[dict[str, Any]]:
    """Some of the lines that do not parse."""
    rows = cursor.execute(
        f"SELECT place, raw, errors[1] FROM ({_ERRORS}) WHERE NOT fits ORDER BY place LIMIT {SAMPLES}"
    ).fetchall()
    return [
        {"line": pieces.line_of(place, path, found), "text": short(raw.strip("\r\n")), "error": short(error)}
        for place, raw, error in rows
    ]


def _told(shape: Shape, source: Source) -> dict[str, str]:
    """How the file was read, for people."""
    shown = {"delimiter": shape.delimiter, "header": shape.reading["header"], "skipped_lines": shape.reading["skip"]}
    quote, escape = (pieces.character(shape.reading[key]).decode() for key in ("quote", "escape"))
    shown |= {"quote": quote} if quote == escape else {"quote": quote, "escape": escape}
    shown |= {word: shape.reading[key].strip("'") for key, word in _TOLD_FORMATS.items() if key in shape.reading}
    shown |= {"line_ends": "mixed"} if source.loose else {}
    return shown if source.encoding == "utf-8" else shown | {"encoding": source.encoding}


def _write(bad: duckdb.DuckDBPyConnection, path: Path, delimiter: str) -> int:
    """The rejected lines as a file of their own, each after its place; how many."""
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        while rows := bad.fetchmany(10_000):
            count += len(rows)
            # Of mixed line ends a part may stand before the line.
            file.writelines("{}{}{}\n".format(place, delimiter, raw.strip("\r\n")) for place, raw in rows)
    return count


def _keep_aside(target: Target, places: list[str], path: Path, shape: Shape) -> int:
    """The original columns of the rejected lines as text, with what was wrong."""
    kinds = ", ".join(["'c__place': 'BIGINT'", *(f"{text(place)}: 'VARCHAR'" for place in places)])
    # Its lines end as we have written them, also where the first value has other ends in it.
    reading = _said({**shape.reading, "header": "false", "skip": "0", "new_line": "'\\n'"})
    listed = ", ".join(f"f.{name(place)}" for place in places)
    return target.keep_aside(
        places,
        f"SELECT {listed}, e.columns, e.errors FROM read_csv({text(str(path))}, columns = {{{kinds}}}, {reading},"
        f" ignore_errors = true, parallel = false) f JOIN ({_ERRORS}) e ON e.place = f.c__place",
    )
