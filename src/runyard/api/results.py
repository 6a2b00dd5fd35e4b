"""Large results: pages of a task run's rows, also while they are being written, and queries as Arrow."""

from __future__ import annotations

import msgspec

from runyard.api import bodies, queries
from runyard.api.declare import route
from runyard.core.errors import Code, RunyardError, invalid, not_found
from runyard.core.states import TERMINAL
from runyard.engine.data import MAX_ROWS, Data
from runyard.engine.runs import Runs
from runyard.http.answers import answer
from runyard.http.body import MAX_INT, query
from runyard.http.card import Answer, Route
from runyard.http.request import Request, offload

ARROW = "application/vnd.apache.arrow.stream"


class _Output(msgspec.Struct):
    """What an output may hold of rows."""

    columns: list[dict[str, str]] = []
    rows: list[list[object]] | None = None
    row_count: int | None = None


_OUTPUT = msgspec.json.Decoder(_Output)


class ResultRoutes:
    """Handlers over the rows that task runs gave."""

    def __init__(self, runs: Runs, data: Data) -> None:
        self._runs, self._data = runs, data

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        types = {"query": queries.RowsQuery, "answer": bodies.RowsPage}
        return (
            route("GET", "/task-runs/{id}/rows", "runs:read", self.rows, "Rows of a result, page by page", **types),
        )

    async def rows(self, request: Request) -> Answer:
        """GET /task-runs/{id}/rows"""
        asked, key = query(request, queries.RowsQuery), request.id("task run")
        _check(asked)
        one = await offload(self._runs.task_run, key)
        data = await offload(self._runs.output, key)
        output = _read(data)
        whole = one.state in TERMINAL
        if output.rows is not None:
            rows = output.rows[asked.offset : asked.offset + asked.limit]
            return answer(_page(output.columns, rows, asked.offset, output.row_count or len(output.rows), whole))
        workspace = (await offload(self._runs.get, one.run_id)).workspace
        found = await self._data.result_page(workspace, one.run_id, key, asked.offset, asked.limit)
        return answer(_page(found["columns"], found["rows"], asked.offset, found["rows_ready"], whole))


def _check(asked: queries.RowsQuery) -> None:
    if not 1 <= asked.limit <= MAX_ROWS:
        raise invalid(f"limit must be 1 to {MAX_ROWS} rows; it is {asked.limit}.", field="limit")
    if not 0 <= asked.offset <= MAX_INT:
        raise invalid(f"offset must be 0 to {MAX_INT}; it is {asked.offset}.", field="offset")


def _read(data: bytes | None) -> _Output:
    try:
        return _Output() if data is None else _OUTPUT.decode(data)
    except msgspec.ValidationError:  # of a kind of work that gives no rows
        raise not_found("rows of task run", "that gives no rows") from None


def _page(
    columns: list[dict[str, str]], rows: list[list[object]], offset: int, ready: int, whole: bool
) -> bodies.RowsPage:
    after = offset + len(rows)
    more = after < ready or not whole
    return bodies.RowsPage(columns=columns, rows=rows, rows_ready=ready, whole=whole, next=after if more else None)


def wants_arrow(request: Request) -> bool:
    """Whether the client asks for Arrow; raises `invalid` when it takes neither that nor JSON."""
    accept = request.header(b"accept") or "*/*"
    if ARROW in accept:
        return True
    if not any(kind in accept for kind in ("json", "*/*", "application/*")):
        raise RunyardError(
            Code.INVALID, f"A query answers as application/json or {ARROW}, not as {accept}.", field="Accept"
        )
    return False
