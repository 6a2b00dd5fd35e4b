"""Scopes of tokens: what they are called, how they are written, and what each lets its holder do. Pure.

Source: Tinybird reference, 'Tokens API', 'Token scopes'.
"""

from __future__ import annotations

from typing import Any

import msgspec

from runyard.core.errors import Code, RunyardError, invalid

PLAIN = {"ADMIN", "ADMIN_USER", "TOKENS", "DATASOURCES:CREATE", "PIPES:CREATE", "WORKSPACE:READ_ALL"}
OF_ONE = {"DATASOURCES:APPEND", "DATASOURCES:DROP", "DATASOURCES:READ", "PIPES:DROP", "PIPES:READ"}


class Grant(msgspec.Struct, frozen=True, omit_defaults=True):
    """One scope: its type, the one resource that it is for, and a row filter."""

    type: str
    resource: str = ""
    filter: str = ""

    def __str__(self) -> str:
        return ":".join(part for part in (self.type, self.resource, self.filter) if part)


def parse(text: str) -> Grant:
    """`DATASOURCES:READ:visits:city = 'Rome'`; raises `invalid`."""
    if text in PLAIN:
        return Grant(text)
    parts = text.split(":", 3)
    kind = ":".join(parts[:2])
    if kind in PLAIN and len(parts) == 3 and parts[2] == "":
        return Grant(kind)
    if kind not in OF_ONE or len(parts) < 3 or not parts[2]:
        known = ", ".join(sorted(PLAIN | {f"{one}:NAME" for one in OF_ONE}))
        raise invalid(f"{text!r} is not a scope. The scopes are {known}.", field="scope")
    if len(parts) == 4 and kind != "DATASOURCES:READ":
        raise invalid(f"Only DATASOURCES:READ takes a filter; {text!r} has one.", field="scope")
    return Grant(kind, parts[2], parts[3] if len(parts) == 4 else "")


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who calls, in which workspace, with which grants."""

    name: str
    workspace: str
    admin: bool = False
    grants: tuple[Grant, ...] = ()
    token: str = ""
    """The token's name, for limits and logs."""
    issued: bool = False
    """Whether it is a token of the Tokens API."""
    fixed: dict[str, dict[str, Any]] = {}
    """Parameters of pipes that the holder of a signed token cannot choose."""
    rps: int = 0
    """Requests a second; 0: no limit."""

    def has(self, kind: str, *resources: str) -> bool:
        """Whether it may do this kind of thing, to one of these resources (a name and its id)."""
        if self.admin:
            return True
        return any(one.type == kind and (not one.resource or one.resource in resources) for one in self.grants)

    def need(self, kind: str, *resources: str) -> None:
        """Raises `denied` unless `has`."""
        if not self.has(kind, *resources):
            wanted = ":".join(part for part in (kind, resources[0] if resources else "") if part)
            raise denied(f"This needs a token with the scope ADMIN or {wanted}; {self.name!r} has {self.told()}.")

    def need_admin(self) -> None:
        """Raises `denied` for whoever is no administrator of the workspace."""
        if not self.admin:
            raise denied(f"This needs a token with the scope ADMIN; {self.name!r} has {self.told()}.")

    def told(self) -> str:
        """The scopes as a sentence names them; filters are not shown."""
        return ", ".join(f"{one.type}:{one.resource}".rstrip(":") for one in self.grants) or "no scope"

    def filters(self) -> dict[str, str]:
        """Row filters by resource; several grants for one resource are alternatives."""
        found: dict[str, list[str]] = {}
        for one in self.grants:
            if one.type == "DATASOURCES:READ":
                found.setdefault(one.resource, []).append(one.filter)
        return {
            name: " OR ".join(f"({text})" for text in texts) for name, texts in found.items() if texts and all(texts)
        }


def denied(message: str) -> RunyardError:
    """The caller may not do this."""
    return RunyardError(Code.DENIED, message)


def from_native(scopes: list[str]) -> tuple[bool, tuple[Grant, ...]]:
    """What a principal of this server, which was not made by the Tokens API, may do: admin, and grants."""
    grants: list[Grant] = []
    if "data:read" in scopes:
        grants += [Grant("DATASOURCES:READ"), Grant("PIPES:READ")]
    if "data:write" in scopes:
        grants += [Grant(one) for one in ("DATASOURCES:CREATE", "DATASOURCES:APPEND", "DATASOURCES:DROP")]
        grants += [Grant("PIPES:CREATE"), Grant("PIPES:DROP")]
    if "runs:read" in scopes:
        grants.append(Grant("JOBS:READ"))
    if "runs:write" in scopes:
        grants.append(Grant("JOBS:WRITE"))
    return "admin" in scopes, tuple(grants)


def body(grant: Grant) -> dict[str, Any]:
    """A scope as `GET /v0/tokens` shows it."""
    found: dict[str, Any] = {"type": grant.type}
    if grant.resource:
        found["resource"] = grant.resource
    if grant.filter:
        found["filter"] = grant.filter
    return found
