"""The template functions: those that read a parameter by its type, and plain ones."""

from __future__ import annotations

import datetime
import decimal
import operator
import re
from collections.abc import Callable
from typing import Any

from runyard.dialects.tinybird.template.scope import Scope
from runyard.dialects.tinybird.template.values import Missing, Raw, TemplateError, literal, name_sql

_BITS = {"8": 8, "16": 16, "32": 32, "64": 64, "128": 128, "256": 256}
_MAX_RANGE = 100_000


# --- typed parameters -------------------------------------------------------------------------------------


def _text(value: Any) -> Any:
    return value if isinstance(value, str) else str(value)


def _whole(bits: int, signed: bool) -> Callable[[Any], Any]:
    low = -(1 << (bits - 1)) if signed else 0
    high = (1 << (bits - 1 if signed else bits)) - 1

    def read(value: Any) -> int:
        if isinstance(value, float) or (isinstance(value, str) and len(value) > 100):
            raise ValueError("it is not a whole number")
        number = int(value)
        if not low <= number <= high:
            raise ValueError(f"it must be {low} to {high}")
        return number

    return read


def _float(value: Any) -> float:
    number = float(value)
    if number != number or number in (float("inf"), float("-inf")):
        raise ValueError("it must be finite")
    return number


def _decimal(value: Any) -> decimal.Decimal:
    try:
        number = decimal.Decimal(str(value))
    except decimal.InvalidOperation:
        raise ValueError("it is not a decimal number") from None
    if not number.is_finite() or abs(number.adjusted()) > 80:
        raise ValueError("it must be finite")
    return decimal.Decimal(format(number, "f"))


def _boolean(value: Any) -> bool:
    if isinstance(value, bool | int):
        return bool(value)
    words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}
    if str(value).strip().lower() not in words:
        raise ValueError("it is neither true nor false")
    return words[str(value).strip().lower()]


def _date(value: Any) -> str:
    return datetime.date.fromisoformat(str(value).strip()).isoformat()


def _moment(value: Any) -> str:
    text = str(value).strip()
    found = datetime.datetime.fromisoformat(text)
    if found.tzinfo is not None:
        found = found.astimezone(datetime.UTC).replace(tzinfo=None)
    return found.isoformat(" ", "seconds")


def _fine_moment(value: Any) -> str:
    found = datetime.datetime.fromisoformat(str(value).strip())
    if found.tzinfo is not None:
        found = found.astimezone(datetime.UTC).replace(tzinfo=None)
    return found.isoformat(" ", "microseconds" if found.microsecond % 1000 else "milliseconds")


def _json(value: Any) -> Any:
    import json

    return json.loads(value) if isinstance(value, str) else value


Read = Callable[[Any], Any]
TYPED: dict[str, Read] = {
    "String": _text,
    "Symbol": lambda value: Raw(name_sql(str(value))),
    "Boolean": _boolean,
    "Bool": _boolean,
    "Date": _date,
    "DateTime": _moment,
    "DateTime64": _fine_moment,
    "Float32": _float,
    "Float64": _float,
    "UUID": _text,
    "JSON": _json,
    **{f"Int{bits}": _whole(size, True) for bits, size in _BITS.items()},
    **{f"UInt{bits}": _whole(size, False) for bits, size in _BITS.items()},
    **{f"Decimal{bits}": _decimal for bits in ("", "32", "64", "128", "256")},
    "Integer": _whole(64, True),
    "Array": _text,
}
"""Functions that read a parameter; `Array` also takes the type of its elements."""
DEFAULT_PLACE = {name: 2 if name == "Array" else 1 for name in TYPED}
"""Where the default stands among the arguments."""
OF_PARAMETER = {*TYPED, "defined", "columns", "column", "symbol", "table", "split_to_array"}
"""Functions whose first argument may be the bare name of a parameter."""

Expression = Callable[[Scope], Any]


def of_parameter(
    function: str, name: str | None, arguments: list[Expression], named: dict[str, Expression]
) -> Expression:
    """A call whose first argument is a parameter's name (`name`), or any expression (`name` is None)."""
    if not arguments:
        raise TemplateError(f"{function}() needs an argument.")
    if function == "defined":
        return lambda scope: not isinstance(arguments[0](scope), Missing) and arguments[0](scope) is not None
    others = arguments[1:]

    def call(scope: Scope) -> Any:
        value = arguments[0](scope)
        rest = [one(scope) for one in others]
        more = {key: one(scope) for key, one in named.items()}
        label = name or function
        try:
            return _CALLS.get(function, _typed)(function, label, value, rest, more)
        except (ValueError, TypeError, OverflowError) as error:
            said = str(error).splitlines()[0]
            raise TemplateError(f"The parameter {label!r} with value {value!r} is no {function}: {said}.") from None

    return call


def _typed(function: str, label: str, value: Any, rest: list[Any], named: dict[str, Any]) -> Any:
    default = rest[0] if rest else named.get("default")
    if isinstance(value, Missing) or value is None:
        if default is None and named.get("required"):
            raise TemplateError(f"The parameter {label!r} is required.")
        if default is None:
            return Missing(label)
        value = default
    found = TYPED[function](value)
    _check_choices(label, found, named.get("enum"))
    return found


def _check_choices(label: str, found: Any, choices: Any) -> None:
    if isinstance(choices, list) and choices and found not in choices:
        raise TemplateError(f"The parameter {label!r} must be one of {', '.join(map(str, choices))}; it is {found!r}.")


def _array(function: str, label: str, value: Any, rest: list[Any], named: dict[str, Any]) -> Any:
    kind = str(rest[0]) if rest else "String"
    default = rest[1] if len(rest) > 1 else named.get("default")
    if isinstance(value, Missing):
        if default is None:
            if named.get("required"):
                raise TemplateError(f"The parameter {label!r} is required.")
            return Missing(label)
        value = default
    if kind not in TYPED or kind == "Array":
        raise TemplateError(f"An Array of {kind!r} is not known.")
    items = value if isinstance(value, list) else [part.strip() for part in str(value).split(",") if part.strip()]
    if len(items) > _MAX_RANGE:
        raise TemplateError(f"The parameter {label!r} has more than {_MAX_RANGE} elements.")
    return [TYPED[kind](item) for item in items]


def _split(function: str, label: str, value: Any, rest: list[Any], named: dict[str, Any]) -> list[str]:
    default = rest[0] if rest else named.get("default", "")
    mark = named.get("separator") or (rest[1] if len(rest) > 1 else ",")
    text = str(default or "" if isinstance(value, Missing) else value)
    return [part.strip() for part in text.split(str(mark))] if text else []


def _names(function: str, label: str, value: Any, rest: list[Any], named: dict[str, Any]) -> Raw:
    default = rest[0] if rest else named.get("default")
    text = default if isinstance(value, Missing) else value
    if text is None:
        raise TemplateError(f"The parameter {label!r} names no columns.")
    fn = rest[1] if len(rest) > 1 else named.get("fn")
    columns = [part.strip() for part in str(text).split(",") if part.strip()]
    _check_listed(label, columns, default, value)
    if fn is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", str(fn)):
        raise TemplateError(f"{fn!r} is not the name of a function.")
    return Raw(", ".join(f"{fn}({name_sql(one)}) AS {name_sql(one)}" if fn else name_sql(one) for one in columns))


def _check_listed(label: str, columns: list[str], default: Any, value: Any) -> None:
    if not columns:
        raise TemplateError(f"The parameter {label!r} names no columns.")


def _name(function: str, label: str, value: Any, rest: list[Any], named: dict[str, Any]) -> Raw:
    default = rest[0] if rest else named.get("default")
    text = default if isinstance(value, Missing) else value
    if text is None:
        raise TemplateError(f"The parameter {label!r} names no {function}.")
    return Raw(name_sql(text.text if isinstance(text, Raw) else str(text)))


_CALLS: dict[str, Callable[[str, str, Any, list[Any], dict[str, Any]], Any]] = {
    "Array": _array,
    "split_to_array": _split,
    "columns": _names,
    "column": _name,
    "symbol": _name,
    "table": _name,
}


# --- plain functions --------------------------------------------------------------------------------------


def _error(message: Any = "error") -> None:
    raise TemplateError(str(message))


def _custom_error(body: Any, code: Any = 400) -> None:
    if not isinstance(body, dict):
        raise TemplateError(str(body))
    status = int(code)
    raise TemplateError(
        str(body.get("message") or body.get("error") or body), status if 400 <= status < 500 else 400, body
    )


def _sql_and(**conditions: Any) -> Raw:
    """`sql_and(city=x, age__gte=18)`: conditions of parameters that were given, joined by AND."""
    parts = []
    for key, value in conditions.items():
        column, _, word = key.partition("__")
        if isinstance(value, Missing) or value is None:
            continue
        if word not in _COMPARISONS:
            raise TemplateError(
                f"sql_and knows no comparison {word!r}; it knows {', '.join(filter(None, _COMPARISONS))}."
            )
        items = value
        if word in ("in", "not_in") and not isinstance(value, list):
            items = [part.strip() for part in str(value).split(",")]
        said = literal(items) if word not in ("in", "not_in") else f"({', '.join(map(literal, items))})"
        parts.append(f"{name_sql(column)} {_COMPARISONS[word]} {said}")
    return Raw(" AND ".join(parts) or "1")


_COMPARISONS = {
    "": "=", "eq": "=", "ne": "!=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "in": "IN", "not_in": "NOT IN",
    "like": "LIKE", "ilike": "ILIKE",
}  # fmt: skip


def _range(*bounds: Any) -> list[int]:
    found = range(*[int(bound) for bound in bounds])
    if len(found) > _MAX_RANGE:
        raise TemplateError(f"range() may have {_MAX_RANGE} elements.")
    return list(found)


def _with_last(items: Any) -> list[list[Any]]:
    return [[place == len(items) - 1, item] for place, item in enumerate(items)]


def _days(start: Any, end: Any) -> int:
    first, last = (datetime.date.fromisoformat(str(one).strip()[:10]) for one in (start, end))
    return abs((last - first).days)


def _seconds(start: Any, end: Any, *_: Any, **__: Any) -> int:
    first, last = (datetime.datetime.fromisoformat(_moment(one)) for one in (start, end))
    return abs(int((last - first).total_seconds()))


def _size(value: Any) -> int:
    return 0 if isinstance(value, Missing) else len(value)


PLAIN: dict[str, Callable[..., Any]] = {
    "error": _error,
    "custom_error": _custom_error,
    "sql_and": _sql_and,
    "len": _size,
    "range": _range,
    "enumerate": lambda items: [[place, item] for place, item in enumerate(items)],
    "enumerate_with_last": _with_last,
    "zip": lambda *lists: [list(items) for items in zip(*lists, strict=False)],
    "min": min,
    "max": max,
    "abs": abs,
    "round": round,
    "int": int,
    "float": float,
    "str": str,
    "list": list,
    "sorted": sorted,
    "day_diff": _days,
    "date_diff_in_days": _days,
    "date_diff_in_hours": lambda a, b, *_, **__: _seconds(a, b) // 3600,
    "date_diff_in_minutes": lambda a, b, *_, **__: _seconds(a, b) // 60,
    "date_diff_in_seconds": _seconds,
    "max_threads": lambda *_: Raw(""),
    "backend_hint": lambda *_: Raw(""),
    "cache_ttl": lambda *_: Raw(""),
    "activate": lambda *_: Raw(""),
}
"""Functions of values. The last four are hints to the platform's machinery that change no result."""

ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
    "//": operator.floordiv,
}
