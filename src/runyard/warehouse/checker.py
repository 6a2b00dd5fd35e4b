"""What user SQL may do: each statement's type against an allow-list, each name against a deny-list.

DuckDB has no inner walls, so these checks stand before it, beside its own (external access off, configuration
locked). What is not known to be harmless is refused. The result of a check depends on the text alone.
"""

from __future__ import annotations

import functools
import re
from typing import Any

import duckdb
import msgspec

from runyard.warehouse.refused import Refused
from runyard.warehouse.words import Word, words

HIDDEN_SCHEMA = "_runyard"

_TYPES = {"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE_INTO", "CREATE", "DROP", "ALTER", "EXPLAIN", "VACUUM", "MULTI"}
_CREATE = {"table", "view", "schema", "macro", "function", "sequence", "type", "index"}
_CREATE_FILLERS = {"or", "replace", "temp", "temporary", "unique", "recursive"}
_ALTER = {"table", "view", "sequence", "on"}
_READS = {"SELECT", "EXPLAIN", "MULTI"}
_MULTI = {"pivot", "unpivot", "pivot_wider", "pivot_longer", "from", "with", "select", "("}
_WRITING_WORDS = {"insert", "update", "delete", "merge", "truncate"}
_WRITING_CALLS = {"nextval", "setval"}

# Found anywhere in the text, whatever the quoting: DuckDB has no escapes inside identifiers, and the
# functions that would take a computed name are refused below.
_RAW = re.compile(r"_runyard|allowed_directories|allowed_paths|allowed_configs", re.IGNORECASE)
_NAMES = re.compile(
    r"duckdb_\w+|pragma_\w+|sqlite_(temp_)?(master|schema)|pg_settings|pg_tables|pg_views|reject_(errors|scans)"
)
_CALLS = re.compile(
    r"query|query_table|json_execute_serialized_sql|json_serialize_plan|current_setting|current_query|getenv|glob"
    r"|read_\w+|sniff_\w+|parquet_\w+|\w*_scan|arrow_\w+|pandas_\w+|python_\w+|from_substrait\w*|get_substrait\w*"
    r"|(force_)?checkpoint|(enable|disable)_(logging|profiling)|write_log|truncate_\w+|which_secret"
    r"|\w*_external_resource\w*|sql_auto_complete|summary|pg_read_\w+|load_\w+|postgres_\w+|sqlite_\w+|mysql_\w+"
)
_PATH = re.compile(r"/|\\|\.(csv|tsv|txt|json|ndjson|jsonl|parquet|gz|zst|db|duckdb)$|^\w+:", re.IGNORECASE)


class Plan(msgspec.Struct, frozen=True):
    """A text that was checked: its statements in order, and what it needs."""

    statements: tuple[Any, ...]
    parameters: tuple[frozenset[str], ...]
    last_reads: bool
    """Whether the last statement only reads, so that it may be asked twice."""
    writes: bool
    tables: frozenset[str] | None
    """Unqualified lower-case names of the tables written; None: cannot be told, lock everything."""


@functools.lru_cache(maxsize=2048)
def check(text: str) -> Plan:
    """The plan of a text; raises `Refused`, or duckdb's ParserException."""
    if found := _RAW.search(text):
        raise Refused(f"The name {found.group()} is not available to SQL here.")
    statements = _statements(text)
    if not statements:
        raise Refused("The text holds no SQL statement.")
    effects = [_statement(statement.type.name, words(statement.query)) for statement in statements]
    writes = [tables for tables in effects if tables != frozenset()]
    known = [tables for tables in writes if tables is not None]
    return Plan(
        statements=tuple(statements),
        parameters=tuple(frozenset(statement.named_parameters) for statement in statements),
        last_reads=effects[-1] == frozenset(),
        writes=bool(writes),
        tables=frozenset().union(*known) if len(known) == len(writes) else None,
    )


@functools.cache
def _parser() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(":memory:", config={"threads": 1})


def _statements(text: str) -> list[Any]:
    try:
        return _parser().cursor().extract_statements(text)
    except ValueError as error:  # a statement type that the Python client has no name for
        raise Refused(f"This kind of statement is not available here ({error}).") from None


def _statement(kind: str, found: list[Word]) -> frozenset[str] | None:
    """The tables that one statement writes (none: it only reads); raises `Refused`."""
    if kind not in _TYPES:
        raise Refused(f"{kind.replace('_', ' ')} statements are not available in SQL tasks.")
    _check_names(found)
    plain = [word.name if word.kind != "string" else "''" for word in found]
    if kind in _READS:
        return _reading(kind, found, plain)
    if kind == "VACUUM":
        return None
    _check_target(kind, plain)
    return _target(kind, plain)


def _check_names(found: list[Word]) -> None:
    for word, after in zip(found, [*found[1:], Word("operator", "")], strict=True):
        if word.kind == "name" and _NAMES.fullmatch(word.name):
            raise Refused(f"The catalog name {word.name} is not available to SQL here.")
        if word.kind == "name" and after.name == "(" and _CALLS.fullmatch(word.name):
            raise Refused(f"The function {word.name} is not available to SQL here.")
    for word, after in zip([Word("operator", ""), *found], found, strict=False):
        if word.name in {"from", "join", "into", "table", "update", "describe", "summarize"} and _is_path(after):
            raise Refused("SQL cannot read files here; load the file into a table with a load task.")


def _is_path(word: Word) -> bool:
    return word.quoted and bool(_PATH.search(word.name))


def _reading(kind: str, found: list[Word], plain: list[str]) -> frozenset[str] | None:
    if kind == "EXPLAIN":
        return _explained(found, plain)
    if kind == "MULTI" and plain[0] not in _MULTI:
        raise Refused("This kind of statement is not available in SQL tasks.")
    if plain[0] == "show" and plain[1:2] not in (["tables"], ["all"], ["schemas"]):
        raise Refused("SHOW is not available here, except for SHOW TABLES.")
    calls = {name for name, after in zip(plain, [*plain[1:], ""], strict=True) if after == "("}
    keywords = {word.name for word in found if word.kind == "name" and not word.quoted}
    return None if keywords & _WRITING_WORDS or calls & _WRITING_CALLS else frozenset()


def _explained(found: list[Word], plain: list[str]) -> frozenset[str] | None:
    """EXPLAIN shows any statement that may run; EXPLAIN ANALYZE runs it, so it writes as that one does."""
    start = 1
    analyze = plain[1:2] == ["analyze"]
    start += analyze
    if plain[start : start + 1] == ["("] and plain[start + 1 : start + 2] != ["select"]:
        analyze = analyze or "analyze" in plain[start : plain.index(")")]
        start = plain.index(")") + 1
    inner = _statements(" ".join(word.text for word in found[start:]))
    if len(inner) != 1 or inner[0].type.name == "EXPLAIN":
        raise Refused("EXPLAIN of this statement is not available here.")
    tables = _statement(inner[0].type.name, found[start:])
    return tables if analyze else frozenset()


def _check_target(kind: str, plain: list[str]) -> None:
    what = next((word for word in plain[1:] if word not in _CREATE_FILLERS), "")
    if (kind == "CREATE" or plain[0] == "drop") and what not in _CREATE:
        raise Refused(f"{plain[0].upper()} {what.upper()} is not available in SQL tasks.")
    if kind == "DROP" and plain[0] != "drop":
        raise Refused(f"{plain[0].upper()} is not available in SQL tasks.")
    if kind == "ALTER" and what not in _ALTER:
        raise Refused(f"{plain[0].upper()} {what.upper()} is not available in SQL tasks.")
    if kind == "CREATE" and what in {"view", "macro", "function"} and _WRITING_WORDS & set(plain):
        raise Refused("A view or macro that writes is not available here.")


def _target(kind: str, plain: list[str]) -> frozenset[str] | None:
    """The one table that a plain INSERT, UPDATE, DELETE, MERGE or CREATE TABLE writes."""
    marks = {"INSERT": ["into"], "UPDATE": ["update"], "DELETE": ["from", "truncate"], "MERGE_INTO": ["into"]}
    verbs = sum(word in _WRITING_WORDS for word in plain)
    if kind == "CREATE" and "table" in plain[:4] and not verbs:
        return _name_after(plain, plain.index("table"), {"table", "if", "not", "exists"})
    places = [place for place, word in enumerate(plain) if word in marks.get(kind, [])]
    if not places or plain[0] == "with" or (kind != "MERGE_INTO" and verbs > 1):
        return None
    return _name_after(plain, places[0], {"into", "update", "from", "truncate", "table", "only"})


def _name_after(plain: list[str], start: int, skip: set[str]) -> frozenset[str] | None:
    """The last part of the dotted name that stands after some fixed words."""
    while start < len(plain) and plain[start] in skip:
        start += 1
    while start + 2 < len(plain) and plain[start + 1] == ".":
        start += 2
    return frozenset({plain[start]}) if start < len(plain) and plain[start] not in {"(", "''"} else None
