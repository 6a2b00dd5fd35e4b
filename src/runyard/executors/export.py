"""A notebook's record as one HTML document that needs nothing else: for people, and with the model for programs.

The model stands in the form that readers of exported notebooks look for: a script that sets
`__DATABRICKS_NOTEBOOK_MODEL` to the base64 of percent-encoded JSON with `commands`, each with its `results`
(Databricks Jobs API, `runs/export`; databricks-sdk's tests read it so).
"""

from __future__ import annotations

import base64
import html
from typing import Any
from urllib.parse import quote

import msgspec

Book = dict[str, Any]

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}"
    "pre{background:#f6f8fa;border:1px solid #d8dee4;border-radius:4px;padding:.6rem;overflow:auto;margin:.3rem 0}"
    "pre.out{background:#fff}pre.error{background:#fff5f5;border-color:#e5b8b8}"
    "iframe{width:100%;height:18rem;border:1px solid #d8dee4}img{max-width:100%}"
    "h3{margin:1.2rem 0 .2rem;font-size:1rem}small{color:#57606a}"
)


def document(book: Book) -> bytes:
    """The page. What a notebook made as HTML stands in a sandboxed frame, so that it can run no script here."""
    cells = "".join(_cell(number, cell) for number, cell in enumerate(book["cells"], 1))
    result = f"<h3>Result</h3><pre class=out>{html.escape(book['result'])}</pre>" if "result" in book else ""
    name = html.escape(book["name"])
    page = (
        f"<!DOCTYPE html>\n<html><head><meta charset=utf-8><title>{name}</title>\n<style>{_STYLE}</style>\n"
        f"<script>var __DATABRICKS_NOTEBOOK_MODEL = '{_packed(model(book))}';</script>\n"
        f"</head><body>\n<h1>{name}</h1>\n{cells}{result}</body></html>\n"
    )
    return page.encode()


def model(book: Book) -> dict[str, Any]:
    """The notebook as the readers of exported notebooks know it."""
    commands = [_command(number, cell) for number, cell in enumerate(book["cells"], 1)]
    return {
        "version": "NotebookV1",
        "name": book["name"],
        "language": book["language"],
        "inputWidgets": dict(book.get("parameters", {})),
        "commands": commands,
    }


def _command(number: int, cell: dict[str, Any]) -> dict[str, Any]:
    error = cell.get("error")
    data = [_result(output) for output in cell["outputs"]]
    return {
        "version": "CommandV1",
        "subtype": "command",
        "position": number,
        "commandTitle": cell["title"],
        "command": cell["source"],
        "state": "error" if error else {"done": "finished"}.get(cell["state"], cell["state"]),
        "results": {"type": "listResults", "data": data} if data else None,
        "errorSummary": f"{error['type']}: {error['message']}" if error else None,
        "error": error["trace"] if error else None,
        "startTime": cell.get("started_at", 0),
        "finishTime": cell.get("ended_at", 0),
    }


def _result(output: dict[str, Any]) -> dict[str, str]:
    if "png" in output:
        return {"type": "image", "data": f"data:image/png;base64,{output['png']}"}
    if "html" in output:
        return {"type": "html", "data": output["html"]}
    return {"type": "ansi", "data": output["text"]}


def _packed(value: dict[str, Any]) -> str:
    return base64.b64encode(quote(msgspec.json.encode(value), safe="").encode()).decode()


def _cell(number: int, cell: dict[str, Any]) -> str:
    title = html.escape(cell["title"] or f"Cell {number}")
    spent = cell.get("ended_at", 0) - cell.get("started_at", 0)
    told = f"{cell['kind']}, {cell['state']}" + (f", {spent / 1000:.3f} s" if "ended_at" in cell else "")
    parts = [f"<h3>{title} <small>{html.escape(told)}</small></h3><pre>{html.escape(cell['source'])}</pre>"]
    parts += [_shown(output) for output in cell["outputs"]]
    if "error" in cell:
        parts.append(f"<pre class=error>{html.escape(cell['error']['trace'])}</pre>")
    return "".join(parts) + "\n"


def _shown(output: dict[str, Any]) -> str:
    if "png" in output:
        return f'<img alt="" src="data:image/png;base64,{html.escape(output["png"])}">'
    if "html" in output or "svg" in output:
        inner = html.escape(output.get("html") or output["svg"])
        return f'<iframe sandbox srcdoc="{inner}"></iframe>'
    return f"<pre class=out>{html.escape(output['text'])}</pre>"
