"""The list of runs. Pure."""

from __future__ import annotations

from urllib.parse import urlencode

import msgspec

from runyard.core.model import Run
from runyard.core.query import Page
from runyard.core.states import State
from runyard.web.frame import badge, lasted, moment, page
from runyard.web.markup import Markup, element

LIMIT = 50
GROUPS: dict[str, list[State]] = {
    "live": [State.QUEUED, State.RUNNING, State.CANCELLING],
    "failed": [State.FAILED, State.TIMED_OUT],
    "succeeded": [State.SUCCEEDED],
}


class Asked(msgspec.Struct, frozen=True):
    """What the list's address asks for."""

    state: str | None = None
    job: int | None = None
    cursor: str | None = None

    def link(self, **changes: str | int | None) -> str:
        """The address of this list with these changes."""
        given = {**msgspec.structs.asdict(self), **changes}
        query = urlencode({name: value for name, value in given.items() if value is not None})
        return f"/?{query}" if query else "/"


def list_page(asked: Asked, found: Page[Run], now: int, who: str) -> Markup:
    """The newest runs of all faces, or a later page of them."""
    names = [None, *GROUPS]
    chosen = [
        element(
            "a",
            name or "all",
            href=asked.link(state=name, cursor=None),
            aria_current="page" if asked.state == name else None,
        )
        for name in names
    ]
    about = element("p", f"Of job {asked.job}. ", element("a", "Show all", href="/")) if asked.job else None
    rows = element("ul", (_row(run, now) for run in found.items), class_="runs")
    empty = None if found.items else element("p", "There are no such runs.")
    more = element("a", "Older", href=asked.link(cursor=found.next), class_="more") if found.next else None
    content = (element("h1", "Runs"), element("nav", chosen), about, rows, empty, more)
    return page("Runs", *content, live=None if asked.cursor else "poll", who=who)


def _row(run: Run, now: int) -> Markup:
    return element(
        "li",
        badge(run.state),
        element("a", run.name, href=f"/runs/{run.id}", class_="name"),
        element("span", moment(run.created_at), class_="when"),
        element("span", lasted(run.state, run.started_at, run.ended_at, now), class_="took"),
        element("span", run.trigger.replace("_", " "), " by ", run.submitted_by, class_="by"),
    )
