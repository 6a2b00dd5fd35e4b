"""What would have been right: the names or values that a type knows at a place in a body. For error messages."""

from __future__ import annotations

import re
from typing import Any

from msgspec import inspect

_STEP = re.compile(r"\[(?:\d+|\.\.\.)\]|[^.\[\]]+")


def values_at(type_: Any, place: str) -> list[str]:
    """The words of an enumeration, a literal or a tag that stands at this place (`tasks[0].run_if`)."""
    found: list[str] = []
    for node in _walk(type_, _STEP.findall(place)):
        if isinstance(node, inspect.EnumType):
            found += [str(member.value) for member in node.cls]
        elif isinstance(node, inspect.LiteralType):
            found += [str(value) for value in node.values]
    return found or _tags(type_, place)


def fields_at(type_: Any, place: str) -> list[str]:
    """The fields of the object at this place; of several possible objects, those that all have."""
    nodes = [node for node in _walk(type_, _STEP.findall(place)) if isinstance(node, inspect.StructType)]
    names = [[field.encode_name for field in node.fields] for node in nodes]
    return [name for name in names[0] if all(name in other for other in names)] if names else []


def _tags(type_: Any, place: str) -> list[str]:
    """The tags of the objects of which `place` names the tag field."""
    parent, _, last = place.rpartition(".")
    nodes = [node for node in _walk(type_, _STEP.findall(parent)) if isinstance(node, inspect.StructType)]
    return [str(node.tag) for node in nodes if node.tag_field == last]


def _walk(type_: Any, steps: list[str]) -> list[inspect.Type]:
    nodes = _alternatives(inspect.type_info(type_))
    for step in steps:
        nodes = [leaf for node in nodes for inner in _inside(node, step) for leaf in _alternatives(inner)]
    return nodes


def _inside(node: inspect.Type, step: str) -> list[inspect.Type]:
    if isinstance(node, inspect.StructType):
        return [field.type for field in node.fields if field.encode_name == step]
    if isinstance(node, inspect.DictType):
        return [node.value_type]
    if isinstance(node, inspect.ListType) and step.startswith("["):
        return [node.item_type]
    return []


def _alternatives(node: inspect.Type) -> list[inspect.Type]:
    if isinstance(node, inspect.Metadata):
        return _alternatives(node.type)
    if isinstance(node, inspect.UnionType):
        return [leaf for inner in node.types for leaf in _alternatives(inner)]
    return [node]
