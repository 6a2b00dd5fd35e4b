"""What a value looks like in a notebook's record: text, and HTML or an image where it has one."""

from __future__ import annotations

import base64
import html
import sys
from typing import Any

MAX_ROWS = 1000
MAX_TEXT = 1024 * 1024


def shown(value: Any) -> dict[str, Any]:
    """One output: {"kind": "data", "text", "html"?, "png"? (base64), "svg"?}."""
    output: dict[str, Any] = {"kind": "data", "text": _cut(_plain(value))}
    for name, method in (("html", "_repr_html_"), ("svg", "_repr_svg_")):
        text = _asked(value, method)
        if isinstance(text, str):
            output[name] = _cut(text)
    image = _asked(value, "_repr_png_")
    if isinstance(image, bytes):
        output["png"] = base64.b64encode(image).decode()
    if "html" not in output and (rows := _rows(value)) is not None:
        output["html"] = table(*rows)
    return output


def markup(text: str) -> dict[str, Any]:
    """An output that is HTML as it stands."""
    return {"kind": "data", "text": "", "html": _cut(text)}


def table(columns: list[str], rows: list[Any]) -> str:
    """Rows as an HTML table; at most `MAX_ROWS` of them."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape('' if cell is None else str(cell))}</td>" for cell in row) + "</tr>"
        for row in rows[:MAX_ROWS]
    )
    more = f"<p>{len(rows):,} rows; the first {MAX_ROWS:,} are shown.</p>" if len(rows) > MAX_ROWS else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def figures() -> list[dict[str, Any]]:
    """The figures that the cell drew with matplotlib, which are closed."""
    plots = sys.modules.get("matplotlib.pyplot")
    if plots is None:
        return []
    found = []
    for number in plots.get_fignums():
        import io

        image = io.BytesIO()
        plots.figure(number).savefig(image, format="png", bbox_inches="tight")
        found.append({"kind": "data", "text": "<Figure>", "png": base64.b64encode(image.getvalue()).decode()})
    plots.close("all")
    return found


def _plain(value: Any) -> str:
    try:
        return repr(value)
    except Exception as error:  # a broken __repr__ is the notebook's own, and no reason to fail
        return f"<{type(value).__name__} whose repr failed: {type(error).__name__}: {error}>"


def _asked(value: Any, method: str) -> Any:
    if isinstance(value, type) or not callable(found := getattr(value, method, None)):
        return None
    try:
        return found()
    except Exception:  # as above
        return None


def _rows(value: Any) -> tuple[list[str], list[Any]] | None:
    """A list of mappings, or a pyarrow table, as columns and rows."""
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        columns = list(dict.fromkeys(str(name) for one in value for name in one))
        return columns, [[one.get(name) for name in columns] for one in value]
    if type(value).__module__.startswith("pyspark.sql") and hasattr(value, "collect"):
        return list(value.columns), [list(row) for row in value.limit(MAX_ROWS + 1).collect()]
    if type(value).__module__.startswith("pyarrow") and hasattr(value, "to_pylist") and hasattr(value, "column_names"):
        names = list(value.column_names)
        return names, [[row[name] for name in names] for row in value.slice(0, MAX_ROWS + 1).to_pylist()]
    return None


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}\n... {len(text) - MAX_TEXT} characters more"
