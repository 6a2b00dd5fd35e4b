"""HTML as values: whatever is not `Markup` is escaped where it is put in, so that nobody can forget it."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

VOID = frozenset({"input", "link", "meta"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = str | int | None | Iterable[Markup]


def element(tag: str, /, *children: Child, **attributes: str | int | None) -> Markup:
    """One element. Attributes that are None are left out; `class_` and `data_seq` read `class` and `data-seq`."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if tag in VOID:
        return Markup(f"<{tag}{given}>")
    return Markup(f"<{tag}{given}>{''.join(map(_inner, children))}</{tag}>")


def joined(*children: Child) -> Markup:
    """Several one after the other."""
    return Markup("".join(map(_inner, children)))


def _inner(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    if isinstance(child, str | int):
        return escape(str(child))
    return "".join(map(_inner, child))
