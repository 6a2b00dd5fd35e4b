"""Data Sources, pipes, tokens and workspaces as documents: by name, with a pointer from each id to its name."""

from __future__ import annotations

import re
import secrets
from typing import Any

from runyard.core.errors import Code, RunyardError, invalid, not_found
from runyard.engine.documents import Documents

DIALECT = "tinybird"
DATASOURCE, PIPE, TOKEN, WORKSPACE, POINTER = "datasource", "pipe", "token", "workspace", "id"
SHOWN = {DATASOURCE: "Data Source", PIPE: "Pipe", TOKEN: "Token"}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,119}")
DEFAULT = "default"
"""The workspace that is always there."""
ADMIN_TOKEN = "workspace admin token"
_PAGE = 1000


def check_name(name: Any, what: str) -> str:
    """A name that a table can have; raises `invalid`."""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name.lower().startswith("_runyard"):
        rule = "Use letters, digits and underscores, beginning with no digit, at most 120."
        raise invalid(f"{name!r} cannot be the name of a {what}. {rule}", field="name")
    return name


def new_id() -> str:
    """`t_` and 32 hexadecimal digits."""
    return f"t_{secrets.token_hex(16)}"


class Catalog:
    """Bodies by name or id. Each write is one document; the pointer of an id is written first and read last."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    # --- one ---

    def find(self, workspace: str, kind: str, name_or_id: str) -> dict[str, Any] | None:
        """A body, or None."""
        found = self._by_name(workspace, kind, name_or_id)
        if found is None and len(name_or_id) > 30:
            pointer = self._by_name(workspace, POINTER, name_or_id)
            if pointer is not None and pointer["kind"] == kind:
                found = self._by_name(workspace, kind, pointer["name"])
        return found

    def need(self, workspace: str, kind: str, name_or_id: str) -> dict[str, Any]:
        """A body; raises not_found in this platform's words."""
        found = self.find(workspace, kind, name_or_id)
        if found is None:
            raise RunyardError(Code.NOT_FOUND, f'{SHOWN[kind]} "{name_or_id}" not found')
        return found

    def datasource(self, workspace: str, name_or_id: str) -> dict[str, Any]:
        """A Data Source's body; raises not_found."""
        return self.need(workspace, DATASOURCE, name_or_id)

    def pipe(self, workspace: str, name_or_id: str) -> dict[str, Any]:
        """A pipe's body; raises not_found."""
        return self.need(workspace, PIPE, name_or_id)

    def token(self, workspace: str, name_or_id: str) -> dict[str, Any]:
        """A token's body; raises not_found."""
        return self.need(workspace, TOKEN, name_or_id)

    def _by_name(self, workspace: str, kind: str, name: str) -> dict[str, Any] | None:
        if not name:
            return None
        try:
            document = self._documents.get(DIALECT, kind, name, workspace)
        except RunyardError as error:
            if error.code is Code.NOT_FOUND:
                return None
            raise
        stamps = {"created_at": document.created_at, "updated_at": document.updated_at}
        return {**stamps, **document.body, "version": document.version}

    # --- all ---

    def all(self, workspace: str, kind: str) -> list[dict[str, Any]]:
        """Every body of a kind, by name."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            page = self._documents.find(DIALECT, kind, workspace, _PAGE, cursor)
            found += [
                {"created_at": one.created_at, "updated_at": one.updated_at, **one.body, "version": one.version}
                for one in page.items
            ]
            cursor = page.next
            if cursor is None:
                return found

    # --- writes ---

    async def create(self, workspace: str, kind: str, body: dict[str, Any], by: str) -> dict[str, Any]:
        """Keeps a new one; already_exists when the name is taken, also by a pipe or Data Source."""
        name = body["name"]
        other = {DATASOURCE: PIPE, PIPE: DATASOURCE}.get(kind)
        for taken in (kind, other):
            if taken is not None and self._by_name(workspace, taken, name) is not None:
                message = f'There is already a {SHOWN[taken]} with name "{name}". Pick a different name.'
                raise RunyardError(Code.ALREADY_EXISTS, message)
        await self._point(workspace, kind, body, by)
        document = await self._documents.create(DIALECT, kind, name, body, by, workspace)
        stamps = {"created_at": document.created_at, "updated_at": document.updated_at, "version": 1}
        return {**stamps, **document.body}

    async def _point(self, workspace: str, kind: str, body: dict[str, Any], by: str) -> None:
        pointer = {"kind": kind, "name": body["name"]}
        await self._documents.put(DIALECT, POINTER, body["id"], pointer, by, workspace)

    async def replace(self, workspace: str, kind: str, body: dict[str, Any], by: str) -> dict[str, Any]:
        """Keeps a changed body of the same name."""
        kept = {key: value for key, value in body.items() if key not in ("version", "created_at", "updated_at")}
        kept["created_at"] = body["created_at"]
        document = await self._documents.replace(DIALECT, kind, body["name"], kept, by, workspace)
        return {**document.body, "updated_at": document.updated_at, "version": document.version}

    async def put(self, workspace: str, kind: str, body: dict[str, Any], by: str) -> dict[str, Any]:
        """Keeps a body, new or in the place of the one of its name."""
        await self._point(workspace, kind, body, by)
        kept = {key: value for key, value in body.items() if key not in ("version", "updated_at")}
        document = await self._documents.put(DIALECT, kind, body["name"], kept, by, workspace)
        stamps = {"created_at": document.created_at, "updated_at": document.updated_at, "version": document.version}
        return {**stamps, **document.body}

    async def rename(self, workspace: str, kind: str, body: dict[str, Any], name: str, by: str) -> dict[str, Any]:
        """Keeps a body under another name."""
        kept = {key: value for key, value in body.items() if key not in ("version", "updated_at")}
        renamed = await self.create(workspace, kind, {**kept, "name": name}, by)
        await self._documents.delete(DIALECT, kind, body["name"], by, workspace)
        return renamed

    async def delete(self, workspace: str, kind: str, body: dict[str, Any], by: str) -> None:
        """Forgets one."""
        if not await self._documents.delete(DIALECT, kind, body["name"], by, workspace):
            raise not_found(kind, body["name"])
        await self._documents.delete(DIALECT, POINTER, body["id"], by, workspace)
