"""Results in the formats of the Query API: JSON, JSONCompact, JSONEachRow, CSV, TSV. Pure.

Types are named as ClickHouse names them, times written `YYYY-MM-DD HH:MM:SS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from runyard.core.errors import invalid
from runyard.dialects.tinybird.schema import clickhouse_type

JSON_MEDIA = "application/json; charset=utf-8"
TEXT_MEDIA = "text/plain; charset=utf-8"
CSV_MEDIA = "text/csv; charset=utf-8"
TSV_MEDIA = "text/tab-separated-values; charset=utf-8"
NDJSON_MEDIA = "application/x-ndjson; charset=utf-8"
PARQUET_MEDIA = "application/vnd.apache.parquet"

_FORMAT = re.compile(r"\bFORMAT\s+([A-Za-z]+)\s*;?\s*$", re.IGNORECASE)
_SETTINGS = re.compile(r"\bSETTINGS\s+[\w\s=,.'-]+$", re.IGNORECASE)
_encode = msgspec.json.Encoder().encode


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a query gave. `columns` hold name and warehouse type; times are in seconds."""

    columns: list[dict[str, str]]
    rows: list[Any]
    elapsed: float
    rows_read: int = 0
    bytes_read: int = 0


def split_format(sql: str) -> tuple[str, str | None]:
    """The query without its FORMAT clause, and the format's name as it was written."""
    text = sql.strip().rstrip(";").rstrip()
    found = _FORMAT.search(text)
    if found is None or _inside_quotes(text, found.start()):
        return text, None
    return text[: found.start()].rstrip(), found.group(1)


def _inside_quotes(text: str, place: int) -> bool:
    quote, at = "", 0
    while at < place:
        letter = text[at]
        if quote and letter == "\\":
            at += 1
        elif quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"`":
            quote = letter
        at += 1
    return bool(quote)


# --- values -----------------------------------------------------------------------------------------------


def _moment(value: str) -> str:
    return value.replace("T", " ").removesuffix("+00:00")


def _prepared(result: Result) -> tuple[list[dict[str, str]], list[list[Any]]]:
    """Columns with ClickHouse types, and rows with the values as this platform writes them."""
    columns, rows = [], [list(row) for row in result.rows]
    for place, column in enumerate(result.columns):
        kind = clickhouse_type(column["type"])
        if column["type"].startswith("TIMESTAMP"):
            kind = _times(rows, place)
        elif column["type"].startswith("DECIMAL"):
            for row in rows:
                row[place] = None if row[place] is None else msgspec.Raw(str(row[place]).encode())
        elif "TIMESTAMP" in column["type"]:
            for row in rows:
                row[place] = _nested(row[place])
        elif column["type"] == "JSON":
            kind = "String"
        if any(row[place] is None for row in rows) and not kind.startswith(("Nullable", "Array", "Map", "Tuple")):
            kind = f"Nullable({kind})"
        columns.append({"name": column["name"], "type": kind})
    return columns, rows


def _times(rows: list[list[Any]], place: int) -> str:
    texts = [_moment(row[place]) if isinstance(row[place], str) else row[place] for row in rows]
    fine = any(isinstance(text, str) and "." in text for text in texts)
    for row, text in zip(rows, texts, strict=True):
        row[place] = text if not fine or text is None or "." in text else f"{text}.000000"
    return "DateTime64(6)" if fine else "DateTime"


def _nested(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+(\+00:00)?", value):
        return _moment(value)
    if isinstance(value, list):
        return [_nested(item) for item in value]
    if isinstance(value, dict):
        return {key: _nested(item) for key, item in value.items()}
    return value


# --- formats ----------------------------------------------------------------------------------------------


def _statistics(result: Result) -> dict[str, Any]:
    return {"elapsed": result.elapsed, "rows_read": result.rows_read, "bytes_read": result.bytes_read}


def whole(result: Result) -> dict[str, Any]:
    """A result as the format JSON has it."""
    columns, rows = _prepared(result)
    names = [column["name"] for column in columns]
    return _body(result, columns, [dict(zip(names, row, strict=True)) for row in rows])


def _json(result: Result) -> bytes:
    return _encode(whole(result))


def _compact(result: Result) -> bytes:
    columns, rows = _prepared(result)
    return _encode(_body(result, columns, rows))


def _body(result: Result, columns: list[dict[str, str]], data: list[Any]) -> dict[str, Any]:
    body = {"meta": columns, "data": data, "rows": len(data), "rows_before_limit_at_least": len(data)}
    return body | {"statistics": _statistics(result)}


def _lines(result: Result) -> bytes:
    columns, rows = _prepared(result)
    names = [column["name"] for column in columns]
    return b"".join(_encode(dict(zip(names, row, strict=True))) + b"\n" for row in rows)


def _compact_lines(result: Result) -> bytes:
    _, rows = _prepared(result)
    return b"".join(_encode(row) + b"\n" for row in rows)


def _csv(result: Result, *, names: bool) -> bytes:
    columns, rows = _prepared(result)
    lines = [",".join(_quoted(column["name"]) for column in columns)] if names else []
    lines += [",".join(_cell(value) for value in row) for row in rows]
    return "".join(f"{line}\n" for line in lines).encode()


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _cell(value: Any) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, msgspec.Raw):
        return bytes(value).decode()
    return _quoted(value if isinstance(value, str) else _encode(value).decode())


_TSV = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def _tsv(result: Result, *, names: bool) -> bytes:
    columns, rows = _prepared(result)
    lines = ["\t".join(column["name"].translate(_TSV) for column in columns)] if names else []
    lines += ["\t".join(_field(value) for value in row) for row in rows]
    return "".join(f"{line}\n" for line in lines).encode()


def _field(value: Any) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, str):
        return value.translate(_TSV)
    return _cell(value) if not isinstance(value, list | dict) else _encode(value).decode().translate(_TSV)


class Format(msgspec.Struct, frozen=True):
    """One format: its media type and how a result is written."""

    media: str
    write: Callable[[Result], bytes]


FORMATS: dict[str, Format] = {
    "json": Format(JSON_MEDIA, _json),
    "jsoncompact": Format(JSON_MEDIA, _compact),
    "jsoneachrow": Format(NDJSON_MEDIA, _lines),
    "jsoncompacteachrow": Format(NDJSON_MEDIA, _compact_lines),
    "csv": Format(CSV_MEDIA, lambda result: _csv(result, names=False)),
    "csvwithnames": Format(CSV_MEDIA, lambda result: _csv(result, names=True)),
    "tsv": Format(TSV_MEDIA, lambda result: _tsv(result, names=False)),
    "tabseparated": Format(TSV_MEDIA, lambda result: _tsv(result, names=False)),
    "tsvwithnames": Format(TSV_MEDIA, lambda result: _tsv(result, names=True)),
    "tabseparatedwithnames": Format(TSV_MEDIA, lambda result: _tsv(result, names=True)),
}
NAMES = "JSON, JSONCompact, JSONEachRow, JSONCompactEachRow, CSV, CSVWithNames, TSV, TSVWithNames, Parquet"
OF_ENDING = {"json": "json", "csv": "csvwithnames", "ndjson": "jsoneachrow", "parquet": "parquet"}
"""The format of an endpoint's address, `/v0/pipes/NAME.csv`."""


def format_of(name: str | None) -> str:
    """The key of a format; raises `invalid` for one that is not written here."""
    key = (name or "TabSeparated").lower()
    if key in FORMATS or key == "parquet":
        return key
    raise invalid(f"The format {name!r} is not written here; use one of {NAMES}.", field="format")
