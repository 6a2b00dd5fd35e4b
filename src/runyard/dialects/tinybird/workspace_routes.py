"""Routes of workspaces, regions and what else both command lines ask before they begin."""

from __future__ import annotations

import re
from typing import Any

from runyard.core.errors import Code, RunyardError, invalid
from runyard.dialects.base import SIGNED_IN, Answer, Route
from runyard.dialects.tinybird import access
from runyard.dialects.tinybird.access import Caller, Grant
from runyard.dialects.tinybird.catalog import ADMIN_TOKEN, DATASOURCE, DEFAULT, DIALECT, PIPE, TOKEN, WORKSPACE
from runyard.dialects.tinybird.datasources import Sources
from runyard.dialects.tinybird.face import DEV_PRINCIPAL, Face, given
from runyard.dialects.tinybird.pipes import Pipes
from runyard.dialects.tinybird.service_rows import uuid_of, workspace_id
from runyard.dialects.tinybird.token_routes import Tokens
from runyard.http.answers import answer, nothing
from runyard.http.request import Request

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


class WorkspaceRoutes:
    """Handlers of workspaces."""

    def __init__(self, face: Face, tokens: Tokens, sources: Sources, pipes: Pipes) -> None:
        self._face, self._tokens, self._sources, self._pipes = face, tokens, sources, pipes

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family, under both versions; a slash at the end of a list's path is optional."""
        found = [
            Route("GET", "/tokens", SIGNED_IN, self.local_tokens),
            Route("GET", "/v0/auth", SIGNED_IN, self.auth),
            Route("GET", "/v0/health", SIGNED_IN, self.health),
            Route("GET", "/v0/connectors", SIGNED_IN, self.connectors),
            Route("GET", "/v0/variables", SIGNED_IN, self.variables),
            Route("GET", "/v0/tags", SIGNED_IN, self.tags),
            Route("GET", "/v0/environments", SIGNED_IN, self.environments),
            Route("GET", "/v0/templates", SIGNED_IN, self.templates),
        ]
        for version in ("/v0", "/v1"):
            found += [
                Route("GET", f"{version}/workspace", SIGNED_IN, self.show),
                Route("GET", f"{version}/workspace/", SIGNED_IN, self.show),
                Route("GET", f"{version}/user/workspaces", SIGNED_IN, self.find),
                Route("GET", f"{version}/user/workspaces/", SIGNED_IN, self.find),
                Route("GET", f"{version}/regions", SIGNED_IN, self.regions),
                Route("POST", f"{version}/workspaces", SIGNED_IN, self.create),
                Route("GET", f"{version}/workspaces/{{id}}", SIGNED_IN, self.one),
                Route("GET", f"{version}/workspaces/{{id}}/releases", SIGNED_IN, self.releases),
                Route("DELETE", f"{version}/workspaces/{{id}}", SIGNED_IN, self.delete),
            ]
        return tuple(found)

    # --- look ---

    async def show(self, request: Request) -> Answer:
        """GET /v0/workspace"""
        caller = self._face.caller(request)
        return answer(self._shown(caller, caller.workspace) | {"scope": "admin" if caller.admin else "user"})

    async def one(self, request: Request) -> Answer:
        """GET /v0/workspaces/{id}"""
        caller = self._face.caller(request)
        caller.need_admin()
        name = self._named(caller, request.text("id"))
        return answer(self._shown(caller, name) | {"token": self._token(name)})

    async def find(self, request: Request) -> Answer:
        """GET /v0/user/workspaces"""
        caller = self._face.caller(request)
        user = uuid_of(f"user/{caller.name}")
        listed = [
            {**self._shown(caller, name), "token": self._token(name), "members": [], "releases": []}
            for name in self._visible(caller)
        ]
        return answer(
            {
                "id": user,
                "email": f"{caller.name}@localhost",
                "organization_id": None,
                "organization_name": None,
                "workspaces": listed,
            }
        )

    def _shown(self, caller: Caller, name: str) -> dict[str, Any]:
        user = uuid_of(f"user/{caller.name}")
        return {
            "id": workspace_id(name),
            "name": name,
            "user_id": user,
            "user_email": f"{caller.name}@localhost",
            "owner": user,
            "role": "admin" if caller.admin else "viewer",
            "plan": "self-hosted",
            "main": None,
            "is_branch": False,
            "organization_id": None,
        }

    def _visible(self, caller: Caller) -> list[str]:
        if caller.workspace != DEFAULT or not caller.admin:
            return [caller.workspace]
        return [DEFAULT, *(one["name"] for one in self._face.catalog.all(DEFAULT, WORKSPACE))]

    def _token(self, name: str) -> str:
        token = self._face.catalog.find(name, TOKEN, ADMIN_TOKEN)
        return self._tokens.text(token) if token is not None else ""

    def _named(self, caller: Caller, text: str) -> str:
        found = next((name for name in self._visible(caller) if text in (name, workspace_id(name))), None)
        if found is None:
            raise RunyardError(Code.NOT_FOUND, f'Workspace "{text}" not found')
        return found

    # --- make ---

    async def create(self, request: Request) -> Answer:
        """POST /v1/workspaces?name=: a workspace with a warehouse and an administrator's token of its own."""
        caller, values = self._face.caller(request), await given(request)
        if caller.workspace != DEFAULT:
            raise access.denied("Workspaces are made with a token of the default workspace.")
        caller.need_admin()
        name = str(values.get("name") or "")
        if not _NAME.fullmatch(name):
            raise invalid(f"{name!r} cannot be a workspace: use letters, digits, dot, dash, underscore.", field="name")
        if name in self._visible(caller):
            raise RunyardError(Code.ALREADY_EXISTS, f'There is already a workspace with name "{name}".')
        documents = self._face.engine.documents
        body = {"id": workspace_id(name), "name": name}
        await self._tokens.create(caller, ADMIN_TOKEN, [Grant("ADMIN")], "", workspace=name)
        await documents.create(DIALECT, WORKSPACE, name, body, caller.name, DEFAULT)
        inner = Caller(name=caller.name, workspace=name, admin=True)
        await self._face.statements(inner, f"workspace {name}", "CREATE SCHEMA IF NOT EXISTS main")
        return answer(self._shown(caller, name) | {"token": self._token(name)})

    async def delete(self, request: Request) -> Answer:
        """DELETE /v1/workspaces/{id}: an empty one, or any when that is confirmed; its jobs stay in the history."""
        caller = self._face.caller(request)
        caller.need_admin()
        name = self._named(caller, request.text("id"))
        if name == DEFAULT:
            raise invalid("The default workspace cannot be deleted.")
        left = [one["name"] for kind in (DATASOURCE, PIPE) for one in self._face.catalog.all(name, kind)]
        sure = (await given(request)).get("hard_delete_confirmation") == "yes"
        if left and not sure:
            said = "drop what is in it first, or say hard_delete_confirmation=yes."
            raise invalid(f"The workspace {name!r} still holds {', '.join(left[:5])}; {said}")
        inner = Caller(name=caller.name, workspace=name, admin=True)
        await self._emptied(inner)
        for token in self._face.catalog.all(name, TOKEN):
            await self._tokens.delete(inner, token)
        await self._face.engine.documents.delete(DIALECT, WORKSPACE, name, caller.name, DEFAULT)
        return nothing()

    async def _emptied(self, caller: Caller) -> None:
        """Removes all pipes, Data Sources and deployments of a workspace."""
        for pipe in self._face.catalog.all(caller.workspace, PIPE):
            await self._pipes.delete(caller, pipe)
        for source in self._face.catalog.all(caller.workspace, DATASOURCE):
            await self._sources.drop(caller, source)
        documents = self._face.engine.documents
        for one in documents.find(DIALECT, "deployment", caller.workspace, 1000).items:
            await documents.delete(DIALECT, "deployment", one.key, caller.name, caller.workspace)

    # --- what the clients ask first ---

    async def local_tokens(self, request: Request) -> Answer:
        """GET /tokens, which the newer client asks of a local server; answered with --dev only."""
        if request.principal.id != DEV_PRINCIPAL or request.principal.name != "dev":
            raise access.denied("Tokens are handed out here only by a server that was started with --dev.")
        names = ("user_token", "admin_token", "workspace_admin_token")
        return answer({name: name.replace("_", "-") for name in names})

    async def auth(self, request: Request) -> Answer:
        """GET /v0/auth"""
        caller = self._face.caller(request)
        return answer({"is_valid": True, "is_user": caller.admin, "name": caller.name})

    async def health(self, request: Request) -> Answer:
        """GET /v0/health"""
        return answer({"status": "ok"})

    async def regions(self, request: Request) -> Answer:
        """GET /v0/regions"""
        self._face.caller(request)
        return answer({"regions": []})

    async def connectors(self, request: Request) -> Answer:
        """GET /v0/connectors: there are none."""
        self._face.caller(request)
        return answer({"connectors": []})

    async def variables(self, request: Request) -> Answer:
        """GET /v0/variables: secrets are not kept here."""
        self._face.caller(request)
        return answer({"variables": []})

    async def tags(self, request: Request) -> Answer:
        """GET /v0/tags: there are none."""
        self._face.caller(request)
        return answer({"tags": []})

    async def environments(self, request: Request) -> Answer:
        """GET /v0/environments: there are no branches."""
        self._face.caller(request)
        return answer({"environments": []})

    async def releases(self, request: Request) -> Answer:
        """GET /v0/workspaces/{id}/releases: there are none."""
        self._face.caller(request)
        return answer({"releases": []})

    async def templates(self, request: Request) -> Answer:
        """GET /v0/templates: there are none."""
        self._face.caller(request)
        return answer({"templates": []})
