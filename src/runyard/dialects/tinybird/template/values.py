"""What templates compute with: plain values, names, parameters, and how each is written into SQL."""

from __future__ import annotations

import datetime
import decimal
import re
from typing import Any

import msgspec

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?")


class TemplateError(Exception):
    """A template that cannot be parsed, or whose parameters do not fit; `status` is the answer's."""

    def __init__(self, message: str, status: int = 400, body: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = body


class Raw(msgspec.Struct, frozen=True):
    """SQL that was checked: a name, a list of names, a condition."""

    text: str


class Missing(msgspec.Struct, frozen=True):
    """A parameter that was not given; it is false, and printing it is refused."""

    name: str

    def __bool__(self) -> bool:
        return False


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter that a template reads, for the description of an endpoint."""

    name: str
    type: str
    default: Any = None
    description: str = ""
    required: bool = False


def name_sql(text: str) -> str:
    """A name, or a table's with its schema; raises `TemplateError` for anything else."""
    if not NAME.fullmatch(text):
        raise TemplateError(f"{text!r} is not a name of a column or table.")
    return ".".join(f"`{part}`" for part in text.split("."))


def literal(value: Any) -> str:
    """A value as a SQL literal."""
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, Missing):
        raise TemplateError(f"The parameter {value.name!r} has no value and the template gives no default.")
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, int | decimal.Decimal):
        return str(value) if value >= 0 else f"({value})"
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(literal(item) for item in value) + "]"
    if isinstance(value, datetime.date | datetime.datetime):
        return text_literal(str(value))
    if isinstance(value, str):
        return text_literal(value)
    raise TemplateError(f"A {type(value).__name__} cannot stand in SQL.")


def _float(value: float) -> str:
    if value != value or value in (float("inf"), float("-inf")):
        raise TemplateError("A number of a template must be finite.")
    return repr(value) if value >= 0 else f"({value!r})"


def text_literal(text: str) -> str:
    """A quoted text. Braces that would look like a reference of ours are kept apart."""
    if "\0" in text:
        raise TemplateError("A text must not hold the character 0.")
    quoted = ["'" + part.replace("\\", "\\\\").replace("'", "''") + "'" for part in _apart(text)]
    return quoted[0] if len(quoted) == 1 else f"({' || '.join(quoted)})"


def _apart(text: str) -> list[str]:
    """The text cut between neighbouring opening braces."""
    return re.split(r"(?<=\{)(?=\{)", text)
