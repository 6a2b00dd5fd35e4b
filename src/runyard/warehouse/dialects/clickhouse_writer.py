"""Writes a parsed ClickHouse statement as DuckDB's: each call by the tables of functions."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import msgspec
from sqlglot import exp

from runyard.warehouse.dialects import clickhouse_special as special
from runyard.warehouse.dialects.clickhouse_aggregates import AGGREGATES, Aggregate
from runyard.warehouse.dialects.clickhouse_parser import Call
from runyard.warehouse.dialects.clickhouse_scalars import SCALARS
from runyard.warehouse.dialects.macros import CATALOG
from runyard.warehouse.dialects.places import Unsayable
from runyard.warehouse.dialects.writer import Writer

_SIGNATURE = re.compile(r"(\w+)\((.*)\)")
_MACRO = re.compile(r"@(\w+)\(")
_SUFFIXES = ("SimpleState", "State", "Merge", "OrNull", "OrDefault", "Distinct", "If", "Array", "ForEach", "Map")
_TYPES = {"DATETIME64": "TIMESTAMP", "DATE32": "DATE", "FIXEDSTRING": "TEXT", "ENUM8": "TEXT", "ENUM16": "TEXT",
          "ENUM": "TEXT", "IPV4": "TEXT", "IPV6": "TEXT", "DATETIME": "TIMESTAMP"}  # fmt: skip
_NO_TYPES = {"AGGREGATEFUNCTION", "NESTED", "OBJECT", "VARIANT", "DYNAMIC", "NOTHING"}


class Form(msgspec.Struct, frozen=True):
    """One row of a table, ready to be used."""

    names: tuple[str, ...]
    rest: str | None
    """The name that takes all further arguments."""
    says: str
    aggregate: Aggregate | None = None

    def takes(self, count: int) -> bool:
        """Whether it can be called with so many arguments."""
        return count >= len(self.names) + 1 if self.rest else count == len(self.names)


def _form(call: str, says: str, aggregate: Aggregate | None = None) -> tuple[str, Form]:
    match = _SIGNATURE.fullmatch(call)
    assert match is not None
    names = [one for one in match[2].split(", ") if one]
    rest = names.pop()[1:] if names and names[-1].startswith("*") else None
    return match[1].lower(), Form(tuple(names), rest, _MACRO.sub(rf"{CATALOG}.\1(", says), aggregate)


def _forms() -> tuple[dict[str, list[Form]], dict[str, list[Form]]]:
    scalars: dict[str, list[Form]] = {}
    aggregates: dict[str, list[Form]] = {}
    for group in SCALARS.values():
        for one in group:
            name, form = _form(one.call, one.says)
            scalars.setdefault(name, []).append(form)
    for entry in AGGREGATES:
        name, form = _form(entry.call, entry.says, entry)
        aggregates.setdefault(name, []).append(form)
    return scalars, aggregates


_SCALARS, _AGGREGATES = _forms()


class ClickHouseWriter(Writer):
    """DuckDB's text for a tree that `rewrite` has seen."""

    TRANSFORMS: ClassVar[dict[Any, Any]] = {**Writer.TRANSFORMS, Call: lambda self, node: self.call_sql(node)}

    def __init__(self) -> None:
        super().__init__()
        self._over: dict[int, str] = {}
        """What follows an aggregate, by the identity of its call: FILTER and OVER."""

    def call_sql(self, node: Call) -> str:
        """A call, by the tables; raises `Unsayable` for one that is not there."""
        if (write := special.SPECIAL.get(node.name.lower())) is not None:
            return str(write(self, node))
        if node.name.lower() in _SCALARS and not node.args.get("parameters"):
            return self._scalar(node, _SCALARS[node.name.lower()])
        return self._aggregate(node)

    def _scalar(self, node: Call, forms: list[Form]) -> str:
        form = _fitting(node, forms, len(node.expressions))
        return _fill(form, form.says, [self.sql(one) for one in node.expressions]) + self._over.pop(id(node), "")

    def _aggregate(self, node: Call) -> str:
        base, suffixes = _split(node)
        arguments = list(node.expressions)
        condition = self.sql(arguments.pop()) if "If" in suffixes and arguments else ""
        texts = [self._argument(one, "Distinct" in suffixes) for one in arguments]
        over = (f" FILTER (WHERE {condition})" if condition else "") + self._over.pop(id(node), "")
        parameters = node.args.get("parameters") or []
        forms = [one for one in _AGGREGATES[base.lower()] if _parameters_fit(one, len(parameters))]
        if not forms:
            raise Unsayable(f"the function {base} cannot be called with these parameters", node)
        form = forms[0] if "Merge" in suffixes else _fitting(node, forms, len(texts))
        more = _named_parameters(form, [self.sql(one) for one in parameters])
        text = _MACRO.sub(rf"{CATALOG}.\1(", _chosen(node, form, suffixes))
        if "Merge" in suffixes:
            return text.format_map({**more, "s": ", ".join(texts), "over": over})
        return _fill(form, text, texts, {**more, "over": over})

    def _argument(self, node: exp.Expression, distinct: bool) -> str:
        """ClickHouse counts and adds truth values as numbers."""
        text = self.sql(node)
        if isinstance(node, exp.Predicate | exp.Connector | exp.Not):
            text = f"CAST({text} AS UTINYINT)"
        return f"DISTINCT {text}" if distinct else text

    def window_sql(self, expression: exp.Window) -> str:
        """OVER stands right after the aggregate, which may be inside of other calls."""
        call = expression.this
        if not isinstance(call, Call):
            return str(super().window_sql(expression))
        bare = expression.copy()
        bare.set("this", exp.Var(this=""))
        self._over[id(call)] = " " + str(super().window_sql(bare)).strip()
        return self.sql(call)

    def filter_sql(self, expression: exp.Filter) -> str:
        """FILTER stands right after the aggregate, too."""
        call = expression.this
        if not isinstance(call, Call):
            return str(super().filter_sql(expression))
        self._over[id(call)] = f" FILTER ({self.sql(expression.expression).strip()})"
        return self.sql(call)

    def table_sql(self, expression: exp.Table, sep: str = " AS ") -> str:
        """Table functions: of ClickHouse's many only `numbers` means anything here."""
        if isinstance(expression.this, Call):
            return special.table_function(self, expression)
        return str(super().table_sql(expression, sep))

    def datatype_sql(self, expression: exp.DataType) -> str:
        """ClickHouse's types; one that changes what is stored is refused."""
        kind = expression.this.name if isinstance(expression.this, exp.DType) else str(expression.this)
        if kind in _NO_TYPES:
            raise Unsayable(f"the type {kind} has no counterpart here", expression)
        if kind in {"LOWCARDINALITY", "NULLABLE"}:
            return self.sql(expression.expressions[0])
        if kind == "SIMPLEAGGREGATEFUNCTION":
            return self.sql(expression.expressions[-1])
        if kind == "STRUCT" and all(isinstance(one, exp.DataType) for one in expression.expressions):
            parts = [f'"{number}" {self.sql(one)}' for number, one in enumerate(expression.expressions, 1)]
            return f"STRUCT({', '.join(parts)})"
        return _TYPES.get(kind) or str(super().datatype_sql(expression))

    def placeholder_sql(self, expression: exp.Placeholder) -> str:
        """`{name:Type}` is a bound value of that type."""
        kind = expression.args.get("kind")
        if kind == "Identifier":
            raise Unsayable("{name:Identifier} has no counterpart here: a name cannot be bound", expression)
        text = str(super().placeholder_sql(expression))
        return f"CAST({text} AS {self.sql(kind)})" if kind else text


def _split(node: Call) -> tuple[str, set[str]]:
    """The aggregate's own name and its combinators; raises `Unsayable` for a name that is not known."""
    name, suffixes = node.name, set[str]()
    while name.lower() not in _AGGREGATES:
        suffix = next((one for one in _SUFFIXES if name.endswith(one) and len(name) > len(one)), None)
        if suffix is None:
            raise Unsayable(f"the function {node.name} has no counterpart here", node)
        name = name.removesuffix(suffix)
        suffixes.add(suffix)
    if unknown := suffixes & {"OrDefault", "Array", "ForEach", "Map"}:
        raise Unsayable(f"the combinator -{min(unknown)} of {node.name} has no counterpart here", node)
    return name, suffixes


def _parameters_fit(form: Form, count: int) -> bool:
    wanted = form.aggregate.parameters if form.aggregate else ""
    return count >= 1 if wanted.startswith("*") else count == (1 if wanted else 0)


def _named_parameters(form: Form, texts: list[str]) -> dict[str, str]:
    wanted = form.aggregate.parameters if form.aggregate else ""
    return {wanted.lstrip("*"): ", ".join(texts)} if wanted else {}


def _chosen(node: Call, form: Form, suffixes: set[str]) -> str:
    entry = form.aggregate
    assert entry is not None
    if not suffixes & {"State", "Merge"}:
        return entry.says
    text = entry.state if "State" in suffixes else entry.merge
    if not text:
        raise Unsayable(f"partial states of {entry.call} have no counterpart here", node)
    return text


def _fitting(node: Call, forms: list[Form], count: int) -> Form:
    for form in sorted(forms, key=lambda one: one.rest is not None):
        if form.takes(count):
            return form
    raise Unsayable(f"the function {node.name} cannot be called with {count} arguments here", node)


def _fill(form: Form, says: str, texts: list[str], more: dict[str, str] | None = None) -> str:
    named = dict(zip(form.names, texts, strict=False))
    if form.rest:
        named[form.rest] = ", ".join(texts[len(form.names) :])
    return says.format_map({**named, **(more or {})})
