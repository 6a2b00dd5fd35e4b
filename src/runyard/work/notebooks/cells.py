"""A notebook's text as cells.

The source format is text that a version control system can show: a first line that says `Databricks notebook source`,
`COMMAND ----------` between cells, and `MAGIC` before each line of a cell in another language than the notebook's
(Databricks documentation, "Export and import Databricks notebooks"). A .ipynb file is JSON (Jupyter's nbformat 4).
"""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

Kind = Literal["python", "sql", "shell", "markdown", "run", "pip", "files"]

_COMMENT = {"python": "#", "sql": "--", "shell": "#"}
_KINDS: dict[str, Kind] = {
    "python": "python",
    "py": "python",
    "sql": "sql",
    "sh": "shell",
    "bash": "shell",
    "shell": "shell",
    "md": "markdown",
    "md-sandbox": "markdown",
    "markdown": "markdown",
    "run": "run",
    "pip": "pip",
    "fs": "files",
}
_ELSEWHERE = {"scala": "Scala", "r": "R"}
_MAGIC = re.compile(r"%{1,2}([A-Za-z][\w-]*)(?:[ \t]+(.*))?")
_TITLE = re.compile(r"DBTITLE \d+,(.*)")
FOREIGN = "_runyard_line"
"""The name of the function that lines which are not Python are turned into calls of."""
_FOREIGN_LINE = re.compile(r"^(\s*)(!|%)(.*)$")


class BadNotebook(Exception):
    """The text is no notebook that can run; the message is one sentence."""


class Cell(msgspec.Struct, kw_only=True):
    """One cell; `source` without its magic word."""

    kind: Kind
    source: str
    title: str = ""
    shown: str = ""
    """The source as its author sees it."""


def read(text: str, form: str, language: str) -> list[Cell]:
    """The cells of a notebook; raises `BadNotebook`."""
    parts = _jupyter(text) if form == "jupyter" else _source(text, language)
    cells = [_cell(body, title, kind) for body, title, kind in parts if body.strip()]
    for number, cell in enumerate(cells, 1):
        if cell.kind not in _KINDS.values():
            name = _ELSEWHERE.get(cell.kind, f"%{cell.kind}")
            raise BadNotebook(f"Cell {number} is written in {name}, which cannot run here; Python, SQL and shell can.")
    return cells


def _source(text: str, language: str) -> list[tuple[str, str, Kind]]:
    comment = re.escape(_COMMENT[language])
    lines = text.lstrip("\ufeff").splitlines()
    if lines and re.fullmatch(rf"{comment}\s*Databricks notebook source\s*", lines[0]):
        lines = lines[1:]
    parts, body, title = [], list[str](), ""
    kind: Kind = _KINDS[language]
    for line in [*lines, None]:
        if line is None or re.fullmatch(rf"{comment}\s*COMMAND -+\s*", line):
            parts.append(("\n".join(_unmarked(body, comment)).strip("\n"), title, kind))
            body, title = [], ""
        elif found := re.fullmatch(rf"{comment}\s*{_TITLE.pattern}", line):
            title = found.group(1).strip()
        else:
            body.append(line)
    return parts


def _unmarked(lines: list[str], comment: str) -> list[str]:
    mark = re.compile(rf"{comment}\s*MAGIC ?(.*)")
    return [found.group(1) if (found := mark.fullmatch(line)) else line for line in lines]


def _jupyter(text: str) -> list[tuple[str, str, Kind]]:
    try:
        book = msgspec.json.decode(text)
        cells = book["cells"]
        parts = [(_text(cell["source"]), "", cell["cell_type"]) for cell in cells]
    except (msgspec.DecodeError, UnicodeError, KeyError, TypeError) as error:
        raise BadNotebook(f"This is no .ipynb file of nbformat 4: {type(error).__name__}: {error}.") from None
    kinds: dict[str, Kind] = {"code": "python", "markdown": "markdown"}
    return [(body, title, kinds[kind]) for body, title, kind in parts if kind in kinds]


def _text(source: Any) -> str:
    return source if isinstance(source, str) else "".join(source)


def _cell(body: str, title: str, kind: Kind) -> Cell:
    first, _, rest = body.lstrip("\n").partition("\n")
    found = _MAGIC.fullmatch(first.strip())
    word = found.group(1).lower() if found else ""
    if kind == "markdown" or found is None or not (word in _KINDS or word in _ELSEWHERE):
        return Cell(kind=kind, source=body, title=title, shown=body)
    asked: Any = _KINDS.get(word, word)
    if asked == "pip" and rest.strip() and kind == "python":  # the other lines are Python
        return Cell(kind=kind, source=body, title=title, shown=body)
    source = "\n".join(filter(None, (found.group(2), rest)))
    return Cell(kind=asked, source=source, title=title, shown=body)


def as_python(source: str) -> str:
    """The source with lines such as `!ls` and `%pip install x` turned into calls; unchanged if it is Python."""
    try:
        compile(source, "cell", "exec", dont_inherit=True, flags=0x2000 | 0x400)  # top-level await; only the tree
    except SyntaxError:
        return "\n".join(_called(line) for line in source.split("\n"))
    return source


def _called(line: str) -> str:
    found = _FOREIGN_LINE.match(line)
    if found is None:
        return line
    return f"{found.group(1)}{FOREIGN}({found.group(2) + found.group(3)!r})"


def arguments(text: str) -> tuple[str, dict[str, str]]:
    """The path and the values of a `%run PATH $name="value"` line."""
    import shlex

    words = shlex.split(text.strip())
    if not words:
        raise BadNotebook("%run names no notebook: write %run ./path.")
    values = {}
    for word in words[1:]:
        name, equals, value = word.lstrip("$").partition("=")
        if not equals:
            raise BadNotebook(f'%run takes values as $name="value"; found {word!r}.')
        values[name] = value
    return words[0], values
