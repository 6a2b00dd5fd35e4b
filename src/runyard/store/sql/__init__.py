"""Named, described SQL: each file holds blocks that begin with `-- name: NAME` and a line that says what for."""

from __future__ import annotations

import re
from importlib import resources

_BLOCK = re.compile(r"^-- name: (\w+)\n((?:--[^\n]*\n)*)(.*?)(?=^-- name: |\Z)", re.MULTILINE | re.DOTALL)


def load(file: str) -> dict[str, str]:
    """The statements of a file by name; raises ValueError on a name that stands twice."""
    text = resources.files(__name__).joinpath(file).read_text()
    statements: dict[str, str] = {}
    for name, _comment, body in _BLOCK.findall(text):
        if name in statements:
            raise ValueError(f"{file} names {name} twice")
        statements[name] = body.strip().rstrip(";")
    return statements
