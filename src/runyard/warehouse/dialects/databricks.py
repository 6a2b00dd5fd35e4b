"""Databricks' statements about tables and settings, of which sqlglot knows the first word at most.

Source: Databricks 'SQL language reference', auxiliary statements and Delta Lake statements. What only tunes how a table
lies on disk does nothing here but ask that the table exists; what has no counterpart is refused by its name.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from sqlglot import exp
from sqlglot.dialects.databricks import Databricks
from sqlglot.tokenizer_core import TokenType

from runyard.warehouse.dialects import remarks
from runyard.warehouse.dialects.places import Unsayable

_NAME = r"((?:`[^`]+`|\w+)(?:\s*\.\s*(?:`[^`]+`|\w+)){0,2})"
_IN = rf"(?:\s+(?:IN|FROM)\s+{_NAME})?"
_LIKE = r"(?:\s+(?:LIKE\s+)?'([^']*)')?"
# In two parts, for no statement may name it.
_NOT_SHOWN = "('information_schema', 'pg_catalog', '_run' || 'yard')"
_KINDS = (("varchar", "string"), ("integer", "int"), ("timestamp with time zone", "timestamp"))


def _table(text: str) -> str:
    """A name without its catalog, quoted as DuckDB wants it."""
    table = exp.to_table(text, dialect=Databricks)
    parts = [part for part in (table.db, table.name) if part]
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _last(name: str | None) -> str:
    """The schema that a name ends in, as a value; the present one without a name."""
    return _literal(exp.to_table(name, dialect=Databricks).name) if name else "current_schema()"


def _matching(column: str, pattern: str | None) -> str:
    """`LIKE 'a*|b'`: stars and alternatives."""
    if pattern is None:
        return ""
    regex = "|".join(".*".join(map(re.escape, one.strip().split("*"))) for one in pattern.split("|"))
    return f" AND regexp_full_match(lower({column}), {_literal(regex.lower())})"


def _untouched(found: re.Match[str]) -> str:
    return f"SELECT * FROM {_table(found[1])} LIMIT 0"


def _tables(found: re.Match[str]) -> str:
    which = f"table_schema = {_last(found[1])} AND table_schema NOT IN {_NOT_SHOWN}{_matching('table_name', found[2])}"
    shown = 'table_schema AS "database", table_name AS "tableName", false AS "isTemporary"'
    return f"SELECT {shown} FROM information_schema.tables WHERE {which} ORDER BY table_name"


def _views(found: re.Match[str]) -> str:
    which = f"table_schema = {_last(found[1])} AND table_type = 'VIEW'{_matching('table_name', found[2])}"
    shown = 'table_schema AS "namespace", table_name AS "viewName", false AS "isTemporary"'
    return f"SELECT {shown} FROM information_schema.tables WHERE {which} ORDER BY table_name"


def _schemas(found: re.Match[str]) -> str:
    which = f"catalog_name = current_database() AND schema_name NOT IN {_NOT_SHOWN}"
    matching = _matching("schema_name", found[1])
    columns = 'schema_name AS "databaseName"'
    return f"SELECT {columns} FROM information_schema.schemata WHERE {which}{matching} ORDER BY schema_name"


def _catalogs(found: re.Match[str]) -> str:
    return "SELECT current_database() AS catalog"


def _columns(found: re.Match[str]) -> str:
    return f"SELECT column_name AS col_name FROM (DESCRIBE {_table(found[1])})"


def _partitions(found: re.Match[str]) -> str:
    return f"SELECT {remarks.SHOW} * FROM {_table(found[1])} LIMIT 0"


def _describe(found: re.Match[str]) -> str:
    return _described(_table(found[1]), remarks.DESCRIBE)


def _described(what: str, remark: str = "") -> str:
    kind = "lower(column_type)"
    for ours, theirs in _KINDS:
        kind = f"replace({kind}, '{ours}', '{theirs}')"
    columns = f"column_name AS col_name, {kind} AS data_type, CAST(NULL AS VARCHAR) AS comment"
    return f"SELECT {remark} {columns} FROM (DESCRIBE {what})"


def _setting(found: re.Match[str]) -> str:
    return f"SELECT {_literal(found[1])} AS key, {_literal(found[2].strip())} AS value"


def _refused(found: re.Match[str]) -> str:
    raise Unsayable(f"{' '.join(found[1].upper().split())} has no counterpart here")


_WRITTEN: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (rf"OPTIMIZE\s+{_NAME}(?:\s+WHERE\s.+|\s+ZORDER\s+BY\s.+|\s+FULL)?", _untouched),
    (rf"VACUUM\s+{_NAME}(?:\s+RETAIN\s+[\d.]+\s+HOURS)?(?:\s+DRY\s+RUN)?", _untouched),
    (rf"ANALYZE\s+TABLE\s+{_NAME}\s+(?:PARTITION\s*\(.+\)\s+)?COMPUTE\s.+", _untouched),
    (rf"REFRESH\s+(?:TABLE\s+)?{_NAME}", _untouched),
    (rf"(?:CACHE\s+(?:LAZY\s+)?|UNCACHE\s+|MSCK\s+REPAIR\s+)TABLE\s+{_NAME}", _untouched),
    (rf"ALTER\s+TABLE\s+{_NAME}\s+(?:SET|UNSET)\s+TBLPROPERTIES\s.*", _untouched),
    (rf"ALTER\s+TABLE\s+{_NAME}\s+CLUSTER\s+BY\s.+", _untouched),
    (r"SET\s+((?:spark|delta)\.[\w.]+)\s*=\s*(.+)", _setting),
    (rf"SHOW\s+TABLES{_IN}{_LIKE}", _tables),
    (rf"SHOW\s+VIEWS{_IN}{_LIKE}", _views),
    (rf"SHOW\s+(?:SCHEMAS|DATABASES)(?:\s+(?:IN|FROM)\s+\w+)?{_LIKE}", _schemas),
    (r"SHOW\s+CATALOGS", _catalogs),
    (rf"SHOW\s+PARTITIONS\s+{_NAME}", _partitions),
    (rf"SHOW\s+COLUMNS\s+(?:IN|FROM)\s+{_NAME}", _columns),
    (
        r"((?:DESCRIBE|DESC)\s+(?:HISTORY|DETAIL|SCHEMA|DATABASE|CATALOG|FUNCTION|VOLUME|SHARE|CONNECTION|CREDENTIAL)"
        r"|SHOW\s+(?:CREATE\s+TABLE|\w+)|RESTORE|GRANT|REVOKE|DENY|DECLARE|EXECUTE\s+IMMEDIATE|CONVERT\s+TO\s+DELTA"
        r"|SET\s+(?:TIME\s+ZONE|VAR(?:IABLE)?|\w[\w.]*)|RESET|CACHE\s+SELECT|CLEAR\s+CACHE|SYNC|REORG\s+TABLE"
        r"|CREATE\s+(?:VOLUME|CATALOG|CONNECTION|SHARE|RECIPIENT|STREAMING\s+TABLE|MATERIALIZED\s+VIEW)"
        r"|ALTER\s+TABLE\s+\S+\s+(?:SET|UNSET)\s+\w+|LIST|PUT|GET|REMOVE|ADD\s+(?:JAR|FILE|ARCHIVE))\b.*",
        _refused,
    ),
)
_RULES = [(re.compile(pattern, re.IGNORECASE | re.DOTALL), write) for pattern, write in _WRITTEN]
_QUERY = re.compile(r"(?:DESCRIBE|DESC)\s+QUERY\s+(.+)", re.IGNORECASE | re.DOTALL)
_DESCRIBE = re.compile(
    rf"(?:DESCRIBE|DESC)\s+(?:TABLE\s+)?(?:(?:EXTENDED|FORMATTED)\s+)?{_NAME}(?:\s+AS\s+JSON)?", re.IGNORECASE
)


def statement(text: str, translate: Callable[[str], str]) -> str | None:
    """DuckDB's text for such a statement; None for any other. `translate` is for the queries in them."""
    for pattern, write in _RULES:
        if (found := pattern.fullmatch(text)) is not None:
            return write(found)
    if (found := _QUERY.fullmatch(text)) is not None:
        return _described(translate(found[1]))
    found = _DESCRIBE.fullmatch(text)
    return _describe(found) if found is not None else None


def pieces(text: str) -> list[tuple[int, str]]:
    """The statements of a text, each with where it begins; comments around them are left out."""
    found, tokens = [], [*Databricks().tokenize(text)]
    begin: int | None = None
    end = 0
    for token in tokens:
        if token.token_type is TokenType.SEMICOLON:
            if begin is not None:
                found.append((begin, text[begin : end + 1]))
            begin = None
            continue
        begin, end = token.start if begin is None else begin, token.end
    if begin is not None:
        found.append((begin, text[begin : end + 1]))
    return found
