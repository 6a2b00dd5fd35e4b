"""Data Source schemas: "`a` Int32 `json:$.a`, b Nullable(String) DEFAULT 'x'", parsed here to columns and SQL types.

Pure text work. Source of the grammar: Tinybird reference, 'Datasource files' and 'Data types'.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from runyard.core.errors import RunyardError, invalid

_NAME = re.compile(r"`((?:[^`\\]|\\.)+)`|\"([^\"]+)\"|([A-Za-z_][A-Za-z0-9_.]*)")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PATH = re.compile(r"`\s*(json|header):\s*([^`]*)`", re.IGNORECASE)
_CODEC = re.compile(r"CODEC\s*\(((?:[^()]|\([^()]*\))*)\)", re.IGNORECASE)
_DEFAULT = re.compile(r"\b(DEFAULT|MATERIALIZED|ALIAS)\b\s*(.+)$", re.IGNORECASE | re.DOTALL)

PLAIN: dict[str, str] = {
    "int8": "TINYINT", "int16": "SMALLINT", "int32": "INTEGER", "int64": "BIGINT", "int128": "HUGEINT",
    "uint8": "UTINYINT", "uint16": "USMALLINT", "uint32": "UINTEGER", "uint64": "UBIGINT", "uint128": "UHUGEINT",
    "float32": "FLOAT", "float64": "DOUBLE", "string": "VARCHAR", "uuid": "UUID", "date": "DATE", "date32": "DATE",
    "datetime": "TIMESTAMP", "datetime32": "TIMESTAMP", "bool": "BOOLEAN", "boolean": "BOOLEAN", "json": "JSON",
    "ipv4": "VARCHAR", "ipv6": "VARCHAR",
}  # fmt: skip
"""ClickHouse types without parameters (lower case) and the warehouse's types for them."""
_DECIMALS = {"decimal32": 9, "decimal64": 18, "decimal128": 38}
_TEXTS = {"enum8", "enum16", "fixedstring", "enum"}

BACK: dict[str, str] = {
    "TINYINT": "Int8", "SMALLINT": "Int16", "INTEGER": "Int32", "BIGINT": "Int64", "HUGEINT": "Int128",
    "UTINYINT": "UInt8", "USMALLINT": "UInt16", "UINTEGER": "UInt32", "UBIGINT": "UInt64", "UHUGEINT": "UInt128",
    "FLOAT": "Float32", "DOUBLE": "Float64", "VARCHAR": "String", "UUID": "UUID", "DATE": "Date",
    "TIMESTAMP": "DateTime", "TIMESTAMP WITH TIME ZONE": "DateTime", "TIMESTAMP_NS": "DateTime64(9)",
    "TIMESTAMP_MS": "DateTime64(3)", "TIMESTAMP_S": "DateTime", "BOOLEAN": "Bool", "JSON": "String", "BLOB": "String",
    "TIME": "String", "INTERVAL": "String", '"NULL"': "Nullable(Nothing)", "NULL": "Nullable(Nothing)",
}  # fmt: skip


class Column(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One column; `type` is ClickHouse's, `sql` the warehouse's."""

    name: str
    type: str
    sql: str
    nullable: bool = False
    default: str = ""
    codec: str = ""
    jsonpath: str = ""


def parse(text: str) -> list[Column]:
    """The columns of a schema; raises `invalid` with the place."""
    columns: list[Column] = []
    for piece in split(text):
        if piece.strip():
            columns.append(_column(piece.strip()))
    if not columns:
        raise invalid("The schema names no column. Write: name Type, name Type.", field="schema")
    seen: set[str] = set()
    for column in columns:
        if column.name.lower() in seen:
            raise invalid(f"The schema names the column {column.name!r} twice.", field="schema")
        seen.add(column.name.lower())
    return columns


def split(text: str, mark: str = ",") -> list[str]:
    """The pieces between commas that stand outside brackets and quotes."""
    pieces, depth, start, quote, at = [], 0, 0, "", 0
    while at < len(text):
        letter = text[at]
        if quote:
            if letter == "\\" and quote != "`":
                at += 1
            elif letter == quote:
                quote = ""
        elif letter in "`'\"":
            quote = letter
        elif letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
        elif letter == mark and depth == 0:
            pieces.append(text[start:at])
            start = at + 1
        at += 1
    if quote or depth:
        raise invalid(f"The schema has an open {quote or 'bracket'}: {text[:80]!r}.", field="schema")
    return [*pieces, text[start:]]


def _column(piece: str) -> Column:
    found = _NAME.match(piece)
    if found is None:
        raise invalid(f"A column of the schema must begin with its name; this one is {piece!r}.", field="schema")
    name = found.group(1) or found.group(2) or found.group(3)
    rest = piece[found.end() :].strip()
    if not rest:
        raise invalid(f"The column {name!r} has no type. Write: {name} String.", field="schema")
    kind, rest = _type_text(rest, name)
    path = _PATH.search(rest)
    rest = _PATH.sub("", rest)
    codec = _CODEC.search(rest)
    rest = _CODEC.sub("", rest).strip()
    default = _DEFAULT.search(rest)
    leftover = _DEFAULT.sub("", rest).strip()
    nullable = kind.lower().startswith(("nullable(", "lowcardinality(nullable("))
    if leftover.upper() in ("NULL", "NOT NULL"):
        nullable, leftover = leftover.upper() == "NULL", ""
    if leftover:
        raise invalid(f"The column {name!r} has {leftover!r} after its type, which is not known.", field="schema")
    return Column(
        name=name,
        type=kind,
        sql=sql_type(kind, name),
        nullable=nullable,
        default=default.group(2).strip() if default else "",
        codec=codec.group(1).strip() if codec else "",
        jsonpath=path.group(2).strip() if path and path.group(1).lower() == "json" else "",
    )


def _type_text(rest: str, name: str) -> tuple[str, str]:
    """The type at the beginning of a text, with its brackets, and what comes after it."""
    word = _WORD.match(rest)
    if word is None:
        raise invalid(f"The column {name!r} has no type; found {rest[:40]!r}.", field="schema")
    end = word.end()
    if rest[end:].lstrip()[:1] == "(":
        end = _closing(rest, rest.index("(", end))
    return rest[:end].strip(), rest[end:].strip()


def _closing(text: str, opening: int) -> int:
    depth, quote = 0, ""
    for at in range(opening, len(text)):
        letter = text[at]
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'`":
            quote = letter
        elif letter == "(":
            depth += 1
        elif letter == ")":
            depth -= 1
            if depth == 0:
                return at + 1
    raise invalid(f"A bracket is open in {text[:60]!r}.", field="schema")


def sql_type(kind: str, column: str = "") -> str:
    """The warehouse's type for a ClickHouse type; raises `invalid` for one that it cannot hold."""
    text = kind.strip()
    word = _WORD.match(text)
    name = word.group().lower() if word else ""
    inner = text[text.index("(") + 1 : -1] if text.endswith(")") and "(" in text else None
    if inner is None and name in PLAIN:
        return PLAIN[name]
    found = _wrapped(name, split(inner), column) if inner is not None else None
    if found is None:
        raise unknown_type(kind, column)
    return found


def unknown_type(kind: str, column: str) -> RunyardError:
    """A type that the warehouse has no place for."""
    where = f" of column {column!r}" if column else ""
    return invalid(f"The type {kind!r}{where} is not one that this server can store.", field="schema")


def _wrapped(name: str, parts: list[str], column: str) -> str | None:
    if name in ("nullable", "lowcardinality"):
        return sql_type(parts[0], column)
    if name in ("datetime", "datetime32"):
        return "TIMESTAMP"
    if name == "datetime64":
        return "TIMESTAMP_NS" if int(parts[0]) > 6 else "TIMESTAMP"
    if name in ("decimal", "numeric"):
        scale = int(parts[1]) if len(parts) > 1 else 0
        return f"DECIMAL({min(int(parts[0]), 38)}, {scale})"
    if name in _DECIMALS:
        return f"DECIMAL({_DECIMALS[name]}, {int(parts[0])})"
    if name in _TEXTS:
        return "VARCHAR"
    if name == "array":
        return f"{sql_type(parts[0], column)}[]"
    if name == "map":
        return f"MAP({sql_type(parts[0], column)}, {sql_type(parts[1], column)})"
    if name in ("tuple", "nested"):
        return _struct(parts, column) + ("[]" if name == "nested" else "")
    if name == "simpleaggregatefunction":
        return sql_type(parts[1], column)
    if name == "aggregatefunction":
        return aggregate_type(parts, column)
    return "JSON" if name == "json" else None


def _struct(parts: list[str], column: str) -> str:
    fields = []
    for place, part in enumerate(parts, 1):
        words = part.strip().split(None, 1)
        named = len(words) == 2 and "(" not in words[0]
        name, kind = (words[0].strip("`"), words[1]) if named else (str(place), part)
        fields.append(f'"{name}" {sql_type(kind, column)}')
    return f"STRUCT({', '.join(fields)})"


def aggregate_type(parts: list[str], column: str) -> str:
    """How a partial state is kept: a plain value, as the -State functions of the warehouse give it."""
    function = parts[0].partition("(")[0].strip()
    function = function.removesuffix("If")
    kinds = [sql_type(part, column) for part in parts[1:]]
    first = kinds[0] if kinds else "BIGINT"
    if function == "count":
        return "BIGINT"
    if function in ("sum", "avg"):
        total = "DOUBLE" if first in ("FLOAT", "DOUBLE") else "HUGEINT"
        total = re.sub(r"DECIMAL\(\d+", "DECIMAL(38", first) if first.startswith("DECIMAL") else total
        return total if function == "sum" else f"STRUCT(s {total}, c BIGINT)"
    if function in ("min", "max", "any", "anyLast"):
        return first
    if function in ("argMin", "argMax") and len(kinds) == 2:
        return f"STRUCT(v {kinds[0]}, k {kinds[1]})"
    if function.startswith(("uniq", "groupArray", "groupUniqArray", "quantile", "median")):
        return f"{first}[]"
    raise invalid(f"The state of {function!r}, of column {column!r}, cannot be kept here.", field="schema")


def clickhouse_type(sql: str) -> str:
    """The ClickHouse name of a warehouse type."""
    text = sql.strip()
    if text in BACK:
        return BACK[text]
    if text.endswith("[]"):
        return f"Array({clickhouse_type(text[:-2])})"
    if text.startswith("DECIMAL"):
        return text.replace("DECIMAL", "Decimal").replace(",", ", ").replace("  ", " ")
    if text.startswith("MAP("):
        key, value = split(text[4:-1])
        return f"Map({clickhouse_type(key)}, {clickhouse_type(value)})"
    if text.startswith("STRUCT("):
        fields = [part.strip() for part in split(text[7:-1])]
        return f"Tuple({', '.join(_field(field) for field in fields)})"
    return "String"


def _field(text: str) -> str:
    named = struct_fields([text])
    return f"{named[0][0]} {clickhouse_type(named[0][1])}" if named else "String"


def struct_fields(parts: list[str]) -> list[tuple[str, str]]:
    """Names and types of a STRUCT's fields, as DuckDB writes them."""
    found = [re.match(r'"((?:[^"]|"")*)"\s+(.*)|(\S+)\s+(.*)', part.strip(), re.DOTALL) for part in parts]
    return [((one.group(1) or one.group(3)).replace('""', '"'), one.group(2) or one.group(4)) for one in found if one]


def sql_schema(columns: list[dict[str, Any]]) -> str:
    """The schema as one text, as `schema.sql_schema` shows it."""
    return ", ".join(
        f"`{column['name']}` {column['type']}"
        + (f" `json:{column['jsonpath']}`" if column.get("jsonpath") else "")
        + (f" DEFAULT {column['default_value']}" if column.get("default_value") else "")
        for column in columns
    )
