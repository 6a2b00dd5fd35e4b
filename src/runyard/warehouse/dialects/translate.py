"""One text through sqlglot: parsed in its own dialect, rewritten, and written as DuckDB's SQL."""

from __future__ import annotations

import logging
import re
from functools import partial
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError, TokenError

from runyard.core.actions import SqlDialect
from runyard.warehouse.dialects import partitioned, remarks
from runyard.warehouse.dialects.databricks import pieces
from runyard.warehouse.dialects.languages import LANGUAGES, Language
from runyard.warehouse.dialects.places import Unsayable, place
from runyard.warehouse.refused import Refused, Unsaid

_SHOW = re.compile(r"TABLES(?:\s+(?:IN|FROM)\s+[`\"]?(\w+)[`\"]?)?", re.IGNORECASE)

# What it would tell a log is told to the user, as an error.
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)


def translate(text: str, dialect: SqlDialect) -> str:
    """The text as DuckDB's SQL; raises `Refused`."""
    language = LANGUAGES[dialect]
    try:
        own = _own(text, dialect) if language.statement is not None else None
        if own is not None:
            return own
        trees = _parsed(text, language)
        return ";\n".join(_statement(tree, language, text) for tree in trees)
    except Unsayable as error:
        where = f" ({place(text, error.offset)})" if error.offset is not None else ""
        raise Unsaid(f"{language.title} SQL: {error}{where}.") from None
    except Refused:
        raise
    except RecursionError:
        raise Refused(f"{language.title} SQL: the statement is nested too deeply.") from None
    except Exception as error:  # a text that sqlglot stumbles over must not look like a mistake of the warehouse
        raise Refused(f"{language.title} SQL: the statement cannot be analysed ({error}).") from error


def _own(text: str, dialect: SqlDialect) -> str | None:
    """The text if one of its statements is one that the language reads itself, its others as any; None without."""
    read = LANGUAGES[dialect].statement
    assert read is not None
    try:
        found = pieces(text)
    except TokenError:  # told by whoever reads it as a whole
        return None
    written, any_own = [], False
    for begin, piece in found:
        try:
            own = read(piece, lambda query: translate(query, dialect))
        except Unsayable as error:
            error.offset = begin
            raise
        any_own |= own is not None
        written.append((own, piece))
    if not any_own:
        return None
    return ";\n".join(own if own is not None else translate(piece, dialect) for own, piece in written)


def _parsed(text: str, language: Language) -> list[exp.Expression]:
    try:
        trees: list[Any] = sqlglot.parse(text, read=language.reader)
    except ParseError as error:
        first = error.errors[0] if error.errors else {}
        found = f"; found {first['highlight']!r}" if first.get("highlight") else ""
        at = f" (line {first['line']}, column {first['col']})" if first.get("line") else ""
        raise Refused(f"{language.title} SQL: {first.get('description') or 'cannot be read'}{found}{at}.") from None
    except TokenError as error:
        at = f" ({place(text, error.end)})" if error.end is not None else ""
        raise Refused(f"{language.title} SQL: the text cannot be divided into words{at}.") from None
    kept = [tree for tree in trees if tree is not None and not isinstance(tree, exp.Semicolon)]
    if not kept:
        raise Refused("The text holds no SQL statement.")
    return kept


def _statement(tree: exp.Expression, language: Language, text: str) -> str:
    if isinstance(tree, exp.Command):
        return _command(tree, language, text)
    for node in tree.walk():
        if isinstance(node, exp.Command):
            raise _unknown(str(node.this).upper(), text)
    try:
        rewritten = language.rewrite(tree)
        *before, last = [
            str(language.writer().generate(one, copy=False)) for one in (*tree.meta.pop("before", ()), rewritten)
        ]
        if key := partitioned.written(
            tree.meta.pop(partitioned.KEY, []), partial(language.writer().generate, copy=False)
        ):
            last = remarks.partitioned(last, key)
        return ";\n".join([*before, last])
    except SqlglotError as error:
        raise Unsayable(str(error)) from None


def _command(tree: exp.Command, language: Language, text: str) -> str:
    """SHOW TABLES and EXPLAIN, of which sqlglot knows the first word only."""
    rest: Any = tree.args.get("expression") or ""
    word, rest = str(tree.this).upper(), str(rest.name if isinstance(rest, exp.Expression) else rest).strip()
    if word == "EXPLAIN" and rest:
        trees = _parsed(rest, language)
        if len(trees) == 1 and not isinstance(trees[0], exp.Command):
            return f"EXPLAIN {_statement(trees[0], language, rest)}"
    if word == "SHOW" and (match := _SHOW.fullmatch(rest)) is not None:
        return "SHOW TABLES" + (f' FROM "{match[1]}"' if match[1] else "")
    raise _unknown(word, text)


def _unknown(word: str, text: str) -> Unsayable:
    """What sqlglot keeps as text, because it knows the first word only."""
    error = Unsayable(f"{word} statements are not available here")
    found = re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE)
    error.offset = found.start() if found else None
    return error
