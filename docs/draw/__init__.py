"""Draws the pages that follow from the code: `python -m docs.draw` writes them, a test compares them.

Prose lives in the pages; what stands between their marks comes from the tables in the code.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from . import databricks, glue, native, sql, tinybird

DOCS = Path(__file__).parent.parent
WHOLE: dict[str, Callable[[], str]] = {"cli.md": native.cli, "states.md": native.states, "settings.md": native.settings}
PARTS: dict[str, Callable[[], str]] = {
    "api.md": native.routes,
    "jobs.md": native.fields,
    "sql.md": sql.page,
    "dialects/databricks.md": databricks.page,
    "dialects/glue.md": glue.page,
    "dialects/tinybird.md": tinybird.page,
}
BEGIN, END = "<!-- drawn -->\n", "<!-- /drawn -->\n"


def with_part(page: str, part: str) -> str:
    """The page with its drawn part replaced."""
    head, rest = page.split(BEGIN, 1)
    return head + BEGIN + part + END + rest.split(END, 1)[1]


async def draw() -> None:
    """Writes every page."""
    for name, make in WHOLE.items():
        (DOCS / name).write_text(make())
    for name, make in PARTS.items():
        path = DOCS / name
        path.write_text(with_part(path.read_text(), make()))
