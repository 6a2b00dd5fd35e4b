"""Loads CSV: one typed pass by DuckDB's own reader; only the rows that it rejects are looked at again."""

from __future__ import annotations

import codecs
import contextlib
import csv as stdlib_csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from runyard.warehouse import lines, pieces, rejects
from runyard.warehouse.failures import LoadFailed
from runyard.warehouse.fetch import Source
from runyard.warehouse.tables import SAMPLES, Counts, Target, name, short, text

_OPTIONS = {"encoding", "delimiter", "header", "quote", "escape", "null_string", "date_format", "timestamp_format"}
_DELIMITERS, _HEAD_BYTES, _LINE_BYTES = (",", "\t", ";", "|"), 1 << 16, 2_000_000
_SINGLE_QUOTED = re.compile(rb"(?:^|[,;|\t])'[^'\r\n]*'(?=[,;|\t\r\n]|$)", re.MULTILINE)
_BACKSLASHED = re.compile(rb'(?:^|[,;|\t]) *"[^"\r\n]*\\"(?![",;|\t\r\n])', re.MULTILINE)
_OTHER_DATES = re.compile(
    rb"(?<![\d/.-])\d{1,2}([/.-])\d{1,2}\1\d{2,4}(?!\d)|\b\d{4}\.\d{1,2}\.\d{1,2}\b|\d ?[AaPp][Mm]\b"
)
_ISO_FORMS = ("%Y-%m-%d", "%Y/%m/%d")
_ISO_DATE = re.compile(r" *\d{4}-\d{1,2}-\d{1,2}")
_HALF_DAYS = re.compile(rb"\b\d{4}-\d{1,2}-\d{1,2}([ T])\d{1,2}:\d\d(:\d\d(\.\d+)?)?( ?)[AaPp][Mm]\b")
_SPACED_DATES = re.compile(rb"\b\d{4}-\d{1,2}-\d{1,2} +(?:[,;|\t\"'\r\n]|$)")
_STRICTER = {"DATE": "TIMESTAMP", "TIME": "TIME WITH TIME ZONE"}
"""What a column is read as so that nothing may stand behind its value: of itself DuckDB reads the start only."""
_DOUBLED = re.compile(rb'[^\\,;|\t\r\n]""')
_DOCUMENTS = ("<html", "<!doctype", "<?xml", "<!--", "<head", "<body", '{"', "[{")
_TOLD_FORMATS = {"dateformat": "date_format", "timestampformat": "timestamp_format"}


class MixedLines(LoadFailed):
    """Lines of the file end in different ways: it has to be written anew first (`straighten`)."""


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
    read_as = _kinds(target, places, shape, _head(source))
    kinds = ", ".join(f"{text(place)}: {text(kind)}" for place, kind in read_as.items())
    values = ", ".join(_value(place, kind, target.columns[place]) for place, kind in read_as.items())
    cursor = target.cursor
    with pieces.reading(source, shape.reading, len(places), cursor) as found:
        rows = _read(
            target,
            f"INSERT INTO {target.into} ({', '.join(map(name, places))}) SELECT {values} FROM"
            f" read_csv({found.source}, columns = {{{kinds}}}, {_said(found.options)})",
        )
    counts = Counts(rows, reading=_told(shape, source))
    rejected = rejects.are_there(cursor)
    if rejected and not source.evened and rejects.hide_ends(cursor, _marks(shape.reading)):
        raise MixedLines("The file cannot be read as CSV: its lines end in different ways.")
    pieces.check(cursor, source, found)
    if rejects.are_there(cursor) if found.mark else rejected:
        changed = {place: (kind, target.columns[place]) for place, kind in read_as.items()}
        changed = {place: kinds for place, kinds in changed.items() if kinds[0] != kinds[1]}
        bad = rejects.Rejects(found, source.path, shape.reading, places, changed)
        rejects.put_aside(target, bad, counts, spool / f"{source.path.name}.rejected")
    if skipped := int(shape.reading["skip"]):
        _count_skipped(counts, source, skipped)
    return counts


def _count_skipped(counts: Counts, source: Source, skipped: int) -> None:
    """What stands before the table is a line as any other that does not parse, unless it is empty."""
    lines_ = _head(source).removeprefix(codecs.BOM_UTF8).splitlines()[:skipped]
    before = [(number, line) for number, line in enumerate(lines_, 1) if line.strip()]
    counts.invalid += len(before)
    said = "It stands before the table."
    told = [{"line": number, "text": short(line.decode("utf-8", "replace")), "error": said} for number, line in before]
    counts.lines = [*told, *counts.lines][:SAMPLES]
    counts.first = f"line {before[0][0]}: {said}" if before else counts.first


def _kinds(target: Target, places: list[str], shape: Shape, head: bytes) -> dict[str, str]:
    """The columns of the table that the file has, and as what they are read; they are cast to their types after it."""
    if "dateformat" not in shape.reading and ("timestampformat" in shape.reading or _SPACED_DATES.search(head)):
        shape.reading["dateformat"] = text(_ISO_FORMS[0])  # which is strict, and lets spaces be
    kinds = {place: target.columns[place] for place in places}
    stricter = {kind: other for kind, other in _STRICTER.items() if kind == "TIME" or "dateformat" not in shape.reading}
    return {place: stricter.get(kind, kind) for place, kind in kinds.items()}


def _value(place: str, read: str, kind: str) -> str:
    """A column as its table has it. A mere cast DuckDB would do by reading it as that type at once."""
    return name(place) if read == kind else f"CASE WHEN {name(place)} IS NOT NULL THEN {name(place)}::{kind} END"


def straighten(source: Source, options: dict[str, Any], check: Callable[[], None]) -> None:
    """Gives all lines of a file the same end; raises `LoadFailed` if not all of it comes."""
    source.arrive()
    marks = _marks(_quoting(_head(source), found := _options(options)) | found)
    to = source.path.with_suffix(".plain")
    try:
        lines.even(source.path, to, *marks, check=check)
        source.is_now(to)
        source.evened = True
    finally:
        to.unlink(missing_ok=True)


def _first_end(head: bytes, *marks: bytes) -> str:
    """How the first line that ends does so, as DuckDB is told: `\\n`, `\\r\\n` or `\\r`."""
    return next(lines.ends(head, *marks), b"\n").decode().replace("\r", "\\r").replace("\n", "\\n")


def _marks(options: dict[str, str]) -> tuple[bytes, bytes, bytes]:
    """The delimiter, if it is known, the quote, and what escapes it."""
    delimiter, quote, escape = (pieces.character(options.get(key, "''")) for key in ("delim", "quote", "escape"))
    return delimiter, quote, escape


def _read(target: Target, statement: str) -> int:
    try:
        return target.count(statement)
    except duckdb.InvalidInputException as error:
        if "state machine reached an invalid state" in str(error):
            raise MixedLines("The file cannot be read as CSV: its lines end in different ways.") from None
        if "unicode" in str(error):
            said = "A line that does not parse has bytes that are no UTF-8: say in encoding how the file is written."
            raise LoadFailed(said) from None
        raise


def _shape(target: Target, source: Source) -> Shape:
    options, head = _options(target.action.options), _head(source)
    if not head.strip(b"\xef\xbb\xbf \t\r\n"):
        raise LoadFailed("The file is empty.")
    options = _quoting(head, options) | options
    # Left to itself DuckDB takes the first one that it sees, even within quotes, and then finds no row, without a word.
    options["new_line"] = text(_first_end(head, *_marks(options)))
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
        if form and not str(form).startswith(_ISO_FORMS) and key not in options and not _writes_iso(shape, head, kind):
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
    quoting: dict[str, Any] = {"quotechar": quote} if quote else {"quoting": stdlib_csv.QUOTE_NONE}
    if escape != quote:
        quoting |= {"escapechar": escape or None, "doublequote": False}
    try:
        return list(stdlib_csv.reader(whole, delimiter=delimiter, **quoting))
    except (stdlib_csv.Error, TypeError, ValueError):
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
            row = other.execute(f"{statement}{_said(given)})").fetchone()
        except duckdb.Error as error:
            head = _head(source)
            if _is_binary(head):
                raise LoadFailed(_not_csv(source, error)) from None
            if not source.evened and lines.mixed(head):
                raise MixedLines(_not_csv(source, error)) from None
            try:  # a broken line among the first ones is no reason to take none
                row = other.execute(f"{statement}{_said(given)}, strict_mode = false)").fetchone()
            except duckdb.Error:
                raise LoadFailed(_not_csv(source, error)) from None
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


def _told(shape: Shape, source: Source) -> dict[str, str]:
    """How the file was read, for people."""
    shown = {"delimiter": shape.delimiter, "header": shape.reading["header"], "skipped_lines": shape.reading["skip"]}
    quote, escape = (pieces.character(shape.reading[key]).decode() for key in ("quote", "escape"))
    shown |= {"quote": quote} if quote == escape else {"quote": quote, "escape": escape}
    shown |= {word: shape.reading[key].strip("'") for key, word in _TOLD_FORMATS.items() if key in shape.reading}
    shown |= {"line_ends": "mixed"} if source.evened else {}
    return shown if source.encoding == "utf-8" else shown | {"encoding": source.encoding}
