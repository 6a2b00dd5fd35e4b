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
def condition(text: str, dialect: SqlDialect = "duckdb") -> tuple[str, frozenset[str]]:
    """The condition in parentheses, and the parameters that it uses; raises `Refused`.

    It cannot leave its parentheses: brackets inside it are balanced at every place, and it ends in a line of
    its own, so that no comment swallows ours.
    """
    if dialect != "duckdb":
        text = _said(text, dialect)
    depth = 0
    for word in words(text):
        depth += sum(_DEPTH.get(char, 0) for char in word.text) if word.kind == "operator" else 0
        if depth < 0 or (word.kind == "operator" and ";" in word.text):
            raise Refused(f"The condition {text!r} is not one expression.")
    wrapped = f"(\n{text}\n)"
    try:
        plan = check(f"SELECT 1 FROM t WHERE {wrapped}")
    except duckdb.Error as error:
        raise Refused(f"The condition {text!r} is not valid SQL: {str(error).splitlines()[0]}") from None
    if plan.writes or len(plan.statements) != 1 or depth:
        raise Refused(f"The condition {text!r} is not one expression.")
    return wrapped, plan.parameters[0]


def _said(text: str, dialect: SqlDialect) -> str:
    """A condition of another language in DuckDB's: as the only column of a query."""
    found = translated(f"SELECT (\n{text}\n)", dialect).strip()
    if not found.upper().startswith("SELECT ") or ";" in found.rstrip(";"):
        raise Refused(f"The condition {text!r} is not one expression.")
    return found[len("SELECT ") :].rstrip(";")


def bound(wanted: frozenset[str], given: dict[str, object]) -> dict[str, object]:
    """The parameters that a text uses; raises `Refused` when one is missing."""
    if missing := sorted(wanted - given.keys()):
        raise Refused(f"The text uses ${missing[0]}, which is not among the task's parameters.")
    return {name: given[name] for name in wanted}
