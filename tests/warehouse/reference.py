"""What a load must make of a file, said in plain Python: rows by value, rows put aside, lines that do not parse.

It knows nothing of DuckDB. Rules that the documents leave open are written down here, one comment each.
"""

from __future__ import annotations

import datetime
import json
import re
import struct
import uuid
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any, NamedTuple

Row = tuple[Any, ...]
Aside = tuple[tuple[str | None, ...], tuple[str, ...]]
"""The texts of a row that does not fit, and the columns that are wrong."""


class Expected(NamedTuple):
    """Rows and rows put aside are sets in which something may stand more than once."""

    rows: list[Row]
    aside: list[Aside]
    invalid: int


class Misfit(Exception):
    """A text that is no value of its type."""


class Dialect(NamedTuple):
    """How a CSV file is written."""

    delimiter: str = ","
    quote: str = '"'
    escape: str = '"'
    header: bool = True
    null: str = ""


class Record(NamedTuple):
    """One line of a file; `fields` is None when it does not parse."""

    fields: list[bytes] | None


def csv_rows(data: bytes, dialect: Dialect, columns: dict[str, str], order: list[str] | None = None) -> Expected:
    """What becomes of a file in UTF-8; `order` are the columns as the file has them."""
    names = order or list(columns)
    found = Expected([], [], 0)
    invalid = 0
    for number, record in enumerate(_records(data, dialect, len(names))):
        if dialect.header and number == 0:
            continue
        texts = _texts(record, dialect, [columns[name] for name in names])
        if texts is None:
            invalid += 1
            continue
        _take(found, columns, dict(zip(names, texts, strict=True)))
    return found._replace(invalid=invalid)


def _take(found: Expected, columns: dict[str, str], texts: dict[str, Any], read: Any = None) -> None:
    row, wrong = [], []
    for name, kind in columns.items():
        text = texts.get(name)
        try:
            row.append(None if text is None else (read or value)(kind, text))
        except Misfit:
            wrong.append(name)
    if wrong:
        shown = (
            None if (one := texts.get(name)) is None else compact(one) if kind == "JSON" else told(one)
            for name, kind in columns.items()
        )
        found.aside.append((tuple(shown), tuple(wrong)))
    else:
        found.rows.append(tuple(row))


def told(text: Any) -> str:
    return text if isinstance(text, str) else compact(text)


def compact(one: Any) -> str:
    return json.dumps(one, separators=(",", ":"), ensure_ascii=False)


def _texts(record: Record, dialect: Dialect, kinds: list[str]) -> list[str | None] | None:
    """The fields as texts; None when there are too few or too many, or when a text is no UTF-8."""
    fields = record.fields
    if fields is None:
        return None
    if len(fields) == len(kinds) + 1 and fields[-1] == dialect.null.encode():  # a delimiter at the end is no column
        fields = fields[:-1]
    if len(fields) != len(kinds):
        return None
    texts = [field.decode(errors="surrogateescape") for field in fields]
    broken = [re.sub(r"[\udc80-\udcff]", "?", text) for text in texts]
    if any(kind == "VARCHAR" and text != shown for kind, text, shown in zip(kinds, texts, broken, strict=True)):
        return None
    texts = broken  # in a number it is one wrong character more
    return [None if text == dialect.null else text for text in texts]  # also where it is quoted


def _records(data: bytes, dialect: Dialect, count: int) -> Iterator[Record]:
    """The lines, of which one may go over several in quotes. An empty line is none, or the NULL of a single column."""
    data = data.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")  # nor is there a line before the first one
    place = 0
    while place < len(data):
        record, after = _record(data, place, dialect)
        empty = record.fields == [b""] and data[place : place + 1] in (b"\n", b"\r", b"")
        if not empty or (count == 1 and not dialect.null):
            yield record
        place = after


def _record(data: bytes, place: int, dialect: Dialect) -> tuple[Record, int]:
    """One record and where the next one begins."""
    fields: list[bytes] = []
    while True:
        field, place = _field(data, place, dialect)
        if field is None:  # the rest of its last line is lost with it
            while place < len(data) and data[place] not in b"\r\n":
                place += 1
            return Record(None), _after(data, place)
        fields.append(field)
        if data[place : place + 1] != dialect.delimiter.encode():
            return Record(fields), _after(data, place)
        place += 1


def _after(data: bytes, place: int) -> int:
    """Behind the line end at a place: LF, CR LF or CR, whatever the other lines have."""
    return place + (2 if data[place : place + 2] == b"\r\n" else 1)


def _field(data: bytes, place: int, dialect: Dialect) -> tuple[bytes | None, int]:
    """The field that begins at a place, and where it ends; None when there is none that can be read."""
    quote, escape, stop = dialect.quote.encode(), dialect.escape.encode(), dialect.delimiter.encode() + b"\r\n"
    start = place
    while data[place : place + 1] == b" ":
        place += 1
    if quote and data[place : place + 1] == quote:  # spaces around a quoted value are not part of it
        return _quoted(data, place + 1, quote, escape, stop)
    place = start
    while place < len(data) and data[place] not in stop:
        place += 1
    return data[start:place], place


def _quoted(data: bytes, place: int, quote: bytes, escape: bytes, stop: bytes) -> tuple[bytes | None, int]:
    found = bytearray()
    while place < len(data):
        one, then = data[place : place + 1], data[place + 1 : place + 2]
        if one == escape and escape != quote:
            found += then
            place += 2
        elif one == quote and escape == quote and then == quote:
            found += quote
            place += 2
        elif one == quote:
            place += 1
            while data[place : place + 1] == b" ":
                place += 1
            ended = place == len(data) or data[place] in stop
            return (bytes(found), place) if ended else (None, place)
        else:
            found += one
            place += 1
    return None, place


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WHOLE = {
    "TINYINT": (-(2**7), 2**7), "SMALLINT": (-(2**15), 2**15), "INTEGER": (-(2**31), 2**31),
    "BIGINT": (-(2**63), 2**63), "HUGEINT": (-(2**127), 2**127), "UTINYINT": (0, 2**8), "USMALLINT": (0, 2**16),
    "UINTEGER": (0, 2**32), "UBIGINT": (0, 2**64),
}  # fmt: skip
_BOOLEANS = dict.fromkeys(("true", "t", "1", "yes", "y"), True) | dict.fromkeys(("false", "f", "0", "no", "n"), False)
_TIME = r"(\d{1,2}):(\d{1,2}|)(?::(\d{1,2}|)(?:\.(\d{1,9}))?)?"
_ISO = re.compile(rf"(\d{{1,5}})-(\d{{1,2}})-(\d{{1,2}})(?:[ T]{_TIME}(Z|[+-]\d\d(?::?\d\d)?)?)?", re.ASCII)
_CLOCK = re.compile(_TIME, re.ASCII)


def value(kind: str, text: str) -> Any:
    """A text as a value of its type; raises `Misfit`."""
    if kind == "VARCHAR":
        return text
    if kind in _WHOLE:
        low, high = _WHOLE[kind]
        number = int(_decimal(text).to_integral_value(ROUND_HALF_UP))  # a fraction is rounded: the documents say so
        return _only(number, low <= number < high)
    if kind.startswith("DECIMAL"):
        return _fixed(kind, text)
    return _PLAIN[kind](text)


def _only(one: Any, fits: bool) -> Any:
    if not fits:
        raise Misfit
    return one


def _decimal(text: str) -> Decimal:
    text = text.strip(" \t\n\v\f\r")
    return Decimal(_only(text, _NUMBER.fullmatch(text) is not None))


def _fixed(kind: str, text: str) -> Decimal:
    width, scale = map(int, re.findall(r"\d+", kind))
    with localcontext() as context:
        context.prec = 400
        number = _decimal(text).quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP)
        return Decimal(_only(number or abs(number), abs(number) < Decimal(10) ** (width - scale)))


def _double(text: str) -> float:
    text = text.strip(" \t\n\v\f\r")
    words = {"nan", "inf", "-inf", "+inf", "infinity", "-infinity"}
    return float(_only(text, bool(_NUMBER.fullmatch(text)) or text.lower() in words))


def _real(text: str) -> float:
    try:
        return float(struct.unpack("f", struct.pack("f", _double(text)))[0])
    except OverflowError:
        raise Misfit from None


def _boolean(text: str) -> bool:
    if text.lower() not in _BOOLEANS:
        raise Misfit
    return _BOOLEANS[text.lower()]


def _moment(text: str) -> tuple[datetime.datetime, datetime.timedelta]:
    """The time of day as it stands, and its offset."""
    found = _ISO.fullmatch(text.strip())
    if found is None:
        raise Misfit
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    digits = ((fraction or "") + "000000")[:6]  # a TIMESTAMP has microseconds; what is finer is cut off
    try:
        moment = datetime.datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), int(digits)
        )
    except ValueError:
        raise Misfit from None
    if zone in (None, "Z"):
        return moment, datetime.timedelta()
    digits = zone[1:].replace(":", "").ljust(4, "0")
    offset = datetime.timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return moment, -offset if zone[0] == "-" else offset


def _instant(text: str) -> datetime.datetime:
    moment, offset = _moment(text)
    return (moment - offset).replace(tzinfo=datetime.UTC)


def _time(text: str) -> datetime.time:
    found = _CLOCK.fullmatch(text)
    if found is None:
        raise Misfit
    hour, minute, second, fraction = found.groups()
    try:
        return datetime.time(int(hour), int(minute or 0), int(second or 0), int(((fraction or "") + "000000")[:6]))
    except ValueError:
        raise Misfit from None


def _uuid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(
            _only(text, re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text) is not None)
        )
    except ValueError:
        raise Misfit from None


_PLAIN: dict[str, Any] = {
    "DOUBLE": _double, "FLOAT": _real, "BOOLEAN": _boolean, "DATE": lambda text: _moment(text)[0].date(),
    "TIMESTAMP": lambda text: _moment(text)[0], "TIMESTAMP WITH TIME ZONE": _instant, "TIME": _time, "UUID": _uuid,
}  # fmt: skip


def ndjson_rows(data: bytes, columns: dict[str, str]) -> Expected:
    """What becomes of a file in UTF-8 with one object a line."""
    found, invalid = Expected([], [], 0), 0
    for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        if not line.strip():
            continue
        try:
            one = json.loads(line.decode(), parse_constant=_no_constant)
        except ValueError:
            one = None
        if isinstance(one, dict):
            _take(found, columns, {name: one.get(name) for name in columns}, _from_json)
        else:
            invalid += 1
    return found._replace(invalid=invalid)


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _from_json(kind: str, one: Any) -> Any:
    return compact(one) if kind == "JSON" else value(kind, told(one))
