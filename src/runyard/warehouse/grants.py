"""Which schemas a statement may reach: those that its request was granted, also through views and macros.

A text alone does not tell: a view that was harmless when the text was first seen may be another one now. So a request
with limits is looked at each time, in the transaction in which it runs, and DuckDB's own binder says which tables a
statement reads. What it cannot say of statements that write is told by their names: every name that could mean a
schema, a view or a macro counts.
"""

from __future__ import annotations

from typing import Any

import duckdb
import msgspec

from runyard.warehouse.dialects.macros import CATALOG
from runyard.warehouse.refused import Refused
from runyard.warehouse.words import Word, with_values, words

_SCHEMAS = "SELECT DISTINCT lower(schema_name) FROM duckdb_schemas() WHERE database_name = current_database()"
_TABLES = (
    "SELECT lower(table_name), lower(schema_name), false FROM duckdb_tables() WHERE NOT internal"
    " UNION ALL SELECT lower(view_name), lower(schema_name), true FROM duckdb_views() WHERE NOT internal"
)
_MACROS = (
    f"SELECT DISTINCT lower(function_name) FROM duckdb_functions() WHERE NOT internal AND database_name <> '{CATALOG}'"
)
_SEQUENCES = {"nextval", "currval", "setval"}
_NOT_GRANTED = {"information_schema", "pg_catalog", "show"}


class Grants(msgspec.Struct, frozen=True):
    """Lower-case names of schemas; None: all."""

    reads: frozenset[str] | None
    writes: frozenset[str] | None

    @property
    def limited(self) -> bool:
        """Whether there is anything to check."""
        return self.reads is not None or self.writes is not None

    def check(
        self, cursor: duckdb.DuckDBPyConnection, text: str, values: dict[str, Any], schema: str, *, writes: bool = False
    ) -> None:
        """Raises `Refused` when the statement could reach a schema that was not granted.

        To be called in the transaction in which the statement runs, with `schema` as the cursor's default one.
        """
        if self.limited:
            _check(cursor, text, values, schema, self, writes=writes)

    def may_read(self, schema: str) -> bool:
        """What may be changed may be read."""
        return self.reads is None or schema in self.reads or (self.writes is not None and schema in self.writes)

    def may_write(self, schema: str) -> bool:
        """Whether tables of this schema may be changed."""
        return self.writes is None or schema in self.writes


_ALL = Grants(None, None)


def granted(reads: list[str] | None, writes: list[str] | None) -> Grants:
    """Grants as a request gives them."""
    return _ALL if reads is None and writes is None else Grants(_lower(reads), _lower(writes))


def _lower(names: list[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(name.lower() for name in names)


class _Names(msgspec.Struct, frozen=True):
    """What the names in a database mean at this moment."""

    database: str
    schemas: frozenset[str]
    tables: dict[str, set[str]]
    """The schemas that have a table or view of a name."""
    views: frozenset[str]
    macros: frozenset[str]


def _check(
    cursor: duckdb.DuckDBPyConnection, text: str, values: dict[str, Any], schema: str, grants: Grants, *, writes: bool
) -> None:
    names, found = _names(cursor), words(text)
    _refuse(grants, schema.lower(), reading=True)
    for path in _paths(found):
        for named in _schemas_of(path, names):
            _refuse(grants, named, reading=True)
    for word, after in zip(found, [*found[1:], Word("operator", "")], strict=True):
        if word.kind == "name" and (word.name in _NOT_GRANTED or (word.name in _SEQUENCES and after.name == "(")):
            raise Refused(f"{word.text} is not available to a request that is limited to some schemas.")
    if writes:
        _check_writing(cursor, found, names, schema.lower(), grants)
    else:
        _check_tables(bound_tables(cursor, text, values), found, names, schema.lower(), grants)


def _refuse(grants: Grants, schema: str, *, reading: bool) -> None:
    if not (grants.may_read(schema) if reading else grants.may_write(schema)):
        doing = "read" if reading else "write"
        raise Refused(f"This request may not {doing} the schema {schema}.")


def _names(cursor: duckdb.DuckDBPyConnection) -> _Names:
    tables: dict[str, set[str]] = {}
    views = set()
    for name, schema, view in cursor.execute(_TABLES).fetchall():
        tables.setdefault(name, set()).add(schema)
        if view:
            views.add(name)
    row = cursor.execute("SELECT lower(current_database())").fetchone()
    return _Names(
        database=row[0] if row else "",
        schemas=frozenset(one[0] for one in cursor.execute(_SCHEMAS).fetchall()),
        tables=tables,
        views=frozenset(views),
        macros=frozenset(one[0] for one in cursor.execute(_MACROS).fetchall()),
    )


def _paths(found: list[Word]) -> list[list[str]]:
    """The names of a text, those that dots join together."""
    paths: list[list[str]] = []
    joined = False
    for word in found:
        if word.kind == "name":
            if joined and paths:
                paths[-1].append(word.name)
            else:
                paths.append([word.name])
            joined = False
        else:
            joined = word.name == "."
    return paths


def _schemas_of(path: list[str], names: _Names) -> list[str]:
    """The schemas that a dotted name could mean: `schema.table`, `database.table`, `database.schema.table`."""
    found = [path[0]] if len(path) > 1 and path[0] in names.schemas else []
    if len(path) > 1 and path[0] == names.database:
        found.append(path[1] if len(path) > 2 and path[1] in names.schemas else "main")
    return found


def bound_tables(cursor: duckdb.DuckDBPyConnection, text: str, values: dict[str, Any]) -> set[str]:
    """The tables that a reading statement reads, as DuckDB binds it: it takes no parameters, so they are filled in.

    Raises `Refused` for a statement that cannot be looked at in this way.
    """
    if values:
        # Nothing with a quote in it: this text must be divided as the one that runs.
        shown = {name: str(value) if isinstance(value, int | float) else "NULL" for name, value in values.items()}
        text = with_values(text, shown)
    try:
        return set(cursor.get_table_names(text.strip().rstrip(";"), qualified=True))
    except (duckdb.Error, ValueError) as error:
        raise Refused(f"The statement cannot be analysed: {str(error).splitlines()[0]}") from None


def _check_tables(tables: set[str], found: list[Word], names: _Names, schema: str, grants: Grants) -> None:
    written = {word.name for word in found if word.kind == "name"}
    expands = bool(written & (names.views | names.macros))
    for table in tables:
        path = [word.name for word in words(table) if word.kind == "name"]
        if named := _schemas_of(path, names):
            for one in named:
                _refuse(grants, one, reading=True)
            continue
        owners = names.tables.get(path[-1], set())
        if not expands and schema in owners:
            owners = {schema}
        for owner in sorted(owners):  # inside a view a bare name means its own schema's table: any that could be
            _refuse(grants, owner, reading=True)


def _check_writing(
    cursor: duckdb.DuckDBPyConnection, found: list[Word], names: _Names, schema: str, grants: Grants
) -> None:
    written = {word.name for word in found if word.kind == "name"}
    for view in sorted(written & names.views):
        for owner in sorted(names.tables[view]):
            if grants.may_read(owner):
                path = f'"{owner}"."{view}"'
                _check_tables(bound_tables(cursor, f"FROM {path}", {}), words(path), names, schema, grants)
    if called := sorted(written & names.macros):
        raise Refused(f"A statement that writes and is limited to some schemas cannot use the macro {called[0]}.")
    plain = [word.name for word in found]
    if grants.writes is not None and "schema" in plain[:4]:
        raise Refused("A request that is limited to some schemas cannot make or drop one.")
    target = _target(found, names)
    for named in _every(found, names) | {schema} if target is None else target or {schema}:
        _refuse(grants, named, reading=False)


def _target(found: list[Word], names: _Names) -> set[str] | None:
    """The schemas that the one table that is written could be in, empty: the default one; None: it cannot be told."""
    plain = [word.name if word.kind == "name" else "" for word in found]
    starts: dict[str, tuple[str, ...]] = {
        "insert": ("into",),
        "delete": ("from",),
        "update": ("update",),
        "merge": ("into",),
    }
    starts["create"] = ("table", "view")
    marks = starts.get(plain[0], ()) if plain else ()
    place = next((place for place, word in enumerate(plain[:5], 1) if word and word in marks), None)
    if place is None:
        return None
    while plain[place : place + 1] and plain[place] in {"if", "not", "exists"}:
        place += 1
    path = _paths(found[place : place + 5])
    return set(_schemas_of(path[0], names)) if path else None


def _every(found: list[Word], names: _Names) -> set[str]:
    """Every schema that the text could name."""
    named = {word.name for word in found if word.kind == "name"} & names.schemas
    return named.union(*(_schemas_of(path, names) for path in _paths(found)))
