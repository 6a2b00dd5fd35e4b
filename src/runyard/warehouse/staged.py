"""Loads NDJSON and Parquet: read as they are, cast column by column, divided into rows that fit and others."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from runyard.warehouse.failures import LoadFailed
from runyard.warehouse.fetch import Source
from runyard.warehouse.tables import SAMPLES, Counts, Target, name, short, text

_STRICTER = {"TIME": "TIMETZ", "TIMESTAMP": "TIMESTAMPTZ"}
"""What refuses a text behind which something stands (`10:00:00 PM`) that these types pass over."""
_STAGE = "temp.runyard_stage"
_SAMPLE_ROWS = 20_000
_LOOKED_BYTES = 64 * 1024**2


def load_ndjson(target: Target, source: Source, spool: Path) -> Counts:
    """One JSON object a line; lines that are none are invalid lines."""
    _check_options(target, "NDJSON", {"encoding", "paths"})
    if source.unpacked == 0:
        raise LoadFailed("The file is empty.")
    path = text(str(source.path))
    if (paths := target.action.options.get("paths")) is not None:
        if not isinstance(paths, dict):
            raise LoadFailed("The option paths is an object: the place of each column by its name.")
        return _by_paths(target, source.path, {str(column): str(place) for column, place in paths.items()})
    # Of dates only those that a cast takes, too.
    detected = _described(target, f"read_ndjson_auto({path}, ignore_errors = true, dateformat = 'iso')", "NDJSON")
    if list(detected) == ["json"]:  # some lines are no objects, or all are taken for maps: look at the objects
        detected = _structure(target, path)
    _check_fields(target, path, detected)
    if "" in detected:
        raise LoadFailed("A field of the file has no name; say in paths where columns are.")
    if not target.known():
        detected |= dict.fromkeys(_not_castable(target, path, detected), "VARCHAR")
        detected |= _large_numbers(target, path, detected)
    places = target.prepare(detected)
    columns = dict(zip(places, detected, strict=True))
    columns |= {column: column for column in target.columns if column not in columns}
    return _lines(
        target, source.path, {place: _extracted(column, target.columns[place]) for place, column in columns.items()}
    )


def _not_castable(target: Target, path: str, detected: dict[str, str]) -> list[str]:
    """Fields that were taken for times by a form that a cast does not know."""
    times = {field: kind for field, kind in detected.items() if kind.startswith("TIMESTAMP")}
    if not times:
        return []
    tried = [f"count(v{n}) > 0 AND count(TRY_CAST(v{n} AS {kind})) = 0" for n, kind in enumerate(times.values())]
    values = [f"json_extract_string(json, {_pointer(field)}) AS v{n}" for n, field in enumerate(times)]
    row = target.cursor.execute(
        f"SELECT {', '.join(tried)} FROM (SELECT {', '.join(values)} FROM (SELECT json FROM"
        f" read_ndjson_objects({path}, ignore_errors = true) LIMIT {_SAMPLE_ROWS}))"
    ).fetchone()
    return [field for field, foreign in zip(times, row or (), strict=False) if foreign]


def _large_numbers(target: Target, path: str, detected: dict[str, str]) -> dict[str, str]:
    """Fields that were taken for fractions because their whole numbers have more than 64 bits, and better types."""
    fields = [field for field, kind in detected.items() if kind == "DOUBLE"]
    if not fields:
        return {}
    tried = [
        f"count(v{n}) FILTER (NOT regexp_full_match(v{n}, '-?[0-9]+')), count(TRY_CAST(v{n} AS HUGEINT)) = count(v{n})"
        for n in range(len(fields))
    ]
    values = [f"json_extract_string(json, {_pointer(field)}) AS v{n}" for n, field in enumerate(fields)]
    row = target.cursor.execute(
        f"SELECT {', '.join(tried)} FROM (SELECT {', '.join(values)} FROM (SELECT json FROM"
        f" read_ndjson_objects({path}, ignore_errors = true) LIMIT {_SAMPLE_ROWS}))"
    ).fetchone()
    pairs = zip(fields, (row or ())[::2], (row or ())[1::2], strict=True)
    return {field: "HUGEINT" if fits else "VARCHAR" for field, fractions, fits in pairs if not fractions}


def _check_fields(target: Target, path: str, detected: dict[str, str]) -> None:
    """DuckDB numbers fields that differ in capitals only, and then nobody knows their names any more."""
    lower = {column.lower() for column in detected}
    if not any(re.sub(r"_\d+$", "", column) in lower for column in lower if re.search(r"_\d+$", column)):
        return
    seen: dict[str, str] = {}
    for field in _structure(target, path):
        if (other := seen.setdefault(field.lower(), field)) != field:
            raise LoadFailed(
                f"The fields {other!r} and {field!r} differ in capitals only; say in paths where columns are."
            )


def _by_paths(target: Target, path: Path, paths: dict[str, str]) -> Counts:
    """Columns are where the load says (`$.user.name`); whatever else is in the lines is left out."""
    places = target.prepare(dict.fromkeys(paths, "VARCHAR"))
    raws = {}
    for place, where in zip(places, paths.values(), strict=True):
        nested = _is_nested(target.columns[place])
        raws[place] = _nested(text(where)) if nested else f"json_extract_string(whole, {text(where)})"
    return _lines(target, path, raws)


def _lines(target: Target, path: Path, raws: dict[str, str]) -> Counts:
    """The lines that are objects, each column by its expression over `whole`."""
    reader = f"(SELECT json AS whole FROM read_ndjson_objects({text(str(path))}, ignore_errors = true))"
    counts = _divide(target, raws, f"{reader} WHERE json_type(whole) = 'OBJECT'", texts=raws)
    row = target.cursor.execute(
        f"SELECT count(*) FROM {reader} WHERE whole IS NULL OR json_type(whole) <> 'OBJECT'"
    ).fetchone()
    counts.invalid = row[0] if row else 0
    if counts.invalid:
        counts.lines = _no_objects(target, path, counts.invalid)
        counts.first = counts.first or "a line is not a JSON object"
    return counts


def _no_objects(target: Target, path: Path, count: int) -> list[dict[str, Any]]:
    """Some of the lines that are no objects, if they are not too far from the start.

    DuckDB takes more than the rules of JSON allow (NaN, a comma too many), so that it is asked about each.
    """
    found: list[dict[str, Any]] = []
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if len(found) == min(count, SAMPLES) or file.tell() > _LOOKED_BYTES:
                break
            try:
                msgspec.json.decode(line, type=dict)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                if line.strip() and not _taken(target, line):
                    shown = line.decode("utf-8", "replace").rstrip("\r\n")
                    found.append({"line": number, "text": short(shown), "error": short(error)})
    return found


def _taken(target: Target, line: bytes) -> bool:
    try:
        row = target.cursor.execute("SELECT TRY(json_type(?)) = 'OBJECT'", [line.decode().strip()]).fetchone()
    except (UnicodeDecodeError, duckdb.Error):
        return False
    return bool(row and row[0])


def _check_options(target: Target, what: str, known: set[str]) -> None:
    if unknown := sorted(target.action.options.keys() - known):
        there = f"; there are {', '.join(sorted(known))}" if known else ""
        raise LoadFailed(f"A {what} file has no option {unknown[0]!r}{there}.")


def load_parquet(target: Target, source: Source, spool: Path) -> Counts:
    """Columns by name; a column of the table's own type is taken as it is."""
    _check_options(target, "Parquet", set())
    reader = f"read_parquet({text(str(source.path))})"
    detected = _described(target, reader, "Parquet")
    _check_size(target, source)
    places = target.prepare(detected)
    if all(target.columns[place] == kind for place, kind in zip(places, detected.values(), strict=True)):
        into, out = ", ".join(map(name, places)), ", ".join(map(name, detected))
        return Counts(target.count(f"INSERT INTO {target.into} ({into}) SELECT {out} FROM {reader}"))
    texts = [place for place, kind in zip(places, detected.values(), strict=True) if kind == "VARCHAR"]
    return _divide(target, dict(zip(places, map(name, detected), strict=True)), reader, texts)


def _check_size(target: Target, source: Source) -> None:
    """A small Parquet file can hold very much."""
    path = text(str(source.path))
    row = target.cursor.execute(
        "SELECT sum(total_uncompressed_size)::HUGEINT, 8 * (SELECT sum(num_rows)::HUGEINT FROM"
        f" parquet_file_metadata({path})) FROM parquet_metadata({path})"
    ).fetchone()
    if row and max(row[0] or 0, row[1] or 0) > source.most:
        raise LoadFailed(f"The Parquet file unpacks to more than {source.most} bytes, which is refused.")


def _described(target: Target, reader: str, what: str) -> dict[str, str]:
    try:
        rows = target.cursor.execute(f"DESCRIBE SELECT * FROM {reader}").fetchall()
    except duckdb.Error as error:
        raise LoadFailed(f"The file cannot be read as {what}: {str(error).splitlines()[0]}") from None
    return {row[0]: row[1] for row in rows}


def _structure(target: Target, path: str) -> dict[str, str]:
    """Fields and types of the first objects of a file."""
    row = target.cursor.execute(
        f"SELECT json_group_structure(json) FROM (SELECT json FROM read_ndjson_objects({path}, ignore_errors = true)"
        f" WHERE json_type(json) = 'OBJECT' LIMIT {_SAMPLE_ROWS})"
    ).fetchone()
    if row is None or row[0] is None:
        raise LoadFailed("The file cannot be read as NDJSON: no line of it is a JSON object.")
    found = json.loads(row[0])
    if not isinstance(found, dict):
        raise LoadFailed("The file cannot be read as NDJSON: none of its objects has a field.")
    if "" in found:
        raise LoadFailed("A field of the file has no name; say in paths where columns are.")
    return {field: _kind(node) for field, node in found.items()}


def _kind(node: Any) -> str:
    """A SQL type for what DuckDB says about the structure of JSON."""
    if isinstance(node, list):
        return _kind(node[0]) + "[]"
    if isinstance(node, dict):
        return "STRUCT(" + ", ".join(f"{name(field)} {_kind(inner)}" for field, inner in node.items()) + ")"
    return {"UBIGINT": "BIGINT", "NULL": "VARCHAR"}.get(node, str(node))


def _extracted(column: str, kind: str) -> str:
    """A field of the line: its text for plain types, JSON for nested ones."""
    pointer = _pointer(column)
    return _nested(pointer) if _is_nested(kind) else f"json_extract_string(whole, {pointer})"


def _pointer(column: str) -> str:
    return text("/" + column.replace("~", "~0").replace("/", "~1"))


def _nested(where: str) -> str:
    """A part of the line as JSON; a null of JSON is none, as it is for plain types."""
    found = f"json_extract(whole, {where})"
    return found if "*" in where else f"nullif({found}, 'null')"  # of a path with a star it is a list


def _is_nested(kind: str) -> bool:
    return kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "JSON", "UNION"))


def _cast(value: str, kind: str, *, texts: bool) -> str:
    """NULL for a value that does not fit. TRY_CAST alone would keep a list, and lose what does not fit in it.

    Of a STRUCT it is used all the same: the strict cast wants every field to be there.
    """
    if kind in _STRICTER and texts:
        return f"CASE WHEN TRY_CAST({value} AS {_STRICTER[kind]}) IS NOT NULL THEN TRY_CAST({value} AS {kind}) END"
    strict = _is_nested(kind) and kind != "JSON" and "STRUCT" not in kind and "UNION" not in kind
    return f"TRY(CAST({value} AS {kind}))" if strict else f"TRY_CAST({value} AS {kind})"


def _divide(target: Target, raws: dict[str, str], reader: str, texts: Collection[str]) -> Counts:
    """Casts once into a temporary table; from there the good rows go to the table, the others aside.

    `texts` are the columns that the file has as texts.
    """
    places = list(raws)
    columns = [f"{raw} AS r{n}" for n, raw in enumerate(raws.values())]
    casts = [f"{_cast(f'r{n}', target.columns[place], texts=place in texts)} AS c{n}" for n, place in enumerate(places)]
    target.cursor.execute(
        f"CREATE TEMP TABLE {_STAGE} AS SELECT *, {', '.join(casts)} FROM (SELECT {', '.join(columns)} FROM {reader})"
    )
    wrong = [f"(c{n} IS NULL AND r{n} IS NOT NULL)" for n in range(len(places))]
    bad = " OR ".join(wrong)
    into = ", ".join(map(name, places))
    values = ", ".join(f"c{n}" for n in range(len(places)))
    rows = target.count(f"INSERT INTO {target.into} ({into}) SELECT {values} FROM {_STAGE} WHERE NOT ({bad})")
    aside, first = _aside(target, places, wrong, bad)
    target.cursor.execute(f"DROP TABLE {_STAGE}")
    return Counts(rows, aside, 0, first)


def _aside(target: Target, places: list[str], wrong: list[str], bad: str) -> tuple[int, str]:
    found = target.cursor.execute(f"SELECT * FROM {_STAGE} WHERE {bad} LIMIT 1").fetchone()
    if found is None:
        return 0, ""
    cases = ", ".join(f"CASE WHEN {one} THEN {text(place)} END" for one, place in zip(wrong, places, strict=True))
    said = ", ".join(
        f"CASE WHEN {one} THEN 'Could not convert ' || r{n}::VARCHAR || ' to ' || {text(target.columns[place])} END"
        for n, (one, place) in enumerate(zip(wrong, places, strict=True))
    )
    texts = ", ".join(f"r{n}::VARCHAR" for n in range(len(places)))
    count = target.keep_aside(
        places,
        f"SELECT {texts}, [x FOR x IN [{cases}] IF x IS NOT NULL], [x FOR x IN [{said}] IF x IS NOT NULL]"
        f" FROM {_STAGE} WHERE {bad}",
    )
    return count, "a value that its column cannot hold"
