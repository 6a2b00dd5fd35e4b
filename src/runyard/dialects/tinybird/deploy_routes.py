"""Routes of builds and deployments, as the newer client sends them: a multipart body with a project's datafiles.

Source: the newer official client, its commands `build`, `deploy` and `deployment`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from runyard.core.errors import invalid
from runyard.dialects.base import SIGNED_IN, Answer, Route
from runyard.dialects.tinybird.access import Caller
from runyard.dialects.tinybird.deployments import GONE, Deployments
from runyard.dialects.tinybird.face import Face, asked, yes
from runyard.dialects.tinybird.multipart import files
from runyard.http.answers import answer
from runyard.http.request import Request

PROJECT, VENDORED = "data_project://", "data_project_vendored://"
_HIDDEN = ("plan", "files", "destructive")


class DeployRoutes:
    """Handlers of builds and deployments; all of them need an administrator's token."""

    def __init__(self, face: Face, deployments: Deployments) -> None:
        self._face, self._deployments = face, deployments

    def routes(self) -> tuple[Route, ...]:
        """The routes of this family."""
        one = "/v1/deployments/{id}"
        return (
            Route("POST", "/v1/build", SIGNED_IN, self.build),
            Route("POST", "/v1/deploy", SIGNED_IN, self.deploy),
            Route("GET", "/v1/deployments", SIGNED_IN, self.find),
            Route("GET", one, SIGNED_IN, self.show),
            Route("DELETE", one, SIGNED_IN, self.discard),
            Route("POST", f"{one}/set-live", SIGNED_IN, self.promote),
        )

    async def build(self, request: Request) -> Answer:
        """POST /v1/build: the workspace becomes what the files say."""
        caller = self._caller(request)
        made = await self._deployments.build(caller, await _project(request))
        errors = made["errors"]
        if errors:
            return answer({"result": "failed", "error": _said(errors), "errors": errors})
        return answer({"result": "success", "build": _shown(made)})

    async def deploy(self, request: Request) -> Answer:
        """POST /v1/deploy: check, auto_promote, allow_destructive_operations."""
        caller, values = self._caller(request), asked(request)
        made = await self._deployments.deploy(
            caller,
            await _project(request),
            check=yes(values, "check"),
            auto=yes(values, "auto_promote"),
            destructive=yes(values, "allow_destructive_operations"),
        )
        if made["errors"]:
            return answer({"result": "failed", "error": _said(made["errors"]), "deployment": _shown(made)})
        changed = any(made[f"{op}_{what}_names"] for op in ("new", "changed", "deleted")
                      for what in ("datasource", "pipe"))  # fmt: skip
        return answer({"result": "success" if changed else "no_changes", "deployment": _shown(made)})

    async def find(self, request: Request) -> Answer:
        """GET /v1/deployments"""
        caller, values = self._caller(request), asked(request)
        found = self._deployments.all(caller.workspace, yes(values, "include_deleted"))
        return answer({"deployments": [_shown(one) for one in found]})

    async def show(self, request: Request) -> Answer:
        """GET /v1/deployments/{id}"""
        caller = self._caller(request)
        return answer({"deployment": _shown(self._deployments.need(caller.workspace, request.text("id")))})

    async def discard(self, request: Request) -> Answer:
        """DELETE /v1/deployments/{id}"""
        caller = self._caller(request)
        gone = await self._deployments.discard(caller, request.text("id"))
        return answer({"result": "success", "deployment": {**_shown(gone), "status": GONE}})

    async def promote(self, request: Request) -> Answer:
        """POST /v1/deployments/{id}/set-live"""
        caller = self._caller(request)
        return answer({"result": "success", "deployment": _shown(await self._deployments.promote(
            caller, request.text("id")))})  # fmt: skip

    def _caller(self, request: Request) -> Caller:
        caller = self._face.caller(request)
        caller.need_admin()
        return caller


def _shown(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key not in _HIDDEN}


def _said(errors: list[dict[str, str]]) -> str:
    return "\n".join(f"{one['filename']}: {one['error']}".removeprefix(": ") for one in errors)


async def _project(request: Request) -> dict[str, str]:
    """The datafiles of a request, by path; raises `invalid`."""
    kind = request.header(b"content-type") or ""
    if not kind.startswith("multipart/form-data"):
        raise invalid(f"A project comes as multipart/form-data, with parts of the name {PROJECT}; this is {kind!r}.")
    found: dict[str, str] = {}
    for part, path, content in await files(kind, _once(await request.whole())):
        if part == VENDORED:
            raise invalid("Projects of other workspaces (vendor/) are not answered here: share nothing between them.")
        if part != PROJECT:
            continue
        try:
            found[path] = content.decode()
        except UnicodeDecodeError:
            raise invalid(f"The file {path!r} is not UTF-8.") from None
    if not found:
        raise invalid(f"The project has no datafile: send each as a part of the name {PROJECT}.")
    return found


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
