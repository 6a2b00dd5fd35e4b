"""Routes of tokens. A token is a principal of this server and a document with its scopes; its text is derived.

Source: Tinybird API reference, 'Tokens API'.
"""

from __future__ import annotations

from typing import Any

import msgspec

from runyard.core.errors import Code, RunyardError, invalid
from runyard.core.model import Principal
from runyard.dialects.base import SIGNED_IN, Answer, Route
from runyard.dialects.tinybird import access, catalog, jwt
from runyard.dialects.tinybird.access import Caller, Grant
from runyard.dialects.tinybird.catalog import ADMIN_TOKEN, DATASOURCE, PIPE, TOKEN
from runyard.dialects.tinybird.face import ORIGIN, Face, given, json_object, many
from runyard.dialects.tinybird.service_rows import workspace_id
from runyard.http.answers import answer, nothing
from runyard.http.request import Request

_MAX_NAME = 200


class Tokens:
    """Makes, changes and shows tokens."""

    def __init__(self, face: Face) -> None:
        self._face = face

    async def create(
        self, caller: Caller, name: str, grants: list[Grant], description: str = "", workspace: str | None = None
    ) -> dict[str, Any]:
        """A new token; already_exists for a name in use."""
        where = workspace or caller.workspace
        if not 0 < len(name) <= _MAX_NAME or "/" in name:
            raise invalid(f"A token's name has 1 to {_MAX_NAME} characters and no slash; it is {name!r}.", field="name")
        if self._face.catalog.find(where, TOKEN, name) is not None:
            raise RunyardError(Code.ALREADY_EXISTS, f'There is already a token with name "{name}".')
        label = f"{ORIGIN}/{where}/{name}"
        principal = await self._face.engine.registry.create_principal(label, [], None, caller.name)
        body = {
            "id": catalog.new_id().removeprefix("t_"),
            "name": name,
            "principal": principal.id,
            "grants": [msgspec.to_builtins(one) for one in grants],
            "description": description,
        }
        try:
            return await self._face.catalog.create(where, TOKEN, body, caller.name)
        except BaseException:
            await self._face.engine.registry.delete_principal(principal.id, caller.name)
            raise

    async def change(self, caller: Caller, token: dict[str, Any], grants: list[Grant] | None, **more: Any) -> Any:
        """New scopes or description; the text of the token stays."""
        changed = {**token, **{key: value for key, value in more.items() if value is not None}}
        if grants is not None:
            changed["grants"] = [msgspec.to_builtins(one) for one in grants]
        return await self._face.catalog.replace(caller.workspace, TOKEN, changed, caller.name)

    async def refresh(self, caller: Caller, token: dict[str, Any]) -> None:
        """A new text; the old one is void."""
        await self._face.engine.registry.revoke(token["principal"], caller.name)

    async def delete(self, caller: Caller, token: dict[str, Any]) -> None:
        """Its text is void from now on."""
        await self._face.engine.registry.delete_principal(token["principal"], caller.name)
        await self._face.catalog.delete(caller.workspace, TOKEN, token, caller.name)

    def text(self, token: dict[str, Any]) -> str:
        """What a client sends."""
        principal: Principal | None = self._face.engine.registry.principal(token["principal"])
        return self._face.tokens.derive(principal) if principal is not None else ""

    def shown(self, token: dict[str, Any]) -> dict[str, Any]:
        """A token as this platform shows it."""
        scopes = [access.body(msgspec.convert(one, Grant)) for one in token["grants"]]
        return {
            "id": token["id"],
            "name": token["name"],
            "token": self.text(token),
            "scopes": scopes,
            "description": token["description"],
            "origin": {"type": "C"},
            "host": "",
            "is_internal": False,
        }


class TokenRoutes:
    """Handlers of the Tokens API."""

    def __init__(self, face: Face, tokens: Tokens) -> None:
        self._face, self._tokens = face, tokens

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        return (
            Route("GET", "/v0/tokens", SIGNED_IN, self.find),
            Route("POST", "/v0/tokens", SIGNED_IN, self.create),
            Route("GET", "/v0/tokens/{name}", SIGNED_IN, self.show),
            Route("PUT", "/v0/tokens/{name}", SIGNED_IN, self.update),
            Route("DELETE", "/v0/tokens/{name}", SIGNED_IN, self.delete),
            Route("POST", "/v0/tokens/{name}/refresh", SIGNED_IN, self.refresh),
        )

    async def find(self, request: Request) -> Answer:
        """GET /v0/tokens"""
        caller = self._keeper(request)
        found = self._face.catalog.all(caller.workspace, TOKEN)
        return answer({"tokens": [self._tokens.shown(token) for token in found]})

    async def show(self, request: Request) -> Answer:
        """GET /v0/tokens/{name}; a token may also look at itself."""
        caller, name = self._face.caller(request), request.text("name").removesuffix(".token")
        token = self._face.catalog.token(caller.workspace, name)
        if not caller.issued or token["name"] != caller.name:
            self._check_keeper(caller)
        return answer(self._tokens.shown(token))

    async def create(self, request: Request) -> Answer:
        """POST /v0/tokens?name=&scope=&scope=; with expiration_time a signed one, which is not kept."""
        caller, values = self._keeper(request), await given(request)
        body = await request.whole()
        if body.lstrip()[:1] == b"{":  # the clients send JSON without saying so
            values |= json_object(body)
        if values.get("expiration_time"):
            return answer({"token": await self._signed(caller, values)})
        grants = self._grants(caller, request, values)
        made = await self._tokens.create(caller, str(values.get("name") or ""), grants, values.get("description") or "")
        return answer(self._tokens.shown(made))

    async def _signed(self, caller: Caller, values: dict[str, Any]) -> str:
        """A JSON Web Token, signed with the workspace's own administrator's token."""
        caller.need_admin()
        given = {
            "workspace_id": workspace_id(caller.workspace),
            "name": str(values.get("name") or ""),
            "exp": values["expiration_time"],
            "scopes": values.get("scopes") or [],
            "limits": values.get("limits") or {},
        }
        try:
            payload = msgspec.convert(given, jwt.Payload, strict=False)
        except msgspec.ValidationError as error:
            raise invalid(f"The token cannot be made: {error}.") from None
        token = self._face.catalog.find(caller.workspace, TOKEN, ADMIN_TOKEN)
        if token is None:
            token = await self._tokens.create(caller, ADMIN_TOKEN, [Grant("ADMIN")])
        return jwt.sign(payload, self._tokens.text(token))

    async def update(self, request: Request) -> Answer:
        """PUT /v0/tokens/{name}?scope="""
        caller, values = self._keeper(request), await given(request)
        token = self._face.catalog.token(caller.workspace, request.text("name"))
        held = [msgspec.convert(one, Grant) for one in token["grants"]]
        grants = self._grants(caller, request, values, held) if values.get("scope") or values.get("scopes") else None
        changed = await self._tokens.change(caller, token, grants, description=values.get("description"))
        return answer(self._tokens.shown(changed))

    async def refresh(self, request: Request) -> Answer:
        """POST /v0/tokens/{id}/refresh"""
        caller = self._keeper(request)
        token = self._face.catalog.token(caller.workspace, request.text("name"))
        await self._tokens.refresh(caller, token)
        return answer(self._tokens.shown(token))

    async def delete(self, request: Request) -> Answer:
        """DELETE /v0/tokens/{id}"""
        caller = self._keeper(request)
        await self._tokens.delete(caller, self._face.catalog.token(caller.workspace, request.text("name")))
        return nothing()

    def _keeper(self, request: Request) -> Caller:
        caller = self._face.caller(request)
        self._check_keeper(caller)
        return caller

    def _check_keeper(self, caller: Caller) -> None:
        if not caller.admin:
            caller.need("TOKENS")

    def _grants(
        self, caller: Caller, request: Request, values: dict[str, Any], held: list[Grant] | None = None
    ) -> list[Grant]:
        """The scopes that were asked for; nobody gives away more than an administrator may but an administrator.

        Of those that a token has already, the ones for what was dropped meanwhile are left out.
        """
        texts = many(request, "scope")
        listed = values.get("scopes")
        if isinstance(listed, list):
            texts += [_text(one) for one in listed]
        elif not texts and values.get("scope"):
            texts = [str(values["scope"])]
        grants = [access.parse(text) for text in texts]
        grants = [one for one in grants if one not in (held or []) or self._is_there(caller, one)]
        for one in grants:
            if one.type in ("ADMIN", "ADMIN_USER", "TOKENS") and not caller.admin:
                raise access.denied(f"Only a token with the scope ADMIN can give the scope {one.type}.")
            kind = DATASOURCE if one.type.startswith("DATASOURCES") else PIPE
            if one.resource:
                self._face.catalog.need(caller.workspace, kind, one.resource)
        return grants

    def _is_there(self, caller: Caller, one: Grant) -> bool:
        kind = DATASOURCE if one.type.startswith("DATASOURCES") else PIPE
        return not one.resource or self._face.catalog.find(caller.workspace, kind, one.resource) is not None


def _text(one: Any) -> str:
    if isinstance(one, dict):
        parts = (one.get("type"), one.get("resource"), one.get("filter"))
        return ":".join(str(part) for part in parts if part)
    return str(one)
