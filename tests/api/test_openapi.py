"""The generated document says what the routes do."""

import re
from collections.abc import Iterator
from typing import Any

from tests.api.helpers import Api
from tests.api.test_auth import ROUTES

METHODS = {"get", "put", "post", "delete"}


def document(api: Api) -> dict[str, Any]:
    return dict(api.call("GET", "/openapi.json"))


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_every_route_is_in_the_document_and_nothing_else(api: Api) -> None:
    listed = {(method.upper(), path) for path, item in document(api)["paths"].items() for method in item}
    assert listed == {(route.method, route.path) for route in ROUTES}


def test_every_reference_leads_somewhere(api: Api) -> None:
    found = document(api)
    schemas = found["components"]["schemas"]
    missing = [one for one in references(found) if one.removeprefix("#/components/schemas/") not in schemas]
    assert missing == []


def test_operations_have_what_openapi_asks_for(api: Api) -> None:
    found = document(api)
    assert found["openapi"] == "3.1.0"
    assert {"title", "version"} <= set(found["info"])
    names = []
    for path, item in found["paths"].items():
        for method, operation in item.items():
            assert method in METHODS
            assert operation["summary"]
            assert all(re.fullmatch(r"\d{3}|default", status) for status in operation["responses"])
            assert all("description" in response for response in operation["responses"].values())
            names.append(operation["operationId"])
            declared = [one["name"] for one in operation["parameters"] if one["in"] == "path"]
            assert declared == re.findall(r"\{(\w+)\}", path)
            parameters = [(one["in"], one["name"]) for one in operation["parameters"]]
            assert len(parameters) == len(set(parameters))
    assert len(names) == len(set(names))


def test_open_routes_ask_for_no_credential_and_others_do(api: Api) -> None:
    found = document(api)
    assert found["security"] == [{"bearer": []}]
    assert found["paths"]["/healthz"]["get"]["security"] == []
    assert "security" not in found["paths"]["/api/v1/runs"]["post"]


def test_filters_are_described(api: Api) -> None:
    parameters = document(api)["paths"]["/api/v1/runs"]["get"]["parameters"]
    assert {"state", "created_after", "cursor"} <= {one["name"] for one in parameters}
