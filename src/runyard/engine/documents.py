"""The facade for documents: what one face defines and the core need not understand (a pipe, a workflow)."""

from __future__ import annotations

from typing import Any

import msgspec

from runyard.core.errors import Code, RunyardError, conflict, invalid, not_found
from runyard.core.model import Document
from runyard.core.query import Page
from runyard.engine.ledger import Ledger
from runyard.engine.writer import Reply, Writer
from runyard.store.base import Store

MAX_PAGE = 1000
DEFAULT = "default"


class Documents:
    """Versioned JSON under (workspace, dialect, kind, key). Write verbs answer once the change is on disk."""

    def __init__(self, store: Store, writer: Writer) -> None:
        self._store = store
        self._writer = writer

    def get(self, dialect: str, kind: str, key: str, workspace: str = DEFAULT) -> Document:
        """One document; raises not_found."""
        with self._store.reading() as reads:
            found = reads.document(workspace, dialect, kind, key)
        if found is None:
            raise not_found(kind, key)
        return found

    def find(
        self,
        dialect: str,
        kind: str,
        workspace: str = DEFAULT,
        limit: int = 100,
        cursor: str | None = None,
        prefix: str = "",
    ) -> Page[Document]:
        """A page of those whose keys begin with `prefix`, in the order of their keys; `cursor` is the last key before.

        Raises invalid for a limit outside 1 to 1,000.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise invalid(f"limit must be 1 to {MAX_PAGE}; it is {limit}.", field="limit")
        with self._store.reading() as reads:
            found = reads.documents(workspace, dialect, kind, prefix, cursor, limit + 1)
        return Page(found[:limit], found[limit - 1].key if len(found) > limit else None)

    def create(
        self, dialect: str, kind: str, key: str, body: dict[str, Any], by: str, workspace: str = DEFAULT
    ) -> Reply[Document]:
        """Keeps a new one; already_exists when the key is taken."""

        def run(ledger: Ledger) -> Document:
            ledger.lock("document", (workspace, dialect, kind, key))
            if ledger.session.document(workspace, dialect, kind, key) is not None:
                raise RunyardError(Code.ALREADY_EXISTS, f"There is a {kind} {key!r} already.", key=key)
            return _first(ledger, (workspace, dialect, kind, key), body, by)

        return self._writer.execute(run)

    def replace(
        self,
        dialect: str,
        kind: str,
        key: str,
        body: dict[str, Any],
        by: str,
        workspace: str = DEFAULT,
        version: int | None = None,
    ) -> Reply[Document]:
        """Keeps a new version; not_found, or conflict when the kept version is not `version`."""

        def run(ledger: Ledger) -> Document:
            ledger.lock("document", (workspace, dialect, kind, key))
            kept = ledger.session.document(workspace, dialect, kind, key)
            if kept is None:
                raise not_found(kind, key)
            if version is not None and version != kept.version:
                raise conflict(f"The {kind} {key!r} is at version {kept.version}, not {version}.", version=kept.version)
            return _next(ledger, kept, body, by)

        return self._writer.execute(run)

    def put(
        self, dialect: str, kind: str, key: str, body: dict[str, Any], by: str, workspace: str = DEFAULT
    ) -> Reply[Document]:
        """Keeps it, new or as a new version."""

        def run(ledger: Ledger) -> Document:
            ledger.lock("document", (workspace, dialect, kind, key))
            kept = ledger.session.document(workspace, dialect, kind, key)
            if kept is None:
                return _first(ledger, (workspace, dialect, kind, key), body, by)
            return _next(ledger, kept, body, by)

        return self._writer.execute(run)

    def delete(self, dialect: str, kind: str, key: str, by: str, workspace: str = DEFAULT) -> Reply[bool]:
        """Removes it; whether it was there."""

        def run(ledger: Ledger) -> bool:
            ledger.lock("document", (workspace, dialect, kind, key))
            kept = ledger.session.document(workspace, dialect, kind, key)
            if kept is not None:
                ledger.session.delete(kept)
            return kept is not None

        return self._writer.execute(run)


def _first(ledger: Ledger, where: tuple[str, str, str, str], body: dict[str, Any], by: str) -> Document:
    now = ledger.now()
    workspace, dialect, kind, key = where
    if not key:
        raise invalid(f"A {kind} needs a name.", field="key")
    one = Document(
        workspace=workspace,
        dialect=dialect,
        kind=kind,
        key=key,
        version=1,
        body=body,
        created_at=now,
        updated_at=now,
        updated_by=by,
    )
    ledger.session.put(one)
    return one


def _next(ledger: Ledger, kept: Document, body: dict[str, Any], by: str) -> Document:
    values = {"body": body, "version": kept.version + 1, "updated_at": ledger.now(), "updated_by": by}
    one = msgspec.structs.replace(kept, **values)
    ledger.session.put(one)
    return one
