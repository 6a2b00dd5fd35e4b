"""What user SQL may do: each statement's type and each of DuckDB's functions against an allow-list.

DuckDB has no inner walls, so these checks stand before it, beside its own (external access off, configuration
locked). What is not known to be harmless is refused: a function that DuckDB has and `functions.txt` does not allow,
whether it was reviewed or came with a newer DuckDB. The result of a check depends on the text alone; which schemas a
request may reach is `grants`' business.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from runyard.warehouse.dialects.macros import CATALOG
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
# Of the views in DuckDB's own catalog these tell no more than the names in the workspace.
_VIEWS = {
    "character_sets", "check_constraints", "columns", "constraint_column_usage", "constraint_table_usage",
    "key_column_usage", "referential_constraints", "schemata", "table_constraints", "tables", "views",
}  # fmt: skip
# Families that extensions bring: refused by name before DuckDB says that the extension is not loaded.
_OUTSIDE = re.compile(
    r"read_\w+|\w*_scan|\w*_scanner|pragma_\w+|duckdb_\w+|load_\w+|postgres_\w+|sqlite_\w+|mysql_\w+|http_\w+|st_read\w*"
    r"|st_drivers|getenv|from_substrait\w*|get_substrait\w*|iceberg_\w+|delta_\w+|excel_\w+|ducklake_\w+|sql_auto_complete"
)
_BEFORE_TARGET = {
    "insert", "or", "replace", "ignore", "into", "create", "temp", "temporary", "table", "if", "not", "exists",
}  # fmt: skip
_DEFINES = {"into", "macro", "function", "table", "view", "exists", "replace", "update", "schema", "type", "sequence"}
_PATH = re.compile(r"/|\\|\.(csv|tsv|txt|json|ndjson|jsonl|parquet|gz|zst|db|duckdb)$|^\w+:", re.IGNORECASE)


class Plan(msgspec.Struct, frozen=True):
    """A text that was checked: its statements in order, and what it needs."""

    statements: tuple[Any, ...]
    parameters: tuple[frozenset[str], ...]
    last_reads: bool
    """Whether the last statement only reads, so that it may be asked twice."""
    writes: bool
    statement_writes: tuple[bool, ...]
    """Which of the statements write."""
    macros: bool
    """Whether it may call macros of ours."""
    tables: frozenset[str] | None
    """Unqualified lower-case names of the tables written; None: cannot be told, lock everything."""


@functools.lru_cache(maxsize=2048)
def check(text: str) -> Plan:
    """The plan of a text; raises `Refused`, or duckdb's ParserException."""
    if hidden := _RAW.search(text):
        raise Refused(f"The name {hidden.group()} is not available to SQL here.")
    found = statements(text)
    if not found:
        raise Refused("The text holds no SQL statement.")
    if "pivot" in text.lower():
        _check_names(words(text))  # DuckDB 1.5 makes several statements of a PIVOT, without all of its text
    effects = [_statement(statement.type.name, words(statement.query)) for statement in found]
    writes = [tables for tables in effects if tables != frozenset()]
    known = [tables for tables in writes if tables is not None]
    return Plan(
        statements=tuple(found),
        parameters=tuple(frozenset(statement.named_parameters) for statement in found),
        last_reads=effects[-1] == frozenset(),
        writes=bool(writes),
        macros=CATALOG in text.lower(),
        statement_writes=tuple(tables != frozenset() for tables in effects),
        tables=frozenset().union(*known) if len(known) == len(writes) else None,
    )


@functools.cache
def parser() -> duckdb.DuckDBPyConnection:
    """A database without tables: it knows DuckDB's grammar and functions."""
    return duckdb.connect(":memory:", config={"threads": 1})


def statements(text: str) -> list[Any]:
    """A text as DuckDB divides it; raises `Refused`, or duckdb's ParserException."""
    try:
        return parser().cursor().extract_statements(text)
    except ValueError as error:  # a statement type that the Python client has no name for
        raise Refused(f"This kind of statement is not available here ({error}).") from None


def _statement(kind: str, found: list[Word]) -> frozenset[str] | None:
    """The tables that one statement writes (none: it only reads); raises `Refused`."""
    if kind not in _TYPES:
        raise Refused(f"{kind.replace('_', ' ')} statements are not available in SQL tasks.")
    if not found:
        raise Refused("This statement cannot be analysed with this version of DuckDB.")
    _check_names(found)
    plain = [word.name if word.kind != "string" else "''" for word in found]
    if kind in _READS:
        return _reading(kind, found, plain)
    if kind == "VACUUM":
        return None
    _check_target(kind, plain)
    return _target(kind, plain)


def allowed_functions() -> frozenset[str]:
    """Names of the functions that user SQL may call; families (`collate_*`) are not listed."""
    return _functions()[0]


def reviewed_functions() -> frozenset[str]:
    """Names of the functions that were looked at: allowed, or refused for a reason."""
    allowed, refused = _functions()
    return allowed | refused


@functools.cache
def _functions() -> tuple[frozenset[str], frozenset[str]]:
    lines = Path(__file__).with_name("functions.txt").read_text(encoding="ascii").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#"))
    allowed, _, refused = text.partition("!")
    return frozenset(allowed.split()), frozenset(refused.split())


def refused_functions(catalog: frozenset[str]) -> frozenset[str]:
    """Those of DuckDB's functions that user SQL may not call: all that are not known to be harmless."""
    return frozenset(
        name for name in catalog - allowed_functions() if not name.startswith(("collate_", "icu_collate_"))
    )


# Pragmas are not called but stated, and their statement type is refused.
_CALLABLE = "SELECT DISTINCT lower(function_name) FROM duckdb_functions() WHERE internal AND function_type <> 'pragma'"


@functools.cache
def built_in() -> frozenset[str]:
    """Names of DuckDB's own functions, operators and macros."""
    return frozenset(row[0] for row in parser().cursor().execute(_CALLABLE).fetchall())


@functools.cache
def _catalog() -> tuple[frozenset[str], frozenset[str]]:
    """The functions and the views of this DuckDB that are refused."""
    cursor = parser().cursor()
    views = cursor.execute("SELECT DISTINCT lower(view_name) FROM duckdb_views() WHERE internal").fetchall()
    return refused_functions(built_in()), frozenset(row[0] for row in views) - _VIEWS


def _check_names(found: list[Word]) -> None:
    functions, views = _catalog()
    for place, (word, after) in enumerate(zip(found, [*found[1:], Word("operator", "")], strict=True)):
        if word.kind != "name":
            continue
        if word.name in views or word.name.startswith(("duckdb_", "pragma_")):
            raise Refused(f"The catalog name {word.name} is not available to SQL here.")
        refused = after.name == "(" and (word.name in functions or _OUTSIDE.fullmatch(word.name))
        if refused and not _is_target(found, place):
            raise Refused(f"The function {word.name} is not available to SQL here.")
        if word.name == CATALOG:
            _check_macro(found, place)
    for word, after in zip([Word("operator", ""), *found], found, strict=False):
        if word.name in {"from", "join", "into", "table", "update", "describe", "summarize"} and _is_path(after):
            raise Refused("SQL cannot read files here; load the file into a table with a load task.")


def _is_target(found: list[Word], place: int) -> bool:
    """Whether this is the name of a table whose columns follow: INSERT INTO stats (a), CREATE TABLE stats (a ...)."""
    while place > 1 and found[place - 1].name == "." and found[place - 2].kind == "name":
        place -= 2
    before = [word.name for word in found[:place]]
    return before[-1:] in (["into"], ["table"], ["exists"]) and set(before) <= _BEFORE_TARGET


def _check_macro(found: list[Word], place: int) -> None:
    """Our own macros are called, and nothing else happens in their catalog."""
    end = Word("operator", "")
    dot, _, paren = (found[place + 1 : place + 4] + [end] * 3)[:3]
    before = found[place - 1].name if place else ""
    if dot.name != "." or paren.name != "(" or before in _DEFINES or before == ".":
        raise Refused(f"The name {CATALOG} is not available to SQL here.")


def _is_path(word: Word) -> bool:
    return word.quoted and bool(_PATH.search(word.name))


def _reading(kind: str, found: list[Word], plain: list[str]) -> frozenset[str] | None:
    if kind == "EXPLAIN":
        return _explained(found, plain)
    if kind == "MULTI" and plain[0] not in _MULTI:
        raise Refused("This kind of statement is not available in SQL tasks.")
    if "show" in plain:
        _check_show(plain)
    calls = {name for name, after in zip(plain, [*plain[1:], ""], strict=True) if after == "("}
    keywords = {word.name for word in found if word.kind == "name" and not word.quoted}
    return None if keywords & _WRITING_WORDS or calls & _WRITING_CALLS else frozenset()


def _check_show(plain: list[str]) -> None:
    """SHOW stands at the start, or in parentheses in the place of a table."""
    for before, word, after in zip(["(", *plain], plain, [*plain[1:], ""], strict=False):
        if before == "(" and word == "show" and after not in {"tables", ",", ")", ".", "="}:
            raise Refused("SHOW is not available here, except for SHOW TABLES.")


def _explained(found: list[Word], plain: list[str]) -> frozenset[str] | None:
    """EXPLAIN shows any statement that may run; EXPLAIN ANALYZE runs it, so it writes as that one does."""
    start = 1
    analyze = plain[1:2] == ["analyze"]
    start += analyze
    if plain[start : start + 1] == ["("] and plain[start + 1 : start + 2] != ["select"]:
        analyze = analyze or "analyze" in plain[start : plain.index(")")]
        start = plain.index(")") + 1
    inner = statements(" ".join(word.text for word in found[start:]))
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
    if kind == "CREATE" and what in {"macro", "function"}:
        _check_macro_name(plain, what)
    if kind == "CREATE" and what in {"view", "macro", "function"} and _WRITING_WORDS & set(plain):
        raise Refused("A view or macro that writes is not available here.")


def _check_macro_name(plain: list[str], what: str) -> None:
    """A macro stands before DuckDB's function of its name, in our own statements, too: those that hold the grants."""
    if taken := (_name_after(plain, plain.index(what), {what, "if", "not", "exists"}) or frozenset()) & built_in():
        raise Refused(f"{min(taken)} is one of DuckDB's functions; a macro needs a name of its own.")


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
