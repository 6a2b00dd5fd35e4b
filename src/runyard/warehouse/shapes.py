"""How a CSV file is written: its marks, header, forms of dates and columns, found from its start or given."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import re
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from runyard.warehouse import lines, pieces
from runyard.warehouse.failures import LoadFailed
from runyard.warehouse.fetch import Source
from runyard.warehouse.tables import Target, text

_OPTIONS = {"encoding", "delimiter", "header", "quote", "escape", "null_string", "date_format", "timestamp_format"}
_DELIMITERS, _HEAD_BYTES, _LINE_BYTES = (",", "\t", ";", "|"), 1 << 16, 2_000_000
_SINGLE_QUOTED = re.compile(rb"(?:^|[,;|\t])'[^'\r\n]*'(?=[,;|\t\r\n]|$)", re.MULTILINE)
_BACKSLASHED = re.compile(rb'(?:^|[,;|\t]) *"[^"\r\n]*\\"(?![",;|\t\r\n])', re.MULTILINE)
_OTHER_DATES = re.compile(
    rb"(?<![\d/.-])\d{1,2}([/.-])\d{1,2}\1\d{2,4}(?!\d)|\b\d{4}\.\d{1,2}\.\d{1,2}\b|\d ?[AaPp][Mm]\b"
)
ISO_FORMS = ("%Y-%m-%d", "%Y/%m/%d")
_ISO_DATE = re.compile(r" *\d{4}-\d{1,2}-\d{1,2}")
_HALF_DAYS = re.compile(rb"\b\d{4}-\d{1,2}-\d{1,2}([ T])\d{1,2}:\d\d(:\d\d(\.\d+)?)?( ?)[AaPp][Mm]\b")
_DOUBLED = re.compile(rb'[^\\,;|\t\r\n]""')
_DOCUMENTS = ("<html", "<!doctype", "<?xml", "<!--", "<head", "<body", '{"', "[{")


class MixedLines(LoadFailed):
    """Lines of the file end in different ways: it has to be written anew first (`straighten`)."""


class Shape(msgspec.Struct):
    """How a file is written, and the columns that it has, with the types found for them."""

    reading: dict[str, str]
    """How `read_csv` is told to read it: option and SQL literal."""
    delimiter: str
    columns: dict[str, str]


def _first_end(head: bytes, *marks: bytes) -> str:
    """How the first line that ends does so, as DuckDB is told: `\\n`, `\\r\\n` or `\\r`."""
    return next(lines.ends(head, *marks), b"\n").decode().replace("\r", "\\r").replace("\n", "\\n")


def marks_of(options: dict[str, str]) -> tuple[bytes, bytes, bytes]:
    """The delimiter, if it is known, the quote, and what escapes it."""
    delimiter, quote, escape = (pieces.character(options.get(key, "''")) for key in ("delim", "quote", "escape"))
    return delimiter, quote, escape


def shape_of(target: Target, source: Source, head: bytes) -> Shape:
    """How the file is written, of which `head` is the start; raises `LoadFailed` for what is no CSV."""
    if not head.strip(b"\xef\xbb\xbf \t\r\n"):
        raise LoadFailed("The file is empty.")
    options = options_of(target.action.options, head)
    # Left to itself DuckDB takes the first one that it sees, even within quotes, and then finds no row, without a word.
    options["new_line"] = text(_first_end(head, *marks_of(options)))
    if (shape := _known(target, head, options)) is not None:
        return shape
    try:
        found = _sniff_behind_remarks(target, source, options, head)
    except LoadFailed as error:
        if isinstance(error, MixedLines) or (shape := _told_by_names(target, head, options)) is None:
            raise
        return shape
    if not found[4] and "header" not in options and (known := target.known()):
        # A file of texts only: its first line is a header when it names columns of the table.
        other = _sniff(target, source, {**options, "header": "true"})
        found = other if {name.lower() for name in _types(other)} <= known else found
    reading = {"auto_detect": "false", "delim": text(_plain(found[0]))}
    reading |= {"header": str(bool(found[4])).lower(), "skip": str(found[3]), **options}
    shape = Shape(reading, _plain(found[0]), {})
    shape.columns = _types(found)
    if not target.takes(list(shape.columns)):
        # Its first lines have more or fewer values than the table has columns; those behind them may not.
        shape = _told_by_names(target, head, options) or shape
    for key, kind, form in (("dateformat", "DATE", found[6]), ("timestampformat", "TIMESTAMP", found[7])):
        if form and not str(form).startswith(ISO_FORMS) and key not in options and not _writes_iso(shape, head, kind):
            _take_format(target, source, options, shape, (key, kind, str(form)))
    if (half := _HALF_DAYS.search(head)) and any(kind == "TIMESTAMP" for kind in target.kinds().values()):
        # Nobody finds this form, and read without it the word is taken for a zone and left out.
        between, second, fraction, space = (one.decode() if one else "" for one in half.groups())
        seconds = (":%S.%f" if fraction else ":%S") if second else ""
        shape.reading.setdefault("timestampformat", text(f"%Y-%m-%d{between}%I:%M{seconds}{space}%p"))
    return shape


def _writes_iso(shape: Shape, head: bytes, kind: str) -> bool:
    """Whether the first lines have ISO dates in a column for which another form was found: then one line misled."""
    marks = {key: shape.reading.get(key, "''") for key in ("quote", "escape")}
    places = [place for place, type_ in enumerate(shape.columns.values()) if type_.startswith(kind)]
    lines_ = _first_lines(head, shape.delimiter, marks) if shape.delimiter else []
    return any(place < len(line) and _ISO_DATE.match(line[place]) for line in lines_ for place in places)


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
    if "%y" in form or form.startswith("%Y"):
        return "%y" in form
    swapped = form.translate({ord("d"): "m", ord("m"): "d"})
    other = _types(_sniff(target, source, {**options, key: text(swapped)}))
    return all(other.get(column) == type_ for column, type_ in columns.items())


def head_of(source: Source) -> bytes:
    """The start of the file."""
    with (source.head or source.path).open("rb") as file:
        return file.read(_HEAD_BYTES)


def options_of(given: dict[str, Any], head: bytes) -> dict[str, str]:
    """A load's options as DuckDB's, with the quote of the file; raises `LoadFailed` for one that there is not."""
    if unknown := sorted(given.keys() - _OPTIONS):
        raise LoadFailed(f"There is no option {unknown[0]!r}; there are {', '.join(sorted(_OPTIONS))}.")
    words = {"delimiter": "delim", "null_string": "nullstr", "date_format": "dateformat"}
    words |= {"timestamp_format": "timestampformat"}
    options = {
        words.get(key, key): str(value).lower() if isinstance(value, bool) else text(str(value))
        for key, value in given.items()
        if key != "encoding"  # the file is UTF-8 by now
    }
    return _quoting(head, options) | options


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


def _told_by_names(target: Target, head: bytes, options: dict[str, str]) -> Shape | None:
    """The shape of a file that cannot be detected, by the columns that are known; None where they do not tell it."""
    columns, header = target.names(), options.get("header")
    for delimiter in [pieces.character(options["delim"]).decode()] if "delim" in options else _DELIMITERS:
        lines_ = _first_lines(head, delimiter, options)
        skipped = next((number for number, line in enumerate(lines_) if line), 0)
        names = lines_[skipped] if lines_ else []
        reading = {"auto_detect": "false", "delim": text(delimiter), "skip": str(skipped)}
        if header != "false" and columns and names and target.takes(names) and len(set(names)) == len(names):
            return Shape({**reading, "header": "true", **options}, delimiter, dict.fromkeys(names, "VARCHAR"))
        if header == "false" and "delim" in options and any(len(line) == len(columns) for line in lines_):
            return Shape({**reading, **options}, delimiter, dict.fromkeys(columns, "VARCHAR"))
    return None


def _first_lines(head: bytes, delimiter: str, options: dict[str, str]) -> list[list[str]]:
    """The values of the first lines as the standard library reads them."""
    quote, escape = pieces.character(options["quote"]).decode(), pieces.character(options["escape"]).decode()
    whole = io.StringIO(head.decode("utf-8", "replace").removeprefix("\ufeff"), newline="")
    quoting: dict[str, Any] = {"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE}
    if escape != quote:
        quoting |= {"escapechar": escape or None, "doublequote": False}
    try:
        return list(csv.reader(whole, delimiter=delimiter, **quoting))
    except (csv.Error, TypeError, ValueError):
        return []


def _sniff_behind_remarks(target: Target, source: Source, options: dict[str, str], head: bytes) -> tuple[Any, ...]:
    """What is found, without the first lines where these begin with `#` and only what follows them is a table."""
    found, text_ = _sniff(target, source, options), head.removeprefix(codecs.BOM_UTF8)
    if not text_.startswith(b"#"):
        return found
    remarks = next((number for number, line in enumerate(text_.splitlines()) if not line.startswith(b"#")), 0)
    behind = _sniff(target, source, {**options, "skip": str(remarks)})
    better = target.takes(list(_types(behind))) and not target.takes(list(_types(found)))
    return behind if better or len(_types(behind)) > len(_types(found)) else found


def _sniff(target: Target, source: Source, options: dict[str, str]) -> tuple[Any, ...]:
    given = {"ignore_errors": "true", "comment": "''", **options}
    statement = (  # on a connection of its own: an error would end the transaction
        "SELECT Delimiter, Quote, Escape, SkipRows, HasHeader, Columns, DateFormat, TimestampFormat FROM"
        f" sniff_csv({text(str(source.head or source.path))}, "
    )
    with contextlib.closing(target.cursor.cursor()) as other:
        try:
            row = other.execute(f"{statement}{said(given)})").fetchone()
        except duckdb.Error as error:
            head = head_of(source)
            if _is_binary(head):
                raise LoadFailed(_not_csv(source, error)) from None
            if not source.evened and lines.mixed(head):
                raise MixedLines(_not_csv(source, error)) from None
            try:  # a broken line among the first ones is no reason to take none
                row = other.execute(f"{statement}{said(given)}, strict_mode = false)").fetchone()
            except duckdb.Error:
                raise LoadFailed(_not_csv(source, error)) from None
    names = list(_types(row)) if row else [""]
    first = names[0].strip().lower()
    if row is None or "\0" in first or first.startswith(_DOCUMENTS):
        raise LoadFailed("The file cannot be read as CSV: it is a page or another document.")
    if len(names) == 1 and "delim" not in options and any(mark in first for mark in _DELIMITERS):
        raise LoadFailed("The file cannot be read as CSV: no delimiter divides all of its first lines; give one.")
    return row


def said(options: dict[str, str]) -> str:
    """Options as SQL."""
    return ", ".join(f"{key} = {value}" for key, value in options.items())


def _types(found: tuple[Any, ...]) -> dict[str, str]:
    return {column["name"]: column["type"] for column in found[5]}


def _not_csv(source: Source, error: duckdb.Error) -> str:
    if _has_long_line(source.head or source.path):
        return "The file cannot be read as CSV: one of its first lines has more than 2,000,000 bytes."
    line = str(error).splitlines()[0].replace(str(source.head or source.path), "the file")
    return f"The file cannot be read as CSV: {line}"


def _is_binary(head: bytes) -> bool:
    """A text may have some broken characters, or zero bytes; what has both is none."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return b"\0" in head
    return False


def _has_long_line(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(4 * _LINE_BYTES)
    return any(len(line) > _LINE_BYTES for line in re.split(rb"[\r\n]+", start))


def _plain(value: str) -> str:
    return "" if value == "(empty)" else value
