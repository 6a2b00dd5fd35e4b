"""JSON Web Tokens: made by whoever holds an administrator's token, and signed with it (HS256). Pure.

Source: Tinybird reference, 'JSON Web tokens': the fields workspace_id, name, exp, scopes (with fixed_params) and
limits, and which scopes there may be.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import Any

import msgspec

from runyard.core.errors import Code, RunyardError, invalid
from runyard.dialects.tinybird.access import Grant, denied

SCOPES = ("PIPES:READ", "DATASOURCES:READ", "DATASOURCES:APPEND")
_MAX_TEXT = 8192


class Scope(msgspec.Struct, frozen=True):
    """One scope of a token, with parameters of the endpoint that its holder cannot choose."""

    type: str
    resource: str
    fixed_params: dict[str, Any] = {}
    filter: str = ""


class Limits(msgspec.Struct, frozen=True):
    """How often it may be used: requests a second."""

    rps: int | None = None


class Payload(msgspec.Struct, frozen=True):
    """What a token says. `exp` is in seconds since 1970."""

    workspace_id: str
    name: str
    exp: float
    scopes: list[Scope]
    limits: Limits = Limits()


class Signed(msgspec.Struct, frozen=True):
    """A token that was read; whether its signature is right is another question."""

    payload: Payload
    message: bytes
    signature: bytes

    def is_signed_with(self, secret: str) -> bool:
        """Whether this secret made it."""
        return hmac.compare_digest(hmac.digest(secret.encode(), self.message, "sha256"), self.signature)

    def check_time(self, now: float) -> None:
        """Raises `unauthenticated` for one that has expired; `now` is in seconds."""
        if self.payload.exp <= now:
            raise RunyardError(Code.UNAUTHENTICATED, "The token has expired. Ask for a new one.", auth="expired")

    def grants(self) -> tuple[Grant, ...]:
        """What it lets its holder do; raises `denied` for a scope that such a token cannot have."""
        for one in self.payload.scopes:
            _check(one)
        return tuple(Grant(one.type, one.resource, one.filter) for one in self.payload.scopes)

    def fixed(self) -> dict[str, dict[str, Any]]:
        """Fixed parameters by resource."""
        return {one.resource: one.fixed_params for one in self.payload.scopes if one.fixed_params}


def _check(one: Scope) -> None:
    if one.type not in SCOPES or not one.resource:
        raise denied(f"A signed token has the scopes {', '.join(SCOPES)}, each of a resource; {one.type!r} is none.")


def read(text: str | None) -> Signed | None:
    """A text of three parts whose header says HS256; None for any other credential. Raises `unauthenticated`."""
    parts = (text or "").split(".")
    if len(parts) != 3 or len(text or "") > _MAX_TEXT:
        return None
    try:
        header = msgspec.json.decode(_raw(parts[0]))
        if not isinstance(header, dict) or header.get("alg") != "HS256":
            return None
        payload = msgspec.json.decode(_raw(parts[1]), type=Payload)
        return Signed(payload, f"{parts[0]}.{parts[1]}".encode(), _raw(parts[2]))
    except msgspec.ValidationError as error:
        said = f"The signed token cannot be used: {error}."
        raise RunyardError(Code.UNAUTHENTICATED, said, auth="incomplete") from None
    except (msgspec.DecodeError, binascii.Error, ValueError):
        return None


def sign(payload: Payload, secret: str) -> str:
    """The token of a payload; raises `invalid` for scopes that it cannot have."""
    for one in payload.scopes:
        try:
            _check(one)
        except RunyardError as error:
            raise invalid(error.message, field="scopes") from None
    head = _text(b'{"alg":"HS256","typ":"JWT"}')
    message = f"{head}.{_text(msgspec.json.encode(payload))}"
    return f"{message}.{_text(hmac.digest(secret.encode(), message.encode(), 'sha256'))}"


def _raw(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
