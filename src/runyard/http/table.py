"""Finds the route of a request: a tree over path segments, so that more faces do not make a request slower.

A face's paths may overlap another's only in different methods or headers; two routes for the same request
are refused when the table is built.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import unquote

from starlette.types import Scope

from runyard.http.card import Card, Route


class Found(NamedTuple):
    """Where a request goes. `route` is None when the path is unknown (`methods` empty) or the method is."""

    card: Card
    route: Route | None
    params: dict[str, str]
    methods: frozenset[str]


_Leaf = tuple[Card, Route, tuple[str, ...]]


class _Node:
    """One segment's place in the tree."""

    __slots__ = ("leaves", "literal", "param", "rest", "verbs")

    def __init__(self) -> None:
        self.literal: dict[str, _Node] = {}
        self.param: _Node | None = None
        self.rest: _Node | None = None
        self.leaves: dict[str, _Leaf | None] = {}
        """By method: the route that asks for no header, if there is one."""
        self.verbs: dict[str, dict[bytes, dict[bytes, _Leaf]]] = {}
        """By method, name and value of a header: the routes that ask for one, which go first."""

    def find(self, segments: list[str], at: int, values: list[str]) -> _Node | None:
        """The node of these segments; literal segments win over parameters. Fills `values`."""
        if at == len(segments):
            return self if self.leaves else None
        segment = segments[at]
        child = self.literal.get(segment)
        if child is not None and (hit := child.find(segments, at + 1, values)):
            return hit
        if self.param is not None and segment:
            values.append(segment)
            if hit := self.param.find(segments, at + 1, values):
                return hit
            values.pop()
        if self.rest is not None:
            values.append("/".join(segments[at:]))
        return self.rest


class RouteTable:
    """All routes of all faces, built once; nothing that is not in it is ever answered."""

    def __init__(self, cards: Iterable[Card]) -> None:
        self.cards = tuple(cards)
        self._root = _Node()
        self._static: dict[tuple[str, str], Found] = {}
        self._prefixes = sorted(((p, c) for c in self.cards for p in c.prefixes), key=lambda pair: -len(pair[0]))
        for card in self.cards:
            for route in card.routes:
                self._add(card, route)

    def routes(self) -> list[tuple[Card, Route]]:
        """Every route with its face, in the order in which they were declared."""
        return [(card, route) for card in self.cards for route in card.routes]

    def _add(self, card: Card, route: Route) -> None:
        node, names = self._root, []
        for segment in route.path[1:].split("/"):
            node, name = _step(node, segment)
            names += [name] if name else []
        self._hang(node, route, (card, route, tuple(names)))
        plain = node.leaves[route.method]
        if plain is not None and not plain[2] and route.method not in node.verbs:
            self._static[route.method, route.path] = Found(plain[0], plain[1], {}, frozenset(node.leaves))
        else:
            self._static.pop((route.method, route.path), None)

    def _hang(self, node: _Node, route: Route, leaf: _Leaf) -> None:
        if route.header is None:
            taken = node.leaves.get(route.method) is not None
            node.leaves[route.method] = leaf
        else:
            name, value = route.header[0].lower().encode(), route.header[1].encode()
            values = node.verbs.setdefault(route.method, {}).setdefault(name, {})
            taken = value in values
            values[value] = leaf
            node.leaves.setdefault(route.method, None)
        if taken:
            raise ValueError(f"{route.method} {route.path} is declared twice.")

    def find(self, scope: Scope) -> Found:
        """The route of this request, or whose shape its refusal has and which methods would do."""
        method, path = scope["method"], scope["path"]
        if method == "HEAD":
            method = "GET"
        return self._static.get((method, path)) or self._search(method, path, scope)

    def _search(self, method: str, path: str, scope: Scope) -> Found:
        values: list[str] = []
        node = self._root.find(_segments(path, scope), 0, values)
        if node is None:
            return Found(self._owner(path), None, {}, frozenset())
        leaf = _by_header(scope, node.verbs.get(method)) or node.leaves.get(method)
        if leaf is None:
            return Found(self._owner(path), None, {}, frozenset(node.leaves))
        card, route, names = leaf
        return Found(card, route, dict(zip(names, values, strict=True)), frozenset(node.leaves))

    def _owner(self, path: str) -> Card:
        return next((card for prefix, card in self._prefixes if path.startswith(prefix)), self.cards[0])


def _step(node: _Node, segment: str) -> tuple[_Node, str | None]:
    """The child for one segment of a declared path, made when needed, and its parameter's name."""
    if not segment.startswith("{"):
        return node.literal.setdefault(segment, _Node()), None
    name = segment.strip("{}")
    if name.endswith(":path"):
        node.rest = node.rest or _Node()
        return node.rest, name.removesuffix(":path")
    node.param = node.param or _Node()
    return node.param, name


def _segments(path: str, scope: Scope) -> list[str]:
    """Splits before decoding, so that an encoded slash stays inside its segment."""
    raw: bytes = scope.get("raw_path") or b""
    if b"%" not in raw:
        return path[1:].split("/")
    return [unquote(part, errors="replace") for part in raw.decode("latin-1")[1:].split("/")]


def _by_header(scope: Scope, verbs: dict[bytes, dict[bytes, _Leaf]] | None) -> _Leaf | None:
    """The route that asks for a header which the request has: one lookup a header, however many routes there are."""
    if verbs:
        for name, value in scope["headers"]:
            found = verbs.get(name)
            if found is not None and (leaf := found.get(value)) is not None:
                return leaf
    return None
