"""Which administrator's token signed a JSON Web Token, and what its holder may do."""

from __future__ import annotations

import time

from runyard.core.errors import Code, RunyardError
from runyard.dialects.base import bearer, query_token
from runyard.dialects.tinybird import jwt
from runyard.dialects.tinybird.access import Caller
from runyard.dialects.tinybird.catalog import DEFAULT, TOKEN, WORKSPACE, Catalog
from runyard.dialects.tinybird.service_rows import workspace_id
from runyard.engine.engine import Engine
from runyard.http.request import Request
from runyard.http.tokens import Tokens, key_id

_KNOWN = 4096


class Evidence:
    """A signed token, as the gate checks it: with the secret of whoever signed it."""

    def __init__(self, signed: jwt.Signed, key: str) -> None:
        self._signed, self.key_id = signed, key

    def check(self, secret: str, body: bytes, now: float) -> None:
        """Raises `unauthenticated` unless this secret signed it and it has not expired."""
        if not self._signed.is_signed_with(secret):
            raise unsigned()
        self._signed.check_time(now)


class Signing:
    """Finds who signed. Each signature is looked for once; whether its signer may still sign is the gate's to say."""

    def __init__(self, engine: Engine, tokens: Tokens, catalog: Catalog) -> None:
        self._engine, self._tokens, self._catalog = engine, tokens, catalog
        self._known: dict[bytes, str] = {}

    def read(self, request: Request) -> Evidence | None:
        """The reader of this credential."""
        signed = signed_of(request)
        return None if signed is None else Evidence(signed, self._signer(signed) or "operator")

    def caller(self, signed: jwt.Signed, *, checked: bool) -> Caller:
        """Who calls with a signed token; `checked` says whether a gate has looked at the signature."""
        if not checked:
            if self._signer(signed) is None:
                raise unsigned()
            signed.check_time(time.time())
        return Caller(
            name=signed.payload.name,
            workspace=self._workspace(signed),
            grants=signed.grants(),
            token=f"jwt/{signed.payload.name}",
            fixed=signed.fixed(),
            rps=signed.payload.limits.rps or 0,
        )

    def _workspace(self, signed: jwt.Signed) -> str:
        wanted = signed.payload.workspace_id
        names = [DEFAULT, *(one["name"] for one in self._catalog.all(DEFAULT, WORKSPACE))]
        found = next((name for name in names if workspace_id(name) == wanted), None)
        if found is None:
            raise RunyardError(Code.UNAUTHENTICATED, f"There is no workspace {wanted!r}.", auth="unknown")
        return str(found)

    def _signer(self, signed: jwt.Signed) -> str | None:
        """The key id of the administrator's token that signed it."""
        whole = signed.message + b"." + signed.signature
        known = self._known.get(whole)
        if known is not None:
            return known
        found = next((text for text in self._secrets(self._workspace(signed)) if signed.is_signed_with(text)), None)
        if found is None:
            return None
        if len(self._known) >= _KNOWN:
            self._known.clear()
        self._known[whole] = str(key_id(found))
        return self._known[whole]

    def _secrets(self, workspace: str) -> list[str]:
        registry = self._engine.registry
        ids = [
            one["principal"]
            for one in self._catalog.all(workspace, TOKEN)
            if any(grant["type"] == "ADMIN" for grant in one["grants"])
        ]
        found = [one for held in ids if (one := registry.principal(held)) is not None]
        if workspace == DEFAULT:
            found += [one for one in registry.principals() if "admin" in one.scopes]
        return [self._tokens.derive(one) for one in found if not one.disabled]


def signed_of(request: Request) -> jwt.Signed | None:
    """The signed token of a request, if that is its credential."""
    return jwt.read(bearer(request) or query_token(request))


def unsigned() -> RunyardError:
    """Nobody here signed it."""
    said = "The token is not signed with an administrator's token of its workspace."
    return RunyardError(Code.UNAUTHENTICATED, said, auth="signature")
