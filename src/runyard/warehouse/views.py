"""Materialized views: each keeps a target table in step with the appends to its source, in the same transaction.

A view's query runs over the rows that the transaction inserted into the source, and only over them: DuckDB gives
rows that are not committed yet the row ids from 2^55 on. What it gives is appended to the target, so an
aggregating view leaves partial states there, which reads merge. A target may be the source of another view.
"""

from __future__ import annotations

import threading
import time

import duckdb
import msgspec

from runyard.core.actions import SqlDialect
from runyard.warehouse.checker import HIDDEN_SCHEMA
from runyard.warehouse.lineage import tables_of
from runyard.warehouse.planned import planned
from runyard.warehouse.refused import Refused
from runyard.warehouse.tables import FIRST_LOCAL_ROW, columns, name, path
from runyard.warehouse.touched import Name, Touched, named

_LIST = f"""
SELECT name, schema, source, statement, target, dialect, query, created_at FROM {HIDDEN_SCHEMA}.views ORDER BY name
"""
_THERE = "SELECT lower(schema_name), lower(table_name) FROM duckdb_tables() WHERE database_name = current_database()"
_ADD = f"INSERT INTO {HIDDEN_SCHEMA}.views VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_REMOVE = f"DELETE FROM {HIDDEN_SCHEMA}.views WHERE name = ?"


class View(msgspec.Struct, frozen=True, kw_only=True):
    """One view; source and target lie in its schema. `created_at` is in milliseconds."""

    name: str
    schema: str
    source: str
    statement: str
    target: str
    dialect: SqlDialect = "duckdb"
    query: str = ""
    """The statement in DuckDB's SQL."""
    created_at: int = 0

    @property
    def reads(self) -> Name:
        """The table that it follows."""
        return named(self.schema, self.source)

    @property
    def writes(self) -> Name:
        """The table that it fills."""
        return named(self.schema, self.target)

    def select(self, rows: str) -> str:
        """The view's query over some rows of its source: `rows` is a query that reads the source by its full name."""
        return f"WITH {name(self.source)} AS ({rows}) SELECT * FROM (\n{self.query}\n)"

    def everything(self) -> str:
        """The rows of the whole source."""
        return f"SELECT * FROM {path(self.schema, self.source)}"

    def block(self) -> str:
        """The rows that the open transaction inserted into the source."""
        return f"{self.everything()} WHERE rowid >= {FIRST_LOCAL_ROW}"


class Views:
    """The views of one database, kept in its own tables and, as committed last, in memory."""

    def __init__(self) -> None:
        self._views: tuple[View, ...] = ()
        self._lock = threading.Lock()

    def open(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Reads what the database holds, which others may be changing: the last one to look sees it all."""
        with self._lock:
            self._views = tuple(_listed(cursor))

    def all(self) -> tuple[View, ...]:
        """All views, sources before what is made from them."""
        return _in_order(self._views)

    # --- following ---

    def follow(self, cursor: duckdb.DuckDBPyConnection, touched: Touched) -> None:
        """Inside a writer's transaction: brings the targets of the touched tables up to date, and notes them."""
        views = self.all()
        if touched.reshaped and views:
            _check_there(cursor, views)
        for target in dict.fromkeys(view.writes for view in views):
            feeders = [view for view in views if view.writes == target]
            replaced = [touched.replaced[view.reads] for view in feeders if view.reads in touched.replaced]
            if replaced:
                _make_anew(cursor, feeders, replaced)
                touched.replaced[target] = replaced[0] if len(replaced) == 1 else ""
                continue
            for view in feeders:
                if view.reads in touched.appended or (_suspected(touched, view) and _grew(cursor, view)):
                    insert(cursor, view, view.block())
                    touched.appended.add(target)

    # --- changing ---

    def create(self, cursor: duckdb.DuckDBPyConnection, view: View) -> bool:
        """Keeps a view, and makes its target from the query when absent; False when it is there just so already.

        Raises `Refused` for a query that cannot be followed, a circle, and another view of the same name.
        """
        known = {one.name.lower(): one for one in self._views}.get(view.name.lower())
        if known is not None:
            if msgspec.structs.replace(known, query="", created_at=0) == view:
                return False
            raise Refused(f"There is a view {view.name} already, which is another one; drop it first.")
        view = _checked(view)
        if view.reads in _made_from(self._views, view.writes) or view.reads == view.writes:
            raise Refused(f"The view {view.name} would feed itself: {view.source} is made from {view.target}.")
        cursor.execute("BEGIN TRANSACTION")
        try:
            _bind(cursor, view)
            row = msgspec.structs.replace(view, created_at=time.time_ns() // 1_000_000)
            cursor.execute(_ADD, list(msgspec.structs.astuple(row)))
            cursor.execute("COMMIT")
        except BaseException:
            cursor.rollback()
            raise
        self.open(cursor)
        return True

    def drop(self, cursor: duckdb.DuckDBPyConnection, wanted: str) -> bool:
        """Forgets a view; its target stays. False when there is none of this name."""
        view = self.find(wanted)
        if view is None:
            return False
        cursor.execute(_REMOVE, [view.name])
        self.open(cursor)
        return True

    def forget(self, cursor: duckdb.DuckDBPyConnection, views: list[View]) -> None:
        """Removes views inside a transaction of the caller's, who calls `open` after its commit."""
        for view in views:
            cursor.execute(_REMOVE, [view.name])

    def find(self, wanted: str) -> View | None:
        """The view of this name."""
        return next((view for view in self._views if view.name.lower() == wanted.lower()), None)

    def touching(self, table: Name) -> list[View]:
        """The views that read or fill a table, or read it beside their source."""
        return [view for view in self._views if table in {view.reads, view.writes} | _beside(view)]


def insert(cursor: duckdb.DuckDBPyConnection, view: View, rows: str, where: str = "") -> int:
    """Appends what a view's query gives for some rows of its source to its target; the number of rows."""
    kept = f" WHERE {where}" if where else ""
    target = path(view.schema, view.target)
    row = cursor.execute(f"INSERT INTO {target} BY NAME SELECT * FROM (\n{view.select(rows)}\n){kept}").fetchone()
    return int(row[0]) if row else 0


def _make_anew(cursor: duckdb.DuckDBPyConnection, feeders: list[View], replaced: list[str]) -> None:
    """A source was replaced, whole or by a condition: so is the target, from all its sources."""
    where = replaced[0] if len(set(replaced)) == 1 else ""
    kept = f" WHERE {where}" if where else ""
    try:
        cursor.execute(f"DELETE FROM {path(feeders[0].schema, feeders[0].target)}{kept}")
    except duckdb.BinderException as error:
        said = f"The view {feeders[0].name} follows this table, and the condition means nothing for its target"
        raise Refused(f"{said} {feeders[0].target}: {str(error).splitlines()[0]}") from None
    for view in feeders:
        insert(cursor, view, view.everything(), where)


def _suspected(touched: Touched, view: View) -> bool:
    return touched.suspects is None or view.reads[1] in touched.suspects


def _grew(cursor: duckdb.DuckDBPyConnection, view: View) -> bool:
    return cursor.execute(f"SELECT 1 FROM ({view.block()}) LIMIT 1").fetchone() is not None


def _check_there(cursor: duckdb.DuckDBPyConnection, views: tuple[View, ...]) -> None:
    """After SQL that may have dropped anything: what views need is still there, or all is undone."""
    there = set(cursor.execute(_THERE).fetchall())
    for view in views:
        for table in (view.source, view.target):
            if named(view.schema, table) not in there:
                raise Refused(f"The table {table} belongs to the view {view.name}; drop the view first.")


def _checked(view: View) -> View:
    """The view with its query; raises `Refused`."""
    plan = planned(view.statement, view.dialect)
    if plan.writes or len(plan.statements) != 1 or plan.parameters[0]:
        raise Refused(f"The view {view.name} needs one SELECT statement without parameters.")
    view = msgspec.structs.replace(view, query=plan.statements[0].query.strip().rstrip(";"))
    found = tables_of(f"SELECT * FROM (\n{view.query}\n)", "")
    if (view.schema.lower(), view.source.lower()) in found.read:
        raise Refused(f"Name the source {view.source} of a view without its schema.")
    if ("", view.source.lower()) not in found.read:
        raise Refused(f"The query of the view {view.name} does not read its source {view.source}.")
    return view


def _bind(cursor: duckdb.DuckDBPyConnection, view: View) -> None:
    """Proves that the query runs and fits the target; makes the target when absent."""
    if not columns(cursor, view.schema, view.source):
        raise Refused(f"There is no table {view.schema}.{view.source}.")
    try:
        cursor.execute(f"SELECT rowid FROM {path(view.schema, view.source)} LIMIT 0")
    except duckdb.BinderException:
        raise Refused(f"{view.source} is no table: a view follows a table.") from None
    if "rowid" in map(str.lower, columns(cursor, view.schema, view.source)):
        raise Refused(f"The table {view.source} has a column rowid, so it cannot be followed.")
    if not columns(cursor, view.schema, view.target):
        query = view.select(view.everything())
        cursor.execute(f"CREATE TABLE {path(view.schema, view.target)} AS SELECT * FROM (\n{query}\n) LIMIT 0")
    insert(cursor, view, f"{view.everything()} LIMIT 0", "false")


def _beside(view: View) -> frozenset[Name]:
    return tables_of(f"SELECT * FROM (\n{view.query}\n)", view.schema.lower()).read


def _listed(cursor: duckdb.DuckDBPyConnection) -> list[View]:
    return [View(**dict(zip(View.__struct_fields__, row, strict=True))) for row in cursor.execute(_LIST).fetchall()]


def _made_from(views: tuple[View, ...], table: Name) -> set[Name]:
    """All tables that are made from this one, directly or not."""
    found, left = set(), [table]
    while left:
        source = left.pop()
        for view in views:
            if view.reads == source and view.writes not in found:
                found.add(view.writes)
                left.append(view.writes)
    return found


def _in_order(views: tuple[View, ...]) -> tuple[View, ...]:
    """Those that fill a table stand before those that read it; there are no circles."""
    depth: dict[Name, int] = {}

    def deep(table: Name) -> int:
        if table not in depth:
            depth[table] = max((deep(view.reads) + 1 for view in views if view.writes == table), default=0)
        return depth[table]

    return tuple(sorted(views, key=lambda view: (deep(view.writes), view.name)))
