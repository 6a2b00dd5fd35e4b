"""Who is calling: turns the credential that a face's reader found into a principal, or refuses."""

from __future__ import annotations

import hmac
import ipaddress
import time
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

from runyard.core.errors import Code, RunyardError
from runyard.core.model import Principal
from runyard.http.card import Card, Proof
from runyard.http.policy import ADMIN, attempt_scope
from runyard.http.request import Request
from runyard.http.tokens import Tokens

DEV = Principal(id=0, name="dev", scopes=[ADMIN], created_at=0)
"""Everybody, on a server that was started with --dev."""
OPERATOR = Principal(id=0, name="operator", scopes=[ADMIN], created_at=0)
"""Whoever holds the token that the server was started with."""


def bearer(request: Request) -> str | None:
    """`Authorization: Bearer TOKEN`."""
    value = request.header(b"authorization")
    if value is None or value[:7].lower() != "bearer ":
        return None
    return value[7:].strip()


def query_token(request: Request) -> str | None:
    """`?token=TOKEN`, for an EventSource in a browser, which cannot send headers."""
    query: bytes = request.scope["query_string"]
    if b"token=" not in query:
        return None
    return parse_qs(query.decode("latin-1")).get("token", [None])[0]


class Gate:
    """Authenticates against issued tokens and, where set, the operator's own token."""

    def __init__(self, tokens: Tokens, find: Callable[[int], Principal | None], operator_token: str | None) -> None:
        self._tokens = tokens
        self._find = find
        self._operator = operator_token.encode() if operator_token else None

    def known(self, request: Request, card: Card) -> Principal | None:
        """Who holds the token in the request; None where a signature says it. Raises as `principal`."""
        for reader in card.readers:
            found = reader(request)
            if isinstance(found, str):
                return self._holder(found)
            if found is not None:
                return None
        message = "This needs a token and the request has none. Send Authorization: Bearer TOKEN."
        raise _unauthenticated(message, "missing")

    async def principal(self, request: Request, card: Card) -> Principal:
        """The caller; raises `unauthenticated` for no, unknown, expired or revoked credentials."""
        found = next((found for reader in card.readers if (found := reader(request)) is not None), "")
        return self._holder(found) if isinstance(found, str) else await self._signer(request, found)

    async def _signer(self, request: Request, proof: Proof) -> Principal:
        token = self._tokens.of_key(proof.key_id)
        if token is None and proof.key_id == OPERATOR.name and self._operator:
            token = self._operator.decode()
        if token is None:
            raise _unauthenticated(f"The access key {proof.key_id!r} is not one that this server issued.", "unknown")
        # What it costs to read a body is bounded by the cap that every body has.
        request.check_length()
        proof.check(token, await request.whole(), time.time())
        return self._holder(token)

    def _holder(self, token: str) -> Principal:
        if self._operator and hmac.compare_digest(token.encode(), self._operator):
            return OPERATOR
        if (attempt := self._tokens.check_attempt(token)) is not None:
            return _attempt(*attempt)
        claim = self._tokens.check(token)
        principal = self._find(claim[0]) if claim else None
        if claim is None or principal is None:
            raise _unauthenticated(
                "The token is not one that this server issued. Check that it is complete.", "unknown"
            )
        if principal.disabled or principal.version != claim[1]:
            raise _unauthenticated("The token was revoked. Ask an administrator for a new one.", "unknown")
        if principal.expires_at is not None and principal.expires_at <= time.time() * 1000:
            raise _unauthenticated("The token has expired. Ask an administrator for a new one.", "expired")
        return principal


class OpenGate:
    """The gate of --dev: any credential or none is `dev`, but only from this machine's own programs.

    A web page of somebody else that is open in the user's browser could reach a loopback port; its requests
    carry a foreign `Origin`, or (by DNS rebinding) a foreign `Host`, and are refused.
    """

    def known(self, request: Request, card: Card) -> Principal:
        """`DEV`, or `denied` for a request that a foreign web page made."""
        host = request.header(b"host") or ""
        origin = request.header(b"origin")
        if not _is_loopback(host) or (origin is not None and urlsplit(origin).netloc != host):
            message = f"With --dev only this machine may call; Host is {host!r} and Origin is {origin!r}."
            raise RunyardError(Code.DENIED, message)
        return DEV

    async def principal(self, request: Request, card: Card) -> Principal:
        """As `known`."""
        return self.known(request, card)


def _attempt(task_run_id: int, claim: int) -> Principal:
    """The program of a claim; whether that is still held is the engine's to say."""
    scopes = [attempt_scope(task_run_id, claim)]
    return Principal(id=-2, name=f"task run {task_run_id}", scopes=scopes, created_at=0)


def _is_loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _unauthenticated(message: str, auth: str) -> RunyardError:
    """`auth` says what is wrong with the credential: missing, incomplete, unknown, expired or signature."""
    return RunyardError(Code.UNAUTHENTICATED, message, auth=auth)
