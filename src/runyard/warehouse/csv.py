"""Loads CSV: one typed pass by DuckDB's own reader; only the rows that it rejects are looked at again."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from runyard.warehouse import lines, pieces, rejects, shapes
from runyard.warehouse.failures import LoadFailed
from runyard.warehouse.fetch import Source
from runyard.warehouse.shapes import MixedLines, Shape, head_of, marks_of
from runyard.warehouse.tables import SAMPLES, Counts, Target, name, short, text

_SPACED_DATES = re.compile(rb"\b\d{4}-\d{1,2}-\d{1,2} +(?:[,;|\t\"'\r\n]|$)")
_STRICTER = {"DATE": "TIMESTAMP", "TIME": "TIME WITH TIME ZONE"}
"""What a column is read as so that nothing may stand behind its value: of itself DuckDB reads the start only."""
_TOLD_FORMATS = {"dateformat": "date_format", "timestampformat": "timestamp_format"}


def load(target: Target, source: Source, spool: Path) -> Counts:
    """Rows into the table and its quarantine; raises `LoadFailed` or duckdb.Error."""
    head = head_of(source)
    shape = shapes.shape_of(target, source, head)
    places = target.prepare(shape.columns)
    read_as = _kinds(target, places, shape, head)
    kinds = ", ".join(f"{text(place)}: {text(kind)}" for place, kind in read_as.items())
    values = ", ".join(_value(place, kind, target.columns[place]) for place, kind in read_as.items())
    cursor = target.cursor
    with pieces.reading(source, shape.reading, len(places), cursor) as found:
        rows = _read(
            target,
            f"INSERT INTO {target.into} ({', '.join(map(name, places))}) SELECT {values} FROM"
            f" read_csv({found.source}, columns = {{{kinds}}}, {shapes.said(found.options)})",
        )
    counts = Counts(rows, reading=_told(shape, source))
    rejected = rejects.are_there(cursor)
    if rejected and not source.evened and rejects.hide_ends(cursor, marks_of(shape.reading)):
        raise MixedLines("The file cannot be read as CSV: its lines end in different ways.")
    pieces.check(cursor, source, found)
    if found.mark:
        rejected = rejects.are_there(cursor)  # ours is out again
    if rejected:
        changed = {place: (kind, target.columns[place]) for place, kind in read_as.items()}
        changed = {place: kinds for place, kinds in changed.items() if kinds[0] != kinds[1]}
        bad = rejects.Rejects(found, source.path, shape.reading, places, changed)
        rejects.put_aside(target, bad, counts, spool / f"{source.path.name}.rejected")
    if skipped := int(shape.reading["skip"]):
        _count_skipped(counts, head, skipped)
    return counts


def _count_skipped(counts: Counts, head: bytes, skipped: int) -> None:
    """What stands before the table is a line as any other that does not parse, unless it is empty."""
    lines_ = head.removeprefix(codecs.BOM_UTF8).splitlines()[:skipped]
    before = [(number, line) for number, line in enumerate(lines_, 1) if line.strip()]
    counts.invalid += len(before)
    said = "It stands before the table."
    told = [{"line": number, "text": short(line.decode("utf-8", "replace")), "error": said} for number, line in before]
    counts.lines = [*told, *counts.lines][:SAMPLES]
    counts.first = f"line {before[0][0]}: {said}" if before else counts.first


def _kinds(target: Target, places: list[str], shape: Shape, head: bytes) -> dict[str, str]:
    """The columns of the table that the file has, and as what they are read; they are cast to their types after it."""
    if "dateformat" not in shape.reading and ("timestampformat" in shape.reading or _SPACED_DATES.search(head)):
        shape.reading["dateformat"] = text(shapes.ISO_FORMS[0])  # which is strict, and lets spaces be
    kinds = {place: target.columns[place] for place in places}
    stricter = {kind: other for kind, other in _STRICTER.items() if kind == "TIME" or "dateformat" not in shape.reading}
    return {place: stricter.get(kind, kind) for place, kind in kinds.items()}


def _value(place: str, read: str, kind: str) -> str:
    """A column as its table has it. A mere cast DuckDB would do by reading it as that type at once."""
    return name(place) if read == kind else f"CASE WHEN {name(place)} IS NOT NULL THEN {name(place)}::{kind} END"


def straighten(source: Source, options: dict[str, Any], check: Callable[[], None]) -> None:
    """Gives all lines of a file the same end; raises `LoadFailed` if not all of it comes."""
    source.arrive()
    marks = marks_of(shapes.options_of(options, head_of(source)))
    to = source.path.with_suffix(".plain")
    try:
        lines.even(source.path, to, *marks, check=check)
        source.is_now(to)
        source.evened = True
    finally:
        to.unlink(missing_ok=True)


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


def _told(shape: Shape, source: Source) -> dict[str, str]:
    """How the file was read, for people."""
    shown = {"delimiter": shape.delimiter, "header": shape.reading["header"], "skipped_lines": shape.reading["skip"]}
    quote, escape = (pieces.character(shape.reading[key]).decode() for key in ("quote", "escape"))
    shown |= {"quote": quote} if quote == escape else {"quote": quote, "escape": escape}
    shown |= {word: shape.reading[key].strip("'") for key, word in _TOLD_FORMATS.items() if key in shape.reading}
    shown |= {"line_ends": "mixed"} if source.evened else {}
    return shown if source.encoding == "utf-8" else shown | {"encoding": source.encoding}
