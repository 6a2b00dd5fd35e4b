"""Commands for queues."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import App, Parameter

from runyard.cli.exits import USAGE, Exit
from runyard.cli.options import COMMON, Common
from runyard.cli.render import Column, emit, emit_one

app = App(name="queues", help="Queues and how busy they are.", version_flags=[], help_format="plaintext")

QUEUES = [
    Column("QUEUE", lambda queue: queue.name),
    Column("SLOTS", lambda queue: "any" if queue.slots is None else queue.slots, right=True),
    Column("ACTIVE", lambda queue: queue.active, right=True),
    Column("WAITING", lambda queue: queue.waiting, right=True),
    Column("PRIORITY", lambda queue: queue.priority, right=True),
    Column("PAUSED", lambda queue: "yes" if queue.paused else ""),
]


@app.default
@app.command(name="list")
def list_queues(*, common: Common = COMMON) -> None:
    """List queues."""
    with common.client() as client:
        emit(client.queues(), QUEUES, common.output)


@app.command(name="set")
def set_queue(
    name: str,
    /,
    *,
    slots: Annotated[str | None, Parameter(help="how many of its tasks may run at once, or any")] = None,
    priority: int | None = None,
    paused: bool | None = None,
    common: Common = COMMON,
) -> None:
    """Make or change a queue; what is not named stays as it is."""
    with common.client() as client:
        queue = client.put_queue(name, slots=_slots(slots), priority=priority, paused=paused)
        emit_one(queue, common.output, lambda: emit([queue], QUEUES, "table"))


def _slots(word: str | None) -> int | Literal["any"] | None:
    if word is None or word == "any":
        return "any" if word else None
    if not word.isdecimal():
        raise Exit(USAGE, f"--slots takes a number or 'any'; found {word!r}.")
    return int(word)


@app.command
def delete(name: str, /, *, common: Common = COMMON) -> None:
    """Remove an empty queue."""
    with common.client() as client:
        client.delete_queue(name)
    emit_one({"deleted": name}, common.output, lambda: print(f"queue {name} deleted"))
