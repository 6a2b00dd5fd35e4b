"""Partitions as other systems write them: the key of a new table, and INSERT into or over some partitions."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from runyard.warehouse.dialects.places import Unsayable
from runyard.warehouse.dialects.writer import Spelled

KEY = "partition key"
"""Where a CREATE keeps the key of its table until it is written."""


def take_key(create: Any) -> None:
    """Takes PARTITIONED BY off a CREATE TABLE, also as Trino's property; plain columns can be said here.

    Columns that only the key declares, as Hive's and Spark's `PARTITIONED BY (day DATE)`, become the table's last ones.
    """
    properties = create.args.get("properties")
    kept = []
    for one in properties.expressions if properties is not None else []:
        if isinstance(one, exp.PartitionedByProperty):
            listed = one.this
        elif type(one) is exp.Property and one.name.lower() == "partitioning":
            listed = one.args["value"]
        else:
            kept.append(one)
            continue
        if str(create.args.get("kind")).upper() == "TABLE":
            parts = listed.expressions if isinstance(listed, exp.Schema | exp.Array | exp.Tuple) else [listed]
            create.meta[KEY] = [_column(create, part) for part in parts]
    if properties is not None:
        properties.set("expressions", kept)


def _column(create: Any, part: Any) -> exp.Expression:
    """One column of a key; raises `Unsayable` for a transform, such as bucket(8, x)."""
    node = part.this if isinstance(part, exp.Paren) else part
    if isinstance(node, exp.ColumnDef) and node.args.get("kind") is not None:
        if not isinstance(create.this, exp.Schema):
            raise Unsayable("PARTITIONED BY with types needs a list of columns before it", create.this)
        create.this.append("expressions", node.copy())
    name = node.this.name if isinstance(node, exp.Column | exp.ColumnDef) else node.name
    plain = isinstance(node, exp.Identifier | exp.Column | exp.ColumnDef | exp.Var)
    if isinstance(node, exp.Literal) and node.is_string and name.replace("_", "a").isalnum():
        plain = True
    if not plain:
        said = name if isinstance(node, exp.Literal) else node.sql()
        raise Unsayable(f"partitioning by {said} has no counterpart here: a key may name columns", node)
    return exp.column(exp.to_identifier(name, quoted=True))


def written(key: list[Any], write: Any) -> list[str]:
    """The expressions of a key as texts: of columns, or of a tuple as ClickHouse has it."""
    parts = key[0].expressions if len(key) == 1 and isinstance(key[0], exp.Tuple) else key
    return [str(write(part)) for part in parts]


def is_selective(node: Any) -> bool:
    """Whether it is an INSERT into or over some rows: PARTITION (...), REPLACE WHERE, REPLACE USING."""
    if not isinstance(node, exp.Insert):
        return False
    return bool(_partition(node) or node.args.get("where") or node.args.get("using"))


def _target(node: Any) -> Any:
    return node.this.this if isinstance(node.this, exp.Schema) else node.this


def _partition(node: Any) -> Any:
    target = _target(node)
    return target.args.get("partition") if isinstance(target, exp.Table) else None


def insert(node: Any) -> exp.Expression:
    """Such an INSERT, rewritten but for that; what goes before it is in its meta.

    In PARTITION (...) values stand for all rows, and columns without a value come last in the query. OVERWRITE replaces
    the partition of those values; of columns without a value, as REPLACE USING does, those partitions that get rows.
    Source: Databricks 'SQL language reference', INSERT.
    """
    target, spec = _target(node), _partition(node)
    if node.args.get("with_"):
        raise Unsayable("WITH stands before the SELECT in an INSERT of partitions", target)
    if node.expression is None:
        raise Unsayable("an INSERT of partitions needs a query or VALUES", target)
    target.set("partition", None)
    parts = spec.expressions if spec is not None else []
    given = {_part(one): one.expression for one in parts if isinstance(one, exp.EQ)}
    open_ones = [_part(one) for one in parts if not isinstance(one, exp.EQ)]
    listed = [one.name for one in node.this.expressions] if isinstance(node.this, exp.Schema) else []
    rows = (
        _spelled("({0})", node.expression)
        if node.args.get("by_name")
        else _rows(target, node.expression, list(given), open_ones, listed)
    )
    condition, using = node.args.get("where"), [one.name for one in node.args.get("using") or []]
    if node.args.get("overwrite") or condition is not None or using:
        stage = exp.to_identifier(f"runyard_new_{target.name}", quoted=True)
        where = condition if condition is not None else _replaced(given, open_ones or using, stage)
        node.meta["before"] = [
            _spelled("CREATE OR REPLACE TEMP TABLE {0} AS SELECT * FROM {1}", stage, rows),
            *([_spelled(_FITS, stage, condition)] if condition is not None else []),
            _spelled("DELETE FROM {0} WHERE {1}", target, where),
        ]
        rows = _spelled("temp.{0}", stage)
    constants = "".join(f", {{{2 * at + 2}}} AS {{{2 * at + 3}}}" for at in range(len(given)))
    pairs = [part for name, value in given.items() for part in (value.copy(), _quoted(name))]
    return _spelled(f"INSERT INTO {{0}} BY NAME SELECT *{constants} FROM {{1}}", target, rows, *pairs)


_FITS = (
    "SELECT CASE WHEN count(*) > 0 THEN error('REPLACE WHERE: ' || count(*) || ' new rows do not match the condition')"
    " END FROM temp.{0} WHERE ({1}) IS NOT TRUE"
)


def _part(one: Any) -> str:
    """The column that a part of the specification names."""
    column = one.this if isinstance(one, exp.EQ) else one
    if not isinstance(column, exp.Column | exp.Identifier):
        raise Unsayable("PARTITION (...) names columns, with or without = and a value", one)
    return column.name


def _rows(target: Any, query: Any, given: list[str], open_ones: list[str], listed: list[str]) -> Spelled:
    """The query's rows with the table's names, by position: the first branch has no rows, but names."""
    if listed:
        names = ", ".join(f"{{{at + 2}}}" for at in range(len(listed)))
        columns = [_quoted(one) for one in listed]
    else:
        apart = [*given, *open_ones]
        names = f"* EXCLUDE ({', '.join(f'{{{at + 2}}}' for at in range(len(apart)))})" if apart else "*"
        names += "".join(f", {{{at + 2}}}" for at in range(len(given), len(apart)))
        columns = [_quoted(one) for one in apart]
    shape = f"((SELECT {names} FROM {{0}} LIMIT 0) UNION ALL (SELECT * FROM ({{1}})))"
    return _spelled(shape, target, query, *columns)


def _replaced(given: dict[str, Any], open_ones: list[str], stage: Any) -> Spelled:
    parts = [_spelled("{0} IS NOT DISTINCT FROM {1}", _quoted(name), value) for name, value in given.items()]
    if open_ones:
        packed = "struct_pack(" + ", ".join(f"k{at} := {{{at}}}" for at in range(len(open_ones))) + ")"
        names = [_quoted(one) for one in open_ones]
        of_row = _spelled(packed, *names)
        parts.append(_spelled("{0} IN (SELECT {0} FROM temp.{1})", of_row, stage))
    return _spelled(" AND ".join(f"{{{at}}}" for at in range(len(parts))), *parts)


def _quoted(name: str) -> exp.Identifier:
    return exp.to_identifier(name, quoted=True)


def _spelled(template: str, *parts: Any) -> Spelled:
    return Spelled(this=template, expressions=[part.copy() for part in parts])
