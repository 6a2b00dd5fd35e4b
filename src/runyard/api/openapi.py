"""The OpenAPI 3.1 document, generated from the declared routes and the structs that they name."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from runyard.api.errors import MEDIA, Problem
from runyard.http.card import Operation, Route
from runyard.http.policy import OPEN, SIGNED_IN

_PARAMETER = re.compile(r"\{(\w+)(?::path)?\}")
_REF = "#/components/schemas/{name}"


def document(routes: list[Route], prefix: str, version: str) -> bytes:
    """The document as JSON."""
    types = [type_ for route in routes for type_ in _types(route.operation)] + [Problem]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    # Types that are no structs cannot be dictionary keys by value, so their schemas are looked up by place.
    found = {id(type_): schema for type_, schema in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        described = _operation(route, prefix, found, components)
        paths.setdefault(_PARAMETER.sub(r"{\1}", route.path), {})[route.method.lower()] = described
    body = {
        "openapi": "3.1.0",
        "info": {"title": "Runyard", "version": version, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
        "security": [{"bearer": []}],
    }
    return msgspec.json.encode(body)


def _types(operation: Operation | None) -> list[Any]:
    if operation is None:
        return []
    return [type_ for type_ in (operation.body, operation.answer, operation.query) if type_ is not None]


def _operation(route: Route, prefix: str, found: dict[int, Any], components: dict[str, Any]) -> dict[str, Any]:
    about = route.operation or Operation(summary=route.path)
    described: dict[str, Any] = {
        "operationId": _identifier(route, prefix),
        "summary": about.summary,
        "parameters": _parameters(route, about, found, components),
        "responses": _responses(about, found),
    }
    if route.scope == OPEN:
        described["security"] = []
    elif route.scope != SIGNED_IN:
        described["description"] = f"Needs the scope `{route.scope}`."
    if about.body is not None:
        described["requestBody"] = {"content": {"application/json": {"schema": found[id(about.body)]}}}
    return described


def _identifier(route: Route, prefix: str) -> str:
    words = re.findall(r"\w+", route.path.removeprefix(prefix))
    return "_".join([route.method.lower(), *words])


def _parameters(
    route: Route, about: Operation, found: dict[int, Any], components: dict[str, Any]
) -> list[dict[str, Any]]:
    listed = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "integer" if name in ("id", "v") else "string"},
        }
        for name in _PARAMETER.findall(route.path)
    ]
    if about.query is not None:
        name = found[id(about.query)]["$ref"].rpartition("/")[2]
        properties = components[name]["properties"]
        listed += [{"name": key, "in": "query", "schema": schema} for key, schema in properties.items()]
    return listed + [
        {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}
        for name, text in about.headers.items()
        # OpenAPI says that Accept is not described as a parameter.
        if name != "Accept"
    ]


def _responses(about: Operation, found: dict[int, Any]) -> dict[str, Any]:
    done: dict[str, Any] = {"description": "Done"}
    if about.answer is not None:
        done["content"] = {about.media: {"schema": found[id(about.answer)]}}
    elif about.media != "application/json":
        done["content"] = {about.media: {"schema": {"type": "string"}}}
    problem = {"description": "Refused", "content": {MEDIA: {"schema": found[id(Problem)]}}}
    return {str(about.status): done, "default": problem}
