"""ClickHouse's functions whose arguments must be looked at: lambdas, paths, formats, units."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sqlglot import exp

from runyard.warehouse.dialects.clickhouse_parser import Call
from runyard.warehouse.dialects.macros import CATALOG
from runyard.warehouse.dialects.places import Unsayable

_UNITS = ("microsecond", "millisecond", "second", "minute", "hour", "day", "week", "month", "quarter", "year")
_SHORT = {"ss": "second", "s": "second", "mi": "minute", "n": "minute", "hh": "hour", "h": "hour", "dd": "day",
          "d": "day", "wk": "week", "ww": "week", "mm": "month", "m": "month", "qq": "quarter", "q": "quarter",
          "yyyy": "year", "yy": "year"}  # fmt: skip
_FORMATS = {"i": "%M", "M": "%B", "F": "%Y-%m-%d", "T": "%H:%M:%S", "R": "%H:%M", "D": "%m/%d/%y", "h": "%I",
            "r": "%I:%M %p", "n": "\n", "t": "\t"}  # fmt: skip
_SAME_FORMATS = set("aAbdfHIjmpSuUVwyYzG%")
_REFUSED = {
    "cityHash64": "cityHash64 has no counterpart here: DuckDB's hash() gives other numbers; use MD5",
    "sipHash64": "sipHash64 has no counterpart here: DuckDB's hash() gives other numbers; use MD5",
    "xxHash64": "xxHash64 has no counterpart here: DuckDB's hash() gives other numbers; use MD5",
    "dictGet": "dictGet has no counterpart here: there are no dictionaries; join a table",
    "joinGet": "joinGet has no counterpart here: join the table",
}


def text_of(writer: Any, node: Call, place: int, what: str) -> str:
    """A literal text among the arguments; raises `Unsayable` when it is computed."""
    arguments = node.expressions
    found = arguments[place] if place < len(arguments) else None
    if not isinstance(found, exp.Literal) or not found.is_string:
        raise Unsayable(f"{node.name} needs {what} as a text", found or node)
    return str(found.this)


def _count(node: Call, least: int, most: int) -> list[Any]:
    if not least <= len(node.expressions) <= most:
        raise Unsayable(f"the function {node.name} cannot be called with {len(node.expressions)} arguments here", node)
    return list(node.expressions)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _multi_if(writer: Any, node: Call) -> str:
    arguments = _count(node, 3, 999)
    if len(arguments) % 2 == 0:
        raise Unsayable("multiIf needs pairs of a condition and a value, and a last value", node)
    parts = [writer.sql(one) for one in arguments]
    cases = [f"WHEN {condition} THEN {value}" for condition, value in zip(parts[:-1:2], parts[1::2], strict=True)]
    return f"CASE {' '.join(cases)} ELSE {parts[-1]} END"


def _unit(writer: Any, node: Call, place: int) -> str:
    found = node.expressions[place]
    name = str(found.this if isinstance(found, exp.Literal) else found.name).lower()
    name = _SHORT.get(name, name)
    name = name if name in _UNITS else name.removesuffix("s")
    if name not in _UNITS:
        raise Unsayable(f"{node.name} needs a unit such as 'day'", found)
    return name


def _date_diff(writer: Any, node: Call) -> str:
    arguments = _count(node, 3, 4)
    zoned = [f"CAST({writer.sql(one)} AS TIMESTAMP)" for one in arguments[1:3]]
    if len(arguments) == 4:
        zone = writer.sql(arguments[3])
        zoned = [f"{CATALOG}.in_zone({one}, {zone})" for one in zoned]
    unit = _unit(writer, node, 0)
    if unit == "week":  # from Monday to Monday, not seven days
        zoned = [f"date_trunc('week', {one})" for one in zoned]
    return f"date_diff('{unit}', {zoned[0]}, {zoned[1]})"


def _date_trunc(writer: Any, node: Call) -> str:
    arguments = _count(node, 2, 3)
    unit, moment = _unit(writer, node, 0), writer.sql(arguments[1])
    if len(arguments) == 3:
        moment = f"{CATALOG}.in_zone({moment}, {writer.sql(arguments[2])})"
    truncated = f"date_trunc('{unit}', {moment})"
    return f"CAST({truncated} AS DATE)" if unit in {"week", "month", "quarter", "year"} else truncated


def _date_add(sign: str) -> Callable[[Any, Call], str]:
    def write(writer: Any, node: Call) -> str:
        arguments = _count(node, 2, 3)
        if len(arguments) == 2:  # date_add(t, INTERVAL 1 DAY)
            return f"({writer.sql(arguments[0])} {sign or '+'} {writer.sql(arguments[1])})"
        unit = _unit(writer, node, 0)
        return f"{CATALOG}.add_{unit}s({writer.sql(arguments[2])}, {sign}({writer.sql(arguments[1])}))"

    return write


def _start_of_interval(writer: Any, node: Call) -> str:
    arguments = _count(node, 2, 3)
    moment, step = f"CAST({writer.sql(arguments[0])} AS TIMESTAMP)", arguments[1]
    if len(arguments) == 3:
        moment = f"{CATALOG}.in_zone({moment}, {writer.sql(arguments[2])})"
    unit = step.args["unit"].name.lower().removesuffix("s") if isinstance(step, exp.Interval) else ""
    if isinstance(step, Call):
        unit = step.name.lower().removeprefix("tointerval")
    if unit not in _UNITS:
        raise Unsayable("toStartOfInterval needs an INTERVAL written with its unit", step)
    origin = "TIMESTAMP '1970-01-05'" if unit == "week" else "TIMESTAMP '1970-01-01'"
    bucket = f"time_bucket({writer.sql(step)}, {moment}, {origin})"
    return f"CAST({bucket} AS DATE)" if unit in {"week", "month", "quarter", "year"} else bucket


def _format(writer: Any, node: Call) -> str:
    arguments = _count(node, 2, 3)
    moment = writer.sql(arguments[0])
    if len(arguments) == 3:
        moment = f"{CATALOG}.in_zone({moment}, {writer.sql(arguments[2])})"
    pattern = text_of(writer, node, 1, "its format")

    def spelled(match: re.Match[str]) -> str:
        letter = match[1]
        if letter not in _FORMATS and letter not in _SAME_FORMATS:
            raise Unsayable(f"the format %{letter} has no counterpart here", node.expressions[1])
        return _FORMATS.get(letter, f"%{letter}")

    return f"strftime({moment}, {_quoted(re.sub(r'%(.)', spelled, pattern))})"


def _path(writer: Any, node: Call, arguments: list[Any]) -> str:
    """A JSON path: names, and places counted from 1, or from the end when they are negative."""
    path = "$"
    for one in arguments:
        negative = isinstance(one, exp.Neg) and isinstance(one.this, exp.Literal)
        literal = one.this if negative else one
        if not isinstance(literal, exp.Literal):
            raise Unsayable(f"{node.name} needs its keys written out", one)
        if literal.is_string:
            path += '."' + str(literal.this).replace('"', '\\"') + '"'
        else:
            path += f"[#-{literal.this}]" if negative else f"[{int(literal.this) - 1}]"
    return _quoted(path)


def _json(macro: str, *, simple: bool = False) -> Callable[[Any, Call], str]:
    def write(writer: Any, node: Call) -> str:
        arguments = _count(node, 2 if simple else 1, 2 if simple else 99)
        return f"{CATALOG}.json_{macro}({writer.sql(arguments[0])}, {_path(writer, node, arguments[1:])})"

    return write


_JSON_KINDS = {"string": "text", "bool": "bool"}


def _json_extract(writer: Any, node: Call) -> str:
    """JSONExtract(j, 'key', 'Type')"""
    arguments = _count(node, 2, 99)
    kind = text_of(writer, node, len(arguments) - 1, "a type as its last argument,")
    document, path = writer.sql(arguments[0]), _path(writer, node, arguments[1:-1])
    macro = _JSON_KINDS.get(kind.lower())
    macro = macro or ("int" if re.fullmatch(r"u?int\d+", kind.lower()) else None)
    macro = macro or ("float" if kind.lower().startswith("float") else None)
    if macro:
        return f"{CATALOG}.json_{macro}({document}, {path})"
    try:
        target = writer.sql(exp.DataType.build(kind, dialect="clickhouse"))
    except Exception:
        raise Unsayable(f"{node.name}: {kind!r} is not a type that is known here", arguments[-1]) from None
    return f"CAST(json_extract({document}, {path}) AS {target})"


def _lambda(writer: Any, node: Call, says: str, plain: str | None = None) -> str:
    """A function over one array or several: `{f}` is the lambda, `{a}` the array."""
    arguments = list(node.expressions)
    if not arguments or not isinstance(arguments[0], exp.Lambda):
        if plain is None or len(arguments) != 1:
            raise Unsayable(f"{node.name} needs a lambda, x -> ..., as its first argument", node)
        return plain.format(a=writer.sql(arguments[0]))
    body, arrays = arguments[0], [writer.sql(one) for one in arguments[1:]]
    names = [one.name for one in body.expressions]
    if not arrays or len(names) != len(arrays):
        raise Unsayable(f"{node.name} needs as many arrays as its lambda has arguments", node)
    if len(arrays) == 1:
        return says.format(f=f"lambda {_name(names[0])}: {writer.sql(body.this)}", a=arrays[0])
    if "list_filter" in says or "list_sort" in says:
        raise Unsayable(f"{node.name} over several arrays has no counterpart here", node)
    return says.format(f=_of_pair(writer, body, names), a=f"list_zip({', '.join(arrays)})")


def _of_pair(writer: Any, body: exp.Lambda, names: list[str]) -> str:
    """A lambda of several arguments as one of the tuple that holds them."""
    holder = exp.Paren(this=body.this.copy())
    for part in list(holder.find_all(exp.Identifier)):
        if part.name in names and not _qualified(part):
            one = exp.Bracket(
                this=exp.to_identifier("runyard_pair"), expressions=[exp.Literal.number(names.index(part.name))]
            )
            (part.parent if isinstance(part.parent, exp.Column) else part).replace(one)
    return f"lambda runyard_pair: {writer.sql(holder)}"


def _map_filter(writer: Any, node: Call) -> str:
    """mapFilter((key, value) -> condition, map)."""
    body, held = _count(node, 2, 2)
    if not isinstance(body, exp.Lambda) or len(body.expressions) != 2:
        raise Unsayable("mapFilter needs a lambda of two arguments, (k, v) -> ..., as its first argument", node)
    pairs = f"list_zip(map_keys({writer.sql(held)}), map_values({writer.sql(held)}))"
    return f"map_from_entries(list_filter({pairs}, {_of_pair(writer, body, [one.name for one in body.expressions])}))"


def _qualified(part: Any) -> bool:
    return isinstance(part.parent, exp.Column) and bool(part.parent.table)


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _over_array(says: str, plain: str | None = None) -> Callable[[Any, Call], str]:
    return lambda writer, node: _lambda(writer, node, says, plain)


def _extract(writer: Any, node: Call) -> str:
    """extract(text, pattern): the first group, or the whole match when there is none."""
    arguments = _count(node, 2, 2)
    pattern = text_of(writer, node, 1, "its pattern")
    group = 1 if re.search(r"(?<!\\)\((?!\?)", pattern) else 0
    return f"regexp_extract({writer.sql(arguments[0])}, {_quoted(pattern)}, {group})"


def _map(writer: Any, node: Call) -> str:
    parts = [writer.sql(one) for one in node.expressions]
    if len(parts) % 2:
        raise Unsayable("map needs pairs of a key and a value", node)
    return "MAP {" + ", ".join(f"{key}: {value}" for key, value in zip(parts[::2], parts[1::2], strict=True)) + "}"


def _reduce(writer: Any, node: Call) -> str:
    arguments = _count(node, 2, 2)
    name = text_of(writer, node, 0, "the aggregate's name").lower()
    known = {"sum": "sum", "avg": "avg", "min": "min", "max": "max", "count": "count", "uniq": "approx_count_distinct",
             "median": "median", "any": "first"}  # fmt: skip
    if name not in known:
        raise Unsayable(f"arrayReduce with {name!r} has no counterpart here", node)
    array = writer.sql(arguments[1])
    return f"list_unique({array})" if name == "uniq" else f"list_aggregate({array}, '{known[name]}')"


def _refused(writer: Any, node: Call) -> str:
    raise Unsayable(next(said for name, said in _REFUSED.items() if name.lower() == node.name.lower()), node)


def table_function(writer: Any, table: exp.Table) -> str:
    """numbers(n) and numbers(from, n), as a table with the column number."""
    call = table.this
    if call.name.lower() not in {"numbers", "zeros"} or not 1 <= len(call.expressions) <= 2:
        raise Unsayable(f"the table function {call.name} has no counterpart here; load the data with a load task", call)
    values = [writer.sql(one) for one in call.expressions]
    first, count = values if len(values) == 2 else ("0", values[0])
    alias = writer.sql(table, "alias") or "numbers"
    return f"(SELECT range AS number FROM range({first}, ({first}) + ({count}))) AS {alias}"


NAMED: dict[str, Callable[[Any, Call], str]] = {
    "if": _multi_if,
    "multiIf": _multi_if,
    "dateDiff": _date_diff,
    "date_diff": _date_diff,
    "timestampDiff": _date_diff,
    "dateTrunc": _date_trunc,
    "date_trunc": _date_trunc,
    "dateAdd": _date_add(""),
    "date_add": _date_add(""),
    "timestampAdd": _date_add(""),
    "dateSub": _date_add("-"),
    "date_sub": _date_add("-"),
    "toStartOfInterval": _start_of_interval,
    "formatDateTime": _format,
    "JSONExtractString": _json("text"),
    "JSONExtractInt": _json("int"),
    "JSONExtractUInt": _json("int"),
    "JSONExtractFloat": _json("float"),
    "JSONExtractBool": _json("bool"),
    "JSONExtractRaw": _json("raw"),
    "JSONExtractArrayRaw": _json("array"),
    "JSONExtractKeys": _json("keys"),
    "JSONLength": _json("length"),
    "JSONHas": _json("has"),
    "JSONExtract": _json_extract,
    "simpleJSONExtractString": _json("text", simple=True),
    "simpleJSONExtractInt": _json("int", simple=True),
    "simpleJSONExtractUInt": _json("int", simple=True),
    "simpleJSONExtractFloat": _json("float", simple=True),
    "simpleJSONExtractBool": _json("bool", simple=True),
    "simpleJSONExtractRaw": _json("raw", simple=True),
    "simpleJSONHas": _json("has", simple=True),
    "visitParamExtractString": _json("text", simple=True),
    "visitParamExtractInt": _json("int", simple=True),
    "visitParamExtractFloat": _json("float", simple=True),
    "visitParamHas": _json("has", simple=True),
    "arrayMap": _over_array("list_transform({a}, {f})"),
    "arrayFilter": _over_array("list_filter({a}, {f})"),
    "arrayExists": _over_array("(len(list_filter({a}, {f})) > 0)"),
    "arrayAll": _over_array("(len(list_filter({a}, {f})) = len({a}))"),
    "arrayCount": _over_array("len(list_filter({a}, {f}))", "len(list_filter({a}, lambda e: e <> 0))"),
    "arrayFirst": _over_array("list_filter({a}, {f})[1]"),
    "arraySum": _over_array("COALESCE(list_sum(list_transform({a}, {f})), 0)", "COALESCE(list_sum({a}), 0)"),
    "arrayAvg": _over_array("list_avg(list_transform({a}, {f}))", "list_avg({a})"),
    "arrayMax": _over_array("list_max(list_transform({a}, {f}))", "list_max({a})"),
    "arrayMin": _over_array("list_min(list_transform({a}, {f}))", "list_min({a})"),
    "arrayReduce": _reduce,
    "extract": _extract,
    "map": _map,
    "mapFilter": _map_filter,
    **dict.fromkeys(_REFUSED, _refused),
}

SPECIAL = {name.lower(): write for name, write in NAMED.items()}

EXAMPLES = [
    "if(1 > 2, 'a', 'b'), multiIf(1 > 2, 'a', 2 > 1, 'b', 'c'), 1 > 2 ? 3 : 4",
    "dateDiff('day', toDate('2024-01-01'), toDate('2024-03-01')), date_diff('hour', toDateTime('2024-01-01 00:30:00'),"
    " toDateTime('2024-01-01 02:10:00')), dateDiff('month', toDate('2024-01-31'), toDate('2024-03-01'))",
    "dateDiff('week', toDate('2024-05-05'), toDate('2024-05-06')), date_diff('year', toDate('2023-12-31'),"
    " toDate('2024-01-01'))",
    "dateTrunc('month', toDate('2024-05-06')), date_trunc('hour', toDateTime('2024-05-06 07:08:09'))",
    "dateAdd(DAY, 3, toDate('2024-05-06')), date_sub(MONTH, 1, toDate('2024-05-31')), dateAdd(HOUR, 2,"
    " toDateTime('2024-05-06 07:08:09'))",
    "toStartOfInterval(toDateTime('2024-05-06 07:08:09'), INTERVAL 7 MINUTE),"
    " toStartOfInterval(toDateTime('2024-05-08 07:08:09'), INTERVAL 1 WEEK),"
    " toStartOfInterval(toDateTime('2024-05-06 07:08:09'), INTERVAL 3 DAY),"
    " toStartOfInterval(toDateTime('2024-05-06 07:08:09'), INTERVAL 1 MONTH),"
    " toStartOfInterval(toDateTime('2024-05-06 07:08:09'), toIntervalHour(6)) IS NOT NULL",
    "formatDateTime(toDateTime('2024-05-06 07:08:09'), '%Y-%m-%d %H:%i:%S'), formatDateTime(toDate('2024-05-06'),"
    " '%d/%m/%y'), formatDateTime(toDateTime('2024-05-06 17:08:09'), '%F %T')",
    "JSONExtractString({j}, 's'), JSONExtractString({j}, 'a', 'b'), JSONExtractString({j}, 'zz'),"
    " JSONExtractString({j}, 'a', 'n'), JSONExtractString('nonsense', 'a')",
    "JSONExtractInt({j}, 'a', 'n'), JSONExtractInt({j}, 'zz'), JSONExtractFloat({j}, 'a', 'f'),"
    " JSONExtractBool({j}, 'a', 't'), JSONExtractInt({j}, 'a', 'l', 2), JSONExtractInt({j}, 'a', 'l', -1)",
    "JSONExtractRaw({j}, 'a', 'l'), JSONHas({j}, 'a', 'b'), JSONHas({j}, 'q'), JSONLength({j}, 'a', 'l'),"
    " JSONLength({j}), JSONExtractArrayRaw({j}, 'a', 'l')",
    "JSONExtract({j}, 'a', 'n', 'Int64'), JSONExtract({j}, 's', 'String'), JSONExtract({j}, 'a', 'l', 'Array(Int64)')",
    "simpleJSONExtractString({j}, 's'), simpleJSONHas({j}, 's'), simpleJSONExtractInt({j}, 'zz')",
    "arrayMap(x -> x * 2, [1, 2]), arrayMap((x, y) -> x + y, [1, 2], [10, 20]), arrayFilter(x -> x > 1, [1, 2, 3])",
    "arrayExists(x -> x = 2, [1, 2]), arrayAll(x -> x > 0, [1, 2]), arrayCount(x -> x > 1, [1, 2, 3]),"
    " arrayFirst(x -> x > 1, [1, 2, 3]), arraySum(x -> x * 2, [1, 2]), arraySum([1, 2, 3])",
    "arrayReduce('sum', [1, 2, 3]), arrayReduce('max', [1, 5])",
    r"extract('number 42!', '\\d+'), extract('a=5;b', 'a=(\\d+)')",
    "map('a', 1, 'b', 2)['b'], mapKeys(map('a', 1)), mapKeys(mapFilter((k, v) -> k <> 'a' AND v > 2,"
    " map('a', 3, 'b', 2, 'c', 3)))",
]
"""Expressions that both are asked; `{j}` is a JSON document."""
