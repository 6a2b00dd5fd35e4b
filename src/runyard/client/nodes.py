"""YAML as checked values that know where they stand, so that every refusal names its line and column.

The YAML read here is the plain part that people write by hand: `yes`, `NO`, `010`, `10:30` and dates stay
text; only `true`, `false`, `null` and numbers as JSON writes them are more than text. Tags and merge keys
are refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from runyard.client.words import nearest_word
from runyard.core.errors import Code, RunyardError

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 50
MAX_NODES = 200_000
_PLAIN_TAGS = frozenset({"tag:yaml.org,2002:str", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map", "!", None})
_WORDS = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_WORDS_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d))+", re.ASCII)
_DURATION_PART = re.compile(r"([0-9.]+)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"([0-9]{1,15})\s*(B|[KMGT]i?B)?", re.ASCII | re.IGNORECASE)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


class Place(NamedTuple):
    """A position in a file; both count from 1."""

    line: int
    column: int


class JobFileError(RunyardError):
    """A job file that cannot be used. The text begins with `file:line:column`; `problem` is the rest."""

    def __init__(self, source: str, place: Place, problem: str, *, field: str | None = None) -> None:
        super().__init__(Code.INVALID, f"{source}:{place.line}:{place.column}: {problem}", field=field)
        self.source = source
        self.line = place.line
        self.column = place.column
        self.problem = problem


class Document:
    """One YAML document: what it is called, where its neighbours lie, and where each field was found."""

    def __init__(self, source: str, folder: Path | None) -> None:
        self.source = source
        self.folder = folder
        self.places: dict[str, Place] = {}
        self._nodes_left = MAX_NODES

    def spend(self, node: yaml.Node) -> None:
        """Counts what is read, so that aliases of aliases cannot grow a small file without bound."""
        self._nodes_left -= 1 + (len(node.value) if isinstance(node.value, list) else 0)
        if self._nodes_left < 0:
            raise JobFileError(self.source, place_of(node), f"the file unfolds to more than {MAX_NODES} values")

    def nearest(self, field: str) -> Place:
        """Where a field stands, or the closest thing that holds it: `tasks[1].needs[0]` -> `tasks[1]` ..."""
        while field not in self.places:
            cut = max(field.rfind("."), field.rfind("["))
            if cut < 0:
                return self.places.get("", Place(1, 1))
            field = field[:cut]
        return self.places[field]


def place_of(node: yaml.Node) -> Place:
    """Where a node begins."""
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)


class Field(NamedTuple):
    """How one named entry of a mapping is read, and what the core calls it (empty: the same)."""

    read: Callable[[Item], Any]
    core: str = ""


class Item:
    """One YAML node on its way to a value. `path` is the core's name for it, such as `tasks[1].needs[0]`."""

    __slots__ = ("depth", "document", "node", "path")

    def __init__(self, document: Document, node: yaml.Node, path: str = "", depth: int = 0) -> None:
        self.document = document
        self.node = node
        self.path = path
        self.depth = depth
        document.places[path] = place_of(node)
        document.spend(node)
        if depth > MAX_DEPTH:
            raise self.error(f"nested deeper than {MAX_DEPTH} levels")
        if node.tag not in _PLAIN_TAGS:
            raise self.error(f"the tag {node.tag!r} is not used in job files; put text in quotes instead")

    def error(self, problem: str) -> JobFileError:
        """A refusal at this place, to be raised by the caller."""
        return JobFileError(self.document.source, place_of(self.node), problem, field=self.path or None)

    def wanted(self, what: str) -> JobFileError:
        """A refusal that says what belongs here and what was found."""
        name = self.path.rpartition(".")[2] or "the document"
        return self.error(f"{name} must be {what}; found {self.found()}")

    def found(self) -> str:
        """What stands here, in words."""
        if isinstance(self.node, yaml.MappingNode):
            return "a mapping"
        if isinstance(self.node, yaml.SequenceNode):
            return "a list"
        shown = self.node.value if len(self.node.value) <= 60 else self.node.value[:57] + "..."
        return "nothing" if self.is_null() else repr(shown)

    def inside(self, path: str, node: yaml.Node) -> Item:
        """A node below this one."""
        return Item(self.document, node, path, self.depth + 1)

    # --- kinds of node ------------------------------------------------------------------------------------

    def is_text(self) -> bool:
        """Whether it is a scalar that is not null."""
        return isinstance(self.node, yaml.ScalarNode) and not self.is_null()

    def is_null(self) -> bool:
        """Whether nothing is written here, or `null`."""
        return self.is_plain() and self.node.value in _WORDS

    def is_plain(self) -> bool:
        """Whether it is a scalar without quotes."""
        return isinstance(self.node, yaml.ScalarNode) and self.node.style is None

    def is_mapping(self) -> bool:
        """Whether it is a mapping."""
        return isinstance(self.node, yaml.MappingNode)

    def is_list(self) -> bool:
        """Whether it is a list."""
        return isinstance(self.node, yaml.SequenceNode)

    # --- structures ---------------------------------------------------------------------------------------

    def entries(self, what: str = "a mapping") -> dict[str, yaml.Node]:
        """The entries of a mapping by name; a name that stands twice is refused."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self.wanted(what)
        entries: dict[str, yaml.Node] = {}
        for key, value in self.node.value:
            name = self.inside(self.path, key).text("a name")
            if name == "<<" or name in entries:
                problem = "merge keys (<<) are not used in job files" if name == "<<" else f"{name!r} stands here twice"
                raise JobFileError(self.document.source, place_of(key), problem, field=self.path or None)
            entries[name] = value
        self.document.places[self.path] = place_of(self.node)
        return entries

    def elements(self, what: str = "a list") -> list[Item]:
        """The elements of a list."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.wanted(what)
        return [self.inside(f"{self.path}[{index}]", node) for index, node in enumerate(self.node.value)]

    def fields(self, table: Mapping[str, Field], owner: str) -> dict[str, Any]:
        """The entries of a mapping, each read as the table says; unknown names are refused with the nearest."""
        values: dict[str, Any] = {}
        for name, node in self.entries(f"a mapping with {', '.join(list(table)[:6])} ...").items():
            if name not in table:
                key = next(key for key, value in self.node.value if key.value == name)
                problem = f"{owner} has no field {name!r}{nearest_word(name, table)}"
                raise JobFileError(self.document.source, place_of(key), problem, field=self.path or None)
            field = table[name]
            core = field.core or name
            path = f"{self.path}.{core}" if self.path else core
            values[core] = field.read(self.inside(path, node))
        return values

    # --- values -------------------------------------------------------------------------------------------

    def text(self, what: str = "text") -> str:
        """A scalar as it is written: `2013` and `true` are text here."""
        if not self.is_text():
            raise self.wanted(what)
        try:
            self.node.value.encode()
        except UnicodeEncodeError:
            raise self.error("the text holds half of a surrogate pair, which is no character") from None
        return str(self.node.value)

    def value(self) -> Any:
        """Any JSON value."""
        if self.is_mapping():
            return {name: self.inside(f"{self.path}.{name}", node).value() for name, node in self.entries().items()}
        if self.is_list():
            return [element.value() for element in self.elements()]
        return self.scalar()

    def scalar(self) -> Any:
        """Text, a number, true, false or null."""
        if self.is_null():
            return None
        text = self.text()
        if not self.is_plain():
            return text
        if text in _WORDS_BOOL:
            return _WORDS_BOOL[text]
        match = _NUMBER.fullmatch(text)
        return self._number(text, whole=not (match[2] or match[3])) if match else text

    def _number(self, text: str, *, whole: bool) -> int | float:
        value = float(text)
        if not math.isfinite(value) or (whole and not -(2**63) <= value < 2**63):
            raise self.error(f"the number {text[:30]} is too large; put it in quotes to mean text")
        return int(text) if whole else value

    def integer(self) -> int:
        """A whole number."""
        value = self.scalar() if self.is_text() else None
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.wanted("a whole number")
        return value

    def number(self) -> float:
        """A number."""
        value = self.scalar() if self.is_text() else None
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise self.wanted("a number")
        return float(value)

    def boolean(self) -> bool:
        """`true` or `false`."""
        value = self.scalar() if self.is_text() else None
        if not isinstance(value, bool):
            raise self.wanted("true or false")
        return value

    def duration(self) -> float:
        """Seconds, from a number of them or `500ms`, `90s`, `5m`, `2h`, `1d`, `1h30m`."""
        value = self.scalar() if self.is_text() else None
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        if not isinstance(value, str) or not _DURATION.fullmatch(value):
            raise self.wanted("a number of seconds or a time such as 90s, 5m or 2h")
        return sum(float(count) * _SECONDS[unit] for count, unit in _DURATION_PART.findall(value))

    def size(self) -> int:
        """Bytes, from a number of them or `64MB` (64 * 1024**2)."""
        match = _SIZE.fullmatch(self.text()) if self.is_text() else None
        if match is None:
            raise self.wanted("a number of bytes or a size such as 64MB or 2GB")
        return int(match[1]) * int(1024 ** _POWERS[(match[2] or "").upper().rstrip("B").rstrip("I")])

    def choice(self, *words: str) -> str:
        """One of some words."""
        text = self.text(f"one of {', '.join(words)}")
        if text not in words:
            name = self.path.rpartition(".")[2]
            raise self.error(f"{name} cannot be {text!r}{nearest_word(text, words)}")
        return text

    def texts(self) -> list[str]:
        """A list of texts."""
        return [element.text() for element in self.elements("a list of texts")]

    def text_map(self) -> dict[str, str]:
        """A mapping of names to texts."""
        return {name: self.inside(f"{self.path}.{name}", node).text() for name, node in self.entries().items()}

    def value_map(self) -> dict[str, Any]:
        """A mapping of names to any values."""
        return {name: self.inside(f"{self.path}.{name}", node).value() for name, node in self.entries().items()}
