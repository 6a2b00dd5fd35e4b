"""What every page has around it, and the words for states and times. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from runyard.core.states import TERMINAL, State
from runyard.http.answers import Whole
from runyard.web.markup import Child, Markup, element, joined

MEDIA = "text/html; charset=utf-8"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Nothing but our own two files is run or loaded, whatever a job is called."""


def page(title: str, *content: Child, live: str | None = None, who: str | None = None, reload: bool = False) -> Markup:
    """A whole page. `live` is the address of its changes, or `poll`; `reload` fetches it once more at once."""
    again = element("meta", http_equiv="refresh", content="0") if reload else None
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        again,
        element("title", f"{title} - Runyard"),
        element("link", rel="icon", href="data:,"),
        element("link", rel="stylesheet", href="/assets/page.css"),
        element("script", src="/assets/page.js", defer="defer"),
        element("noscript", element("meta", http_equiv="refresh", content="5")) if live else None,
    )
    signed = element("form", element("button", "Sign out"), method="post", action="/sign-out") if who else None
    top = element("header", element("a", "Runyard", href="/"), element("span", who, class_="who"), signed)
    body = element("body", top, element("main", *content, data_live=live))
    return joined(Markup("<!DOCTYPE html>"), element("html", head, body, lang="en"))


def shown(content: Markup, status: int = 200, headers: Mapping[str, str] | None = None) -> Whole:
    """A page as an answer."""
    return Whole(content.encode("utf-8", "replace"), MEDIA, status, {**HEADERS, **(headers or {})})


def badge(state: State) -> Markup:
    """A state with its colour."""
    return element("span", state.value.replace("_", " "), class_=f"state {state.value}")


def moment(at: int | None) -> Markup:
    """A time to the second, in UTC; empty for none."""
    if at is None:
        return Markup("")
    when = datetime.fromtimestamp(at / 1000, UTC)
    return element("time", f"{when:%Y-%m-%d %H:%M:%S} UTC", datetime=f"{when:%Y-%m-%dT%H:%M:%SZ}")


def lasted(state: State, started: int | None, ended: int | None, now: int) -> str:
    """How long something took, or takes so far."""
    if started is None:
        return ""
    ms = max(0, (ended if state in TERMINAL and ended is not None else now) - started)
    if ms < 10_000:
        return f"{ms / 1000:.2f} s"
    seconds = ms // 1000
    hours, minutes = seconds // 3600, seconds // 60 % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"
