"""What ClickHouse's statements say that no function can: rewritten in the tree, before DuckDB's text is written."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from runyard.warehouse.dialects.clickhouse_parser import Call
from runyard.warehouse.dialects.partitioned import KEY
from runyard.warehouse.dialects.places import Unsayable

_REFUSED: dict[type, str] = {
    exp.TableSample: "SAMPLE has no counterpart here",
    exp.WithFill: "WITH FILL has no counterpart here",
    exp.Apply: "APPLY has no counterpart here",
}
_JOINS = {"ANY", "PASTE"}
_ENGINES = {"mergetree", "memory", "log", "tinylog", "null"}
_LAYOUT = (exp.Order, exp.PrimaryKey, exp.SettingsProperty, exp.MergeTreeTTL)


def rewrite(tree: exp.Expression) -> exp.Expression:
    """The statement in terms that DuckDB has; raises `Unsayable`."""
    _scalars(tree)
    for node in list(tree.walk()):
        if (sentence := _REFUSED.get(type(node))) is not None:
            raise Unsayable(sentence, node)
        if (change := _CHANGES.get(type(node))) is not None:
            change(node)
    if (key := tree.meta.get(KEY)) is not None:
        tree.meta[KEY] = [key.this]  # as it is now, rewritten
    instead: exp.Expression = tree.meta.pop("instead", tree)
    return instead


def _scalars(tree: exp.Expression) -> None:
    """`WITH 1 AS x SELECT x`: the value is put in wherever its name stands."""
    for cte in [one for one in tree.find_all(exp.CTE) if one.args.get("scalar")]:
        clause, name = cte.parent, cte.alias
        value = cte.this.copy()
        statement = clause.parent if clause is not None else None
        cte.pop()
        if clause is not None and not clause.expressions:
            clause.pop()
        for column in list((statement or tree).find_all(exp.Column)):
            if column.name == name and not column.table:
                column.replace(exp.paren(value.copy(), copy=False))


def _select(node: Any) -> None:
    for extra in ("settings", "format"):
        node.set(extra, None)
    group = node.args.get("group")
    if group is not None and group.args.get("totals"):
        raise Unsayable("WITH TOTALS has no counterpart here", group)
    if group is not None and (rollup := group.args.get("rollup")):
        _rollup(group, rollup)
    if (prewhere := node.args.get("prewhere")) is not None:
        node.set("prewhere", None)
        node.where(prewhere.this, copy=False)
    if (limit := node.args.get("limit_by")) is not None:
        node.set("limit_by", None)
        _limit_by(node, limit)


def _rollup(group: Any, rollup: Any) -> None:
    """`GROUP BY a, b WITH ROLLUP`"""
    if not any(one.expressions for one in rollup):
        group.set("rollup", [exp.Rollup(expressions=[one.copy() for one in group.expressions])])
        group.set("expressions", None)


def _limit_by(node: Any, limit: Any) -> None:
    """The first rows of each group, in the statement's own order."""
    order = node.args.get("order")
    number = exp.Window(
        this=exp.RowNumber(),
        partition_by=[one.copy() for one in limit.expressions],
        order=order.copy() if order is not None else None,
        over="OVER",
    )
    first = limit.args.get("offset")
    low = exp.GT(this=number, expression=first.copy()) if first is not None else None
    count = exp.Add(this=limit.expression.copy(), expression=first.copy()) if first is not None else limit.expression
    high = exp.LTE(this=number.copy(), expression=count)
    node.set("qualify", exp.Qualify(this=exp.and_(low, high) if low is not None else high))


def _union(node: Any) -> None:
    for extra in ("settings", "format"):
        node.set(extra, None)


def _final(node: Any) -> None:
    """Plain tables have one row a row: there is nothing to merge."""
    node.replace(node.this)


def _join(node: Any) -> None:
    node.set("global_", None)
    if node.kind in _JOINS:
        raise Unsayable(f"{node.kind} JOIN has no counterpart here", node.this)
    if node.kind == "ALL":
        node.set("kind", None)
    if node.kind == "ARRAY":
        _array_join(node)


def _array_join(node: Any) -> None:
    """Each element of an array as a row: of a name of its own, or in the place of the array."""
    arrays = [node.this, *node.expressions]
    select = node.parent
    if all(isinstance(one, exp.Alias) for one in arrays):
        rows = exp.select(*[exp.alias_(_unnest(one.this), one.alias, quoted=True) for one in arrays])
        lateral = exp.Lateral(
            this=exp.Subquery(this=rows), alias=exp.TableAlias(this=exp.to_identifier("runyard_rows"))
        )
        outer = node.side == "LEFT"
        node.replace(
            exp.Join(this=lateral, side="LEFT", on=exp.true()) if outer else exp.Join(this=lateral, kind="CROSS")
        )
        return
    source = select.args["from_"].this if select.args.get("from_") else None
    if len(select.args.get("joins") or []) != 1 or not isinstance(source, exp.Table) or node.side:
        raise Unsayable("ARRAY JOIN without AS needs one plain table before it; name the elements with AS", node.this)
    if any(not isinstance(one, exp.Column) for one in arrays):
        raise Unsayable("ARRAY JOIN of an expression needs AS and a name", node.this)
    star = exp.Star(replace=[exp.alias_(_unnest(one), one.name, quoted=True) for one in arrays])
    alias = source.alias or source.name
    source.set("alias", None)
    inner = exp.Select(expressions=[star]).from_(source.copy(), copy=False)
    source.replace(exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True))))
    node.pop()


def _unnest(node: Any) -> Any:
    return exp.Unnest(expressions=[node.copy()])


def _in(node: Any) -> None:
    node.set("is_global", None)


def _column(node: Any) -> None:
    """`t.1` is an element of the tuple t."""
    if isinstance(node.this, exp.Literal):
        owner = exp.column(node.args["table"].copy(), table=node.args.get("db"))
        node.replace(Call(this="tupleElement", expressions=[owner, node.this.copy()]))


def _dot(node: Any) -> None:
    if isinstance(node.expression, exp.Literal):
        node.replace(Call(this="tupleElement", expressions=[node.this.copy(), node.expression.copy()]))


def _insert(node: Any) -> None:
    """The parser wraps each value of INSERT ... VALUES in parentheses of its own."""
    node.set("settings", None)
    values = node.expression
    if isinstance(values, exp.Values):
        for row in values.expressions:
            row.set("expressions", [_bare(one) for one in row.expressions])


def _bare(node: Any) -> Any:
    single = isinstance(node, exp.Tuple) and len(node.expressions) == 1
    return node.expressions[0] if single else node


def _create(node: Any) -> None:
    """Of how a MergeTree lies on disk only the partition key counts; other engines change what a read returns."""
    properties = node.args.get("properties")
    for one in list(properties.expressions) if properties is not None else []:
        if isinstance(one, exp.EngineProperty):
            name = one.this.name
            if name.lower() not in _ENGINES:
                raise Unsayable(f"ENGINE = {name} has no counterpart here; MergeTree has", one.this)
        elif isinstance(one, exp.PartitionedByProperty):
            if not (isinstance(one.this, Call) and one.this.name.lower() == "tuple" and not one.this.expressions):
                node.meta[KEY] = one
        elif not isinstance(one, _LAYOUT):
            raise Unsayable(f"{type(one).__name__.removesuffix('Property').upper()} has no counterpart here", one)
    node.set("properties", None)


def _cast_to_text(node: Any) -> None:
    """CAST(x, 'Int32')"""
    kind = node.args["to"]
    if not kind.is_string:
        raise Unsayable("CAST needs its type as text", node)
    node.replace(exp.Cast(this=node.this.copy(), to=exp.DataType.build(kind.name, dialect="clickhouse")))


def _alter(node: Any) -> None:
    """ALTER TABLE t DELETE WHERE ..."""
    actions = node.args.get("actions") or []
    if len(actions) == 1 and isinstance(actions[0], exp.Delete):
        actions[0].set("this", node.this.copy())
        node.replace(actions[0]) if node.parent else node.meta.update(instead=actions[0])


_CHANGES: dict[type, Any] = {
    exp.Alter: _alter,
    exp.CastToStrType: _cast_to_text,
    exp.Column: _column,
    exp.Create: _create,
    exp.Dot: _dot,
    exp.Except: _union,
    exp.Final: _final,
    exp.In: _in,
    exp.Insert: _insert,
    exp.Intersect: _union,
    exp.Join: _join,
    exp.Select: _select,
    exp.Union: _union,
}
