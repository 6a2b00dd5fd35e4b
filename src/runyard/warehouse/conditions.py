"""Conditions that users give: text that becomes part of a statement of ours, so it must be one expression."""

from __future__ import annotations

import functools

import duckdb

from runyard.core.actions import SqlDialect
from runyard.warehouse.checker import check
from runyard.warehouse.dialects import translated
from runyard.warehouse.refused import Refused
from runyard.warehouse.words import words

_DEPTH = {"(": 1, ")": -1, "[": 1, "]": -1, "{": 1, "}": -1}


@functools.lru_cache(maxsize=512)
def condition(text: str, dialect: SqlDialect = "duckdb", what: str = "condition") -> tuple[str, frozenset[str]]:
    """The condition in parentheses and in DuckDB's SQL, and the parameters that it uses; raises `Refused`.

    `what` it is called in a refusal. It cannot leave its parentheses: brackets inside it are balanced at every place,
    and it ends in a line of its own, so that no comment swallows ours.
    """
    _check_brackets(text, what)
    if dialect != "duckdb":
        text = _translated(text, dialect, what)
    wrapped = f"(\n{text}\n)"
    try:
        plan = check(f"SELECT 1 FROM t WHERE {wrapped}")
    except duckdb.Error as error:
        raise Refused(f"The {what} {text!r} is not valid SQL: {str(error).splitlines()[0]}") from None
    if plan.writes or len(plan.statements) != 1:
        raise Refused(f"The {what} {text!r} is not one expression.")
    return wrapped, plan.parameters[0]


def _translated(text: str, dialect: SqlDialect, what: str) -> str:
    """What stands behind WHERE when the condition is translated inside a statement."""
    import sqlglot

    whole = translated(f"SELECT 1 AS one FROM t WHERE (\n{text}\n)", dialect)
    where = sqlglot.parse_one(whole, read="duckdb").args.get("where")
    if where is None:
        raise Refused(f"The {what} {text!r} is not one expression.")
    return str(where.this.sql("duckdb"))


def _check_brackets(text: str, what: str) -> None:
    depth, found = 0, words(text)
    if not found:
        raise Refused(f"The {what} is empty.")
    for word in found:
        depth += sum(_DEPTH.get(char, 0) for char in word.text) if word.kind == "operator" else 0
        if depth < 0 or (word.kind == "operator" and ";" in word.text):
            raise Refused(f"The {what} {text!r} is not one expression.")
    if depth:
        raise Refused(f"The {what} {text!r} is not one expression.")


def bound(wanted: frozenset[str], given: dict[str, object]) -> dict[str, object]:
    """The parameters that a text uses; raises `Refused` when one is missing."""
    if missing := sorted(wanted - given.keys()):
        raise Refused(f"The text uses ${missing[0]}, which is not among the task's parameters.")
    return {name: given[name] for name in wanted}
