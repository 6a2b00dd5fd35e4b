"""Runs that this attempt starts through the server, with its own token, and waits for."""

from __future__ import annotations

import http.client
import time
import urllib.parse
import uuid
from typing import Any

import msgspec

from runyard.core.actions import Leaf
from runyard.runtime import context

_TIMEOUT = 30.0
_FIRST_LOOK, _LONGEST_WAIT = 0.005, 0.25
_PATIENCE = 120.0
"""How long the server may be away, as during a restart."""
_ENDED = {"succeeded", "failed", "cancelled", "timed_out", "skipped", "upstream_failed", "lost"}


class ChildRefused(RuntimeError):
    """The server did not start the run; the text is its sentence."""


class ChildFailed(RuntimeError):
    """The run did not succeed; `run_id` is its id, `state` how it ended, `error` its error or None."""

    def __init__(self, message: str, run_id: int, state: str, error: dict[str, Any] | None) -> None:
        super().__init__(message)
        self.run_id, self.state, self.error = run_id, state, error


def run(action: Leaf, name: str, timeout: float | None = None) -> Any:
    """Starts a run of one piece of work, waits for its end, and gives what it gave back.

    It is a run of its own: listed, logged, cancelled with this attempt. Raises `ChildRefused`, `ChildFailed`.
    """
    claim, path = context.fact("claim"), f"/api/v1/task-runs/{context.task_run_id()}/children"
    # The key makes a request that has to be repeated the same one.
    given = {"claim": claim, "key": uuid.uuid4().hex, "name": name[:200], "action": action, "timeout": timeout}
    child = _asked("POST", path, msgspec.json.encode(given))
    wait = _FIRST_LOOK
    while child["state"] not in _ENDED:
        time.sleep(wait)
        wait = min(wait * 1.5, _LONGEST_WAIT)
        child = _asked("GET", f"{path}/{child['run_id']}?claim={claim}", None)
    if child["state"] != "succeeded":
        said = f"{name} {child['state'].replace('_', ' ')}: {child['detail']} (run {child['run_id']})"
        raise ChildFailed(said, child["run_id"], child["state"], child["error"])
    return child["output"]


def _asked(method: str, path: str, body: bytes | None) -> dict[str, Any]:
    """The server's answer; while the server is away, it is asked again."""
    server = context.fact("server")
    if not server:
        raise ChildRefused("Other runs can be started only inside an attempt: run the program as a task of a job.")
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            status, data = _once(server, method, path, body)
        except (OSError, http.client.HTTPException) as error:
            if time.monotonic() > until:
                raise ChildRefused(f"The server does not answer: {error}.") from None
            time.sleep(_LONGEST_WAIT)
            continue
        if status < 300:
            found: dict[str, Any] = msgspec.json.decode(data)
            return found
        if status not in (502, 503, 504) or time.monotonic() > until:
            raise ChildRefused(_sentence(status, data))
        time.sleep(_LONGEST_WAIT)


def _once(server: dict[str, str], method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
    with open(server["address"], encoding="ascii") as file:  # each time: a restarted server may have another port
        parts = urllib.parse.urlsplit(file.read().strip())
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT)
    headers = {"Authorization": f"Bearer {server['token']}", "Content-Type": "application/json"}
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _sentence(status: int, data: bytes) -> str:
    try:
        problem = msgspec.json.decode(data)
        return str(problem.get("detail") or problem["title"])
    except (msgspec.DecodeError, AttributeError, KeyError):
        return f"The server answered {status}."
