"""Reading and writing rows as Arrow tables: csv, json and parquet at any location that an attempt may use."""

from __future__ import annotations

import fnmatch
import importlib
import json
import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from runyard.runtime import context
from runyard.runtime.locations import Entry, LocationError, Locations

from . import bookmark

Json = dict[str, Any]
FORMATS = ("csv", "json", "parquet", "glueparquet")


def places() -> Locations:
    """Where files may lie, as the server told."""
    return Locations(context.world())


def selected(paths: Iterable[str], options: Json, name: str) -> list[Entry]:
    """The files below these paths that the bookmark of this transformation_ctx has not seen yet.

    By the time of their last change: a file that was written again is read again.
    """
    where, recurse = places(), bool(options.get("recurse", False))
    found = [one for path in paths for one in where.files(path, recurse=recurse)]
    excluded = _patterns(options.get("exclusions"))
    found = [one for one in found if not any(fnmatch.fnmatch(one.location, each) for each in excluded)]
    before, until = bookmark.bounds(name)
    chosen = [one for one in found if _is_new(one, before) and (until is None or not _is_new(one, until))]
    bookmark.processed(name, _seen(before, chosen))
    return chosen


def _patterns(given: Any) -> list[str]:
    patterns = json.loads(given) if isinstance(given, str) and given else given or []
    return [str(one).replace("**", "*") for one in patterns]


def _is_new(one: Entry, seen: Json) -> bool:
    newest = seen.get("modified", -1)
    return one.modified > newest or (one.modified == newest and one.location not in seen.get("files", []))


def _seen(before: Json, chosen: list[Entry]) -> Json:
    """The newest change that was read, and the files that have it: others of that moment may still come."""
    newest = max([one.modified for one in chosen] + [before.get("modified", -1)])
    files = [one.location for one in chosen if one.modified == newest]
    if before.get("modified") == newest:
        files += before.get("files", [])
    return {"modified": newest, "files": sorted(set(files))} if newest >= 0 else {}


def read(entries: list[Entry], format_: str, options: Json) -> Any:
    """All rows of these files as one pyarrow.Table; columns that a file lacks are null."""
    pa = importlib.import_module("pyarrow")
    where = places()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for number, one in enumerate(entries):
            path = where.fetch(one.location, Path(folder) / str(number))
            try:
                found.append(_read_one(path, format_, options))
            except (pa.ArrowInvalid, ValueError) as error:
                raise LocationError(f"{one.location} is no {format_} that can be read: {error}") from None
    return pa.concat_tables(found, promote_options="permissive") if found else pa.table({})


def _read_one(path: Path, format_: str, options: Json) -> Any:
    if format_ in ("parquet", "glueparquet"):
        return importlib.import_module("pyarrow.parquet").read_table(path)
    if format_ == "json":
        return _read_json(path, options)
    if format_ == "csv":
        return _read_csv(path, options)
    raise LocationError(f"The format {format_!r} is not known; it is one of {', '.join(FORMATS)}.")


def _read_csv(path: Path, options: Json) -> Any:
    """Every column is text, as Glue reads it; without a header they are col0, col1 ..."""
    csv = importlib.import_module("pyarrow.csv")
    pa = importlib.import_module("pyarrow")
    header = _flag(options.get("withHeader", False))
    quote = options.get("quoteChar", '"')
    parse = csv.ParseOptions(
        delimiter=options.get("separator", ","),
        quote_char=False if quote in (-1, "-1") else quote,
        escape_char=options.get("escaper") or False,
        newlines_in_values=_flag(options.get("multiLine", False)),
    )
    if path.stat().st_size == 0:
        return pa.table({})
    with csv.open_csv(path, csv.ReadOptions(autogenerate_column_names=not header), parse) as reader:
        names = reader.schema.names
    convert = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False)
    table = csv.read_csv(path, csv.ReadOptions(autogenerate_column_names=not header), parse, convert)
    return table if header else table.rename_columns([f"col{place}" for place in range(len(names))])


def _read_json(path: Path, options: Json) -> Any:
    """One object a line, an array of objects, or objects one after the other."""
    pa = importlib.import_module("pyarrow")
    text = path.read_text(encoding="utf-8")
    decoder, rows, place = json.JSONDecoder(), [], 0
    while (place := _skip(text, place)) < len(text):
        value, place = decoder.raw_decode(text, place)
        rows += value if isinstance(value, list) else [value]
    return pa.Table.from_pylist(rows)


def _skip(text: str, place: int) -> int:
    while place < len(text) and text[place] in " \t\r\n,":
        place += 1
    return place


def _flag(value: Any) -> bool:
    return value if isinstance(value, bool) else str(value).lower() == "true"


def write(table: Any, location: str, format_: str, options: Json, keys: list[str]) -> list[str]:
    """Writes files below a location, by the values of the partition keys where there are some; gives their names."""
    if format_ not in FORMATS:
        raise LocationError(f"The format {format_!r} is not known; it is one of {', '.join(FORMATS)}.")
    where, written = places(), []
    ending = {"glueparquet": "parquet"}.get(format_, format_)
    name = f"run-{time.time_ns() // 1_000_000}-{context.task_run_id() or os.getpid()}-part-r-00000.{ending}"
    with tempfile.TemporaryDirectory() as folder:
        for number, (below, part) in enumerate(_partitions(table, keys)):
            draft = Path(folder, str(number))
            _write_one(part, draft, format_, options)
            target = "/".join([location.rstrip("/"), *below, name])
            where.write(target, draft)
            written.append(target)
    return written


def _partitions(table: Any, keys: list[str]) -> Iterable[tuple[list[str], Any]]:
    if not keys:
        yield [], table
        return
    compute = importlib.import_module("pyarrow.compute")
    for row in table.group_by(keys).aggregate([]).to_pylist():
        part = table
        for key in keys:
            same = compute.is_null(part[key]) if row[key] is None else compute.equal(part[key], row[key])
            part = part.filter(same)
        yield (
            [f"{key}={'__HIVE_DEFAULT_PARTITION__' if row[key] is None else row[key]}" for key in keys],
            part.drop(keys),
        )


def _write_one(table: Any, path: Path, format_: str, options: Json) -> None:
    if format_ in ("parquet", "glueparquet"):
        importlib.import_module("pyarrow.parquet").write_table(table, path)
    elif format_ == "json":
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, default=str) + "\n" for row in table.to_pylist())
    else:
        csv = importlib.import_module("pyarrow.csv")
        written = csv.WriteOptions(
            include_header=_flag(options.get("writeHeader", True)),
            delimiter=options.get("separator", ","),
            quoting_style="needed",
        )
        csv.write_csv(table, path, written)
