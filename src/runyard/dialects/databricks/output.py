"""What task runs gave: get-output and export."""

from __future__ import annotations

import base64
import html
from typing import Any
from urllib.parse import quote

import msgspec

from runyard.core.errors import RunyardError, invalid
from runyard.core.model import TaskRun
from runyard.core.states import State
from runyard.dialects.databricks import parse, serve, wire_runs
from runyard.dialects.databricks.runs import RunRoutes
from runyard.dialects.databricks.serve import Place
from runyard.dialects.databricks.tables import LIMITS
from runyard.dialects.databricks.wire_runs import View
from runyard.http.answers import answer
from runyard.http.card import Answer, Route
from runyard.http.request import Request, offload

_LOGGED = ("spark_python_task", "python_wheel_task", "dbt_task", "spark_jar_task", "spark_submit_task")
_MODEL = "var __DATABRICKS_NOTEBOOK_MODEL = '{model}';"
_PAGE = """<!DOCTYPE html>
<html>
<head>
<meta charset="utf-8"/>
<title>{title}</title>
<script>{script}</script>
</head>
<body>
{body}</body>
</html>
"""


class OutputRoutes:
    """Handlers of what task runs gave."""

    def __init__(self, place: Place, runs: RunRoutes) -> None:
        self._place = place
        self._runs = runs

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        return (
            *serve.routes("GET", "/jobs/runs/get-output", "runs:read", self.get_output),
            *serve.routes("GET", "/jobs/runs/export", "runs:read", self.export),
        )

    async def get_output(self, request: Request) -> Answer:
        """GET jobs/runs/get-output, of a task run"""
        given = serve.asked(request, "OneRun")
        return answer(await offload(self._output, request, parse.need(given, "run_id")))

    def _found(self, request: Request, run_id: int) -> tuple[View, TaskRun]:
        run, one = self._runs.found(request, run_id)
        if one is None:
            raise invalid(
                "Retrieving the output of runs with multiple tasks is not supported. "
                "Please retrieve the output of each individual task run instead."
            )
        return self._runs.view(request, run), one

    def _output(self, request: Request, run_id: int) -> dict[str, Any]:
        view, one = self._found(request, run_id)
        settings = wire_runs.task_settings(view, one)
        body: dict[str, Any] = {"metadata": wire_runs.task_run_body(view, one)}
        if one.executor == "process":
            self._add_logs(body, one, settings)
        if one.state in (State.FAILED, State.LOST, State.TIMED_OUT) and one.detail:
            body["error"] = _error_of(one)
            trace = (one.error or {}).get("trace") or body.get("logs")
            if trace:
                body["error_trace"] = trace
        body |= self._result(one, settings, view.host)
        return body

    def _add_logs(self, body: dict[str, Any], one: TaskRun, settings: dict[str, Any]) -> None:
        if not any(kind in settings for kind in _LOGGED):
            return
        most = LIMITS["log_bytes"]
        _, size = self._place.engine.runs.log(one.id, 0, 0)
        data, _ = self._place.engine.runs.log(one.id, max(0, size - most), size)
        text = data.decode("utf-8", "replace")
        body["logs"] = text.rstrip("\n") + "\n" if text.strip() else text
        body["logs_truncated"] = size > most

    def _result(self, one: TaskRun, settings: dict[str, Any], host: str) -> dict[str, Any]:
        data = self._place.engine.runs.output(one.id)
        output = msgspec.json.decode(data) if data is not None else {}
        if "notebook_task" in settings:
            return {"notebook_output": self._notebook_output(one, output or {})}
        if "sql_task" in settings:
            return {"sql_output": _sql_output(settings, output)} if output else {}
        if "run_job_task" in settings and one.child_run_id is not None:
            return {"run_job_output": {"run_id": one.child_run_id}}
        if "dbt_task" in settings and output:
            link = f"{host}/api/v1/task-runs/{one.id}/artifacts/run_results.json"
            return {"dbt_output": {"artifacts_link": link, "artifacts_headers": {}}}
        return {}

    def _notebook_output(self, one: TaskRun, output: dict[str, Any]) -> dict[str, Any]:
        """What `dbutils.notebook.exit` gave; a long one lies in a file."""
        if "result" not in output:
            return {}
        result = output["result"]
        if "file" in output:
            result = self._place.engine.runs.artifact(one.id, output["file"]).decode("utf-8", "replace")
        return {"result": result, "truncated": bool(output.get("truncated"))}

    async def export(self, request: Request) -> Answer:
        """GET jobs/runs/export, of a task run"""
        given = serve.asked(request, "Export")
        return answer(await offload(self._exported, request, parse.need(given, "run_id"), given))

    def _exported(self, request: Request, run_id: int, given: dict[str, Any]) -> dict[str, Any]:
        view, one = self._found(request, run_id)
        if given.get("views_to_export", "CODE") == "DASHBOARDS":
            return {"views": []}
        settings = wire_runs.task_settings(view, one)
        name = _name_of(settings) or one.task_key
        content = page(name, self._commands(one, settings))
        return {"views": [{"content": content, "name": name, "type": "NOTEBOOK"}]}

    def _commands(self, one: TaskRun, settings: dict[str, Any]) -> list[dict[str, Any]]:
        """The cells of a notebook with what they gave; of another program its log as that of one cell."""
        if "notebook_task" in settings:
            try:
                book = msgspec.json.decode(self._place.engine.runs.artifact(one.id, "notebook.json"))
            except RunyardError:  # it did not come so far
                book = {"cells": []}
            return [_command(number, cell) for number, cell in enumerate(book["cells"], 1)]
        data, _ = self._place.engine.runs.log(one.id)
        results = {"type": "html", "data": data.decode("utf-8", "replace")}
        shown = str(settings.get("spark_python_task", {}).get("python_file", one.task_key))
        return [{"position": 1.0, "command": shown, "state": "finished", "results": results}]


def _error_of(one: TaskRun) -> str:
    error = one.error or {}
    kind, message = error.get("type"), error.get("message")
    return f"{kind}: {message}" if kind and message else one.detail


def _sql_output(settings: dict[str, Any], output: dict[str, Any]) -> dict[str, Any]:
    task = settings["sql_task"]
    columns = [column["name"] for column in output.get("columns", [])]
    shown = {
        "endpoint_id": task.get("warehouse_id", ""),
        "query_text": "",
        "sql_statements": [{"lookup_key": "0"}],
        "columns": columns,
        "rows": output.get("rows", []),
    }
    return {"query_output": shown}


def _name_of(settings: dict[str, Any]) -> str:
    path = settings.get("notebook_task", {}).get("notebook_path") or settings.get("spark_python_task", {}).get(
        "python_file", ""
    )
    return str(path).rstrip("/").rpartition("/")[2]


def _command(number: int, cell: dict[str, Any]) -> dict[str, Any]:
    text = "".join(str(one.get("text", one.get("html", ""))) for one in cell.get("outputs", []))
    error = cell.get("error") or {}
    command: dict[str, Any] = {
        "position": float(number),
        "command": cell.get("source", ""),
        "state": "error" if error else "finished",
        "results": {"type": "html", "data": text},
    }
    if error:
        command["errorSummary"] = ": ".join(str(error[name]) for name in ("type", "message") if error.get(name))
    return command


def page(name: str, commands: list[dict[str, Any]]) -> str:
    """One task's output as a page whose script holds the model that clients read: base64 of percent-encoded JSON."""
    model = {"version": "NotebookV1", "name": name, "language": "python", "commands": commands}
    text = "\n".join(f"{one['command']}\n{one['results']['data']}" for one in commands)
    encoded = base64.b64encode(quote(msgspec.json.encode(model).decode()).encode()).decode()
    body = f"<h1>{html.escape(name)}</h1>\n<pre>{html.escape(text)}</pre>\n"
    return _PAGE.format(title=html.escape(name), script=_MODEL.format(model=encoded), body=body)
