"""Signing in: a token of ours in a cookie that scripts cannot read and other sites cannot send.

The cookie is read by this face alone. The API takes no cookies, so no page elsewhere can make a browser call it.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

from starlette.requests import cookie_parser

from runyard.core.errors import Code, RunyardError
from runyard.http.answers import Whole
from runyard.http.card import Answer
from runyard.http.request import Request
from runyard.web.frame import page, shown
from runyard.web.markup import Markup, element

MONTH = 30 * 24 * 3600
OURS = re.compile(r"/(?:runs/\d{1,16})?(?:\?[\w=&.,-]*)?", re.ASCII)
"""Where a sign-in may lead to: pages of ours, and nothing that a browser could read as another host."""


def cookie_name(request: Request) -> str:
    """Cookies are shared by all ports of a host: each server has its own."""
    return f"runyard_{(request.scope.get('server') or ('', 0))[1]}"


def cookie(request: Request) -> str | None:
    """The token in the cookie."""
    given = request.header(b"cookie")
    return (cookie_parser(given).get(cookie_name(request)) or None) if given else None


def sign_in_page(request: Request, error: RunyardError) -> Whole:
    """The form, at the address that was asked for."""
    said = None if error.details.get("auth") == "missing" else element("p", error.message, class_="said")
    query = request.scope["query_string"].decode("latin-1")
    target = request.scope["path"] + (f"?{query}" if query else "")
    form = element(
        "form",
        element("label", "Token ", element("input", type="password", name="token", required="required")),
        element("input", type="hidden", name="next", value=target),
        element("button", "Sign in"),
        method="post",
        action="/sign-in",
        class_="sign-in",
    )
    about = "Give a token of this server that may read runs. A cookie keeps it for 30 days, in this browser only."
    # A link on another site leads here without our cookie; asked again from our own page the browser sends it.
    abroad = request.header(b"sec-fetch-site") == "cross-site"
    content: tuple[Markup | None, ...] = (element("h1", "Sign in"), said, element("p", about), form)
    return shown(page("Sign in", *content, reload=abroad), 401, {"WWW-Authenticate": "Bearer"})


async def sign_in(request: Request) -> Answer:
    """POST /sign-in: keeps the token; whether it is good is found at the page to which this leads."""
    _check_origin(request)
    given = parse_qs((await request.whole()).decode("latin-1"), max_num_fields=10)
    token, target = given.get("token", [""])[0].strip(), given.get("next", ["/"])[0]
    if not re.fullmatch(r"[!-~]{1,500}", token) or ";" in token:
        token = "none"
    kept = f"{cookie_name(request)}={token}; Max-Age={MONTH}; {_attributes(request)}"
    return _to(target if OURS.fullmatch(target) else "/", kept)


async def sign_out(request: Request) -> Answer:
    """POST /sign-out: forgets the token."""
    _check_origin(request)
    return _to("/", f"{cookie_name(request)}=; Max-Age=0; {_attributes(request)}")


def _attributes(request: Request) -> str:
    secure = "; Secure" if request.scope.get("scheme") == "https" else ""
    return f"Path=/; HttpOnly; SameSite=Strict{secure}"


def _to(address: str, kept: str) -> Whole:
    return Whole(b"", "text/plain", 303, {"Location": address, "Set-Cookie": kept, "Cache-Control": "no-store"})


def _check_origin(request: Request) -> None:
    """A page of another site must not sign a browser in with a token of its own choice."""
    origin = request.header(b"origin")
    if origin is not None and urlsplit(origin).netloc != request.header(b"host"):
        raise RunyardError(Code.DENIED, f"Sign in on this server's own page; this came from {origin}.")
