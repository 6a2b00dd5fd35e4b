"""What several systems say in one way and DuckDB in another: catalogs, storage, lateral views, overwriting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlglot import exp

from runyard.warehouse.dialects import partitioned
from runyard.warehouse.dialects.functions import FUNCTIONS
from runyard.warehouse.dialects.places import Unsayable
from runyard.warehouse.dialects.writer import Spelled, java_format

# How a table is stored elsewhere: DuckDB stores it in its own way.
_STORAGE = (
    exp.FileFormatProperty,
    exp.SchemaCommentProperty,
    exp.ClusteredByProperty,
    exp.ClusterProperty,
    exp.Cluster,
)
_KEPT = (exp.TemporaryProperty, exp.LikeProperty)
_REFUSED: dict[type, str] = {
    exp.Clone: "CLONE has no counterpart here; use CREATE TABLE ... AS SELECT",
    exp.Version: "time travel has no counterpart here: a table has its present rows only",
    exp.Use: "USE is not available here; name the schema on the request, or before the table",
    exp.Copy: "COPY is not available here; load files with a load task",
    exp.Lock: "locking reads have no counterpart here",
    exp.GeneratedAsIdentityColumnConstraint: "an identity column (GENERATED AS IDENTITY) has no counterpart here; "
    "use a sequence as the default",
    exp.Stack: "STACK has no counterpart here; use VALUES",
}


def rewriter(names: str) -> Callable[[exp.Expression], exp.Expression]:
    """A rewrite with the functions of some tables: their names, divided by spaces, later ones first."""
    table = {name: says for one in names.split() for name, says in FUNCTIONS[one].items()}

    def rewrite(tree: exp.Expression) -> exp.Expression:
        _drop_catalogs(tree)
        for node in list(tree.walk()):
            if (sentence := _REFUSED.get(type(node))) is not None:
                raise Unsayable(sentence, node)
            if (change := _CHANGES.get(type(node))) is not None:
                change(node)
            elif type(node) is exp.Anonymous:
                _function(node, table)
        written = partitioned.insert(tree) if partitioned.is_selective(tree) else tree
        if (left := written.find(exp.Partition)) is not None:
            raise Unsayable("PARTITION (...) has no counterpart here; say the rows in WHERE", left)
        return written

    return rewrite


def _drop_catalogs(tree: exp.Expression) -> None:
    """`catalog.schema.table`: a workspace is one catalog, whatever it is called elsewhere."""
    known = set()
    for table in tree.find_all(exp.Table):
        if isinstance(table.this, exp.Dot):  # more than three parts: the last two
            parts = [*table.this.flatten()]
            table.set("db", parts[-2])
            table.set("this", parts[-1])
        if table.catalog:
            known.add(table.catalog.lower())
            table.set("catalog", None)
    for column in tree.find_all(exp.Column):
        if column.catalog.lower() in known:
            column.set("catalog", None)


_JAVA: dict[str, Any] = {"format_datetime": exp.TimeToStr, "parse_datetime": exp.StrToTime}


def _function(node: Any, table: dict[str, dict[int, str]]) -> None:
    if isinstance(node.parent, exp.Dot):  # of a schema: a macro that somebody made
        return
    if node.name.lower() in _JAVA and len(node.expressions) == 2 and node.expressions[1].is_string:
        value, pattern = node.expressions
        node.replace(_JAVA[node.name.lower()](this=value.copy(), format=exp.Literal.string(java_format(pattern.name))))
        return
    forms = table.get(node.name.lower())
    if forms is None:
        return
    arguments = list(node.expressions)
    says = forms.get(len(arguments)) or forms.get(-1)
    if says is None:
        raise Unsayable(f"the function {node.name} cannot be called with {len(arguments)} arguments here", node)
    spelled = Spelled(this=says, expressions=arguments)
    spelled._meta = node._meta
    node.replace(spelled)


def _create(node: Any) -> None:
    if str(node.args.get("kind")).upper() == "DATABASE":
        node.set("kind", "SCHEMA")
    partitioned.take_key(node)
    properties = node.args.get("properties")
    if properties is None:
        return
    kept = []
    for one in properties.expressions:
        if isinstance(one, _KEPT):
            kept.append(one)
        elif not isinstance(one, _STORAGE) and (type(one) is not exp.Property or "location" in one.name.lower()):
            raise Unsayable(f"{type(one).__name__.removesuffix('Property').upper()} has no counterpart here", node.this)
    node.set("properties", exp.Properties(expressions=kept) if kept else None)


def _constraint(node: Any) -> None:
    if isinstance(node.args.get("kind"), exp.CommentColumnConstraint):
        node.pop()


def _insert(node: Any) -> None:
    """INSERT OVERWRITE: all rows of the table or of a partition go, in the same transaction."""
    if isinstance(node.this, exp.Tuple):  # of a MERGE: its columns are the target's, whatever they are qualified with
        for one in node.this.expressions:
            if isinstance(one, exp.Column):
                one.set("table", None)
    if partitioned.is_selective(node) or not node.args.get("overwrite"):
        return
    target = node.this.this if isinstance(node.this, exp.Schema) else node.this
    read = list(node.expression.find_all(exp.Table)) if node.expression is not None else []
    if any((one.name, one.db) == (target.name, target.db) for one in read):
        raise Unsayable("INSERT OVERWRITE cannot read the table that it empties", target)
    node.set("overwrite", None)
    node.meta["before"] = [exp.Delete(this=target.copy())]


def _update(node: Any) -> None:
    """UPDATE SET t.name = ..., also in a MERGE: what is set is the target's anyhow."""
    for one in node.expressions:
        if isinstance(one, exp.EQ) and isinstance(one.this, exp.Column):
            one.this.set("table", None)
            one.this.set("db", None)


def _substring_index(node: Any) -> None:
    """The text before the n-th delimiter; after the n-th from the end where n is below 0."""
    parts, count = "string_split({0}, {1})", "CAST({2} AS BIGINT)"
    first, last = f"list_slice({parts}, 1, {count})", f"list_slice({parts}, {count}, -1)"
    says = f"array_to_string(CASE WHEN {count} > 0 THEN {first} WHEN {count} = 0 THEN [] ELSE {last} END, {{1}})"
    arguments = [node.this, node.args["delimiter"], node.args["count"]]
    node.replace(Spelled(this=says, expressions=[one.copy() for one in arguments]))


def _alter(node: Any) -> None:
    """ALTER TABLE t ADD COLUMNS (a INT)"""
    actions = node.args.get("actions") or []
    if len(actions) == 1 and isinstance(actions[0], exp.Schema):
        if len(actions[0].expressions) != 1:
            raise Unsayable("ADD COLUMNS of several columns has no counterpart here; add one a statement", node.this)
        node.set("actions", [actions[0].expressions[0]])


def _hint(node: Any) -> None:
    node.pop()


def _lateral(node: Any) -> None:
    """LATERAL VIEW [OUTER] explode(x): a map gives two columns, and OUTER keeps rows without elements."""
    call, alias, select = node.this, node.args.get("alias"), node.parent
    if not node.args.get("view") or not isinstance(call, exp.Explode | exp.Posexplode) or alias is None:
        return
    columns = list(alias.columns)
    numbered = isinstance(call, exp.Posexplode)
    if not node.args.get("outer") and len(columns) < 2 + numbered and not numbered:
        return
    values = _elements(call.this, columns[numbered:])
    if numbered and columns:
        values.insert(0, exp.alias_(exp.paren(_subscripts(call.this)), columns[0].name, quoted=True))
    _join_rows(
        node, select, values, alias.this, outer=bool(node.args.get("outer") or isinstance(call, exp.ExplodeOuter))
    )


def _subscripts(array: Any) -> Any:
    return exp.Sub(
        this=exp.Anonymous(this="generate_subscripts", expressions=[array.copy(), exp.Literal.number(1)]),
        expression=exp.Literal.number(1),
    )


def _elements(value: Any, columns: list[Any]) -> list[Any]:
    if len(columns) < 2:
        name = columns[0].name if columns else "col"
        return [exp.alias_(exp.Explode(this=value.copy()), name, quoted=True)]
    parts = ("map_keys", "map_values")
    return [
        exp.alias_(exp.Explode(this=exp.Anonymous(this=part, expressions=[value.copy()])), column.name, quoted=True)
        for part, column in zip(parts, columns, strict=False)
    ]


def _join_rows(node: Any, select: Any, values: list[Any], name: Any, *, outer: bool) -> None:
    rows = exp.Subquery(this=exp.select(*values))
    lateral = exp.Lateral(this=rows, alias=exp.TableAlias(this=name.copy()) if name is not None else None)
    join = exp.Join(this=lateral, side="LEFT", on=exp.true()) if outer else exp.Join(this=lateral, kind="CROSS")
    node.pop()
    select.append("joins", join)


def _join(node: Any) -> None:
    """UNNEST(map) AS t(key, value), joined or alone"""
    unnest = node.this
    if not isinstance(unnest, exp.Unnest) or unnest.args.get("offset") or len(unnest.expressions) != 1:
        return
    alias = unnest.args.get("alias")
    if alias is not None and len(alias.columns) == 2:
        rows = exp.Subquery(this=exp.select(*_elements(unnest.expressions[0], list(alias.columns))))
        named = exp.TableAlias(this=alias.this.copy())
        if isinstance(node, exp.Join):
            unnest.replace(exp.Lateral(this=rows, alias=named))
        else:
            rows.set("alias", named)
            unnest.replace(rows)


def _exists(node: Any) -> None:
    """exists(array, x -> ...)"""
    if isinstance(node.args.get("expression"), exp.Lambda):
        found = exp.ArrayFilter(this=node.this.copy(), expression=node.expression.copy())
        node.replace(exp.paren(exp.GT(this=exp.ArraySize(this=found), expression=exp.Literal.number(0))))


def _reduce(node: Any) -> None:
    finish = node.args.get("finish")
    if isinstance(finish, exp.Lambda) and finish.this == finish.expressions[0]:
        node.set("finish", None)


_TRUNCATED = {"MM": "MONTH", "MON": "MONTH", "YY": "YEAR", "YYYY": "YEAR", "Q": "QUARTER", "DD": "DAY", "HH": "HOUR"}


def _trunc(node: Any) -> None:
    unit = node.args.get("unit")
    if unit is not None and (name := _TRUNCATED.get(unit.name.upper())) is not None:
        node.set("unit", exp.var(name))


def _flatten(node: Any) -> None:
    """Dremio's FLATTEN gives a row an element."""
    node.replace(exp.Explode(this=node.this.copy()))


def dremio(tree: exp.Expression) -> exp.Expression:
    """Dremio's own words before those of all."""
    for node in list(tree.find_all(exp.Flatten)):
        _flatten(node)
    return _DREMIO(tree)


def databricks(tree: exp.Expression) -> exp.Expression:
    """Databricks: the column of range() is called id (Databricks SQL reference, 'range table-valued function')."""
    for table in tree.find_all(exp.Table):
        alias, call = table.args.get("alias"), table.this
        unnamed = alias is None or not alias.args.get("columns")
        if unnamed and isinstance(call, exp.Anonymous) and call.name.lower() == "range":
            name = alias.this if alias is not None else exp.to_identifier("range")
            table.set("alias", exp.TableAlias(this=name, columns=[exp.to_identifier("id")]))
    return _DATABRICKS(tree)


_CHANGES: dict[type, Any] = {
    exp.Alter: _alter,
    exp.ColumnConstraint: _constraint,
    exp.Create: _create,
    exp.Exists: _exists,
    exp.Hint: _hint,
    exp.Insert: _insert,
    exp.Join: _join,
    exp.From: _join,
    exp.Lateral: _lateral,
    exp.DateTrunc: _trunc,
    exp.Reduce: _reduce,
    exp.SubstringIndex: _substring_index,
    exp.TimestampTrunc: _trunc,
    exp.Update: _update,
}

_DREMIO = rewriter("casts dremio")
_DATABRICKS = rewriter("casts databricks")
