"""Changes of the catalog that are no runs: views are made and dropped, tables are dropped."""

from __future__ import annotations

import threading
from typing import Any

import duckdb

from runyard.warehouse import partitions
from runyard.warehouse.catalog import described
from runyard.warehouse.database import Database
from runyard.warehouse.failures import NotFound
from runyard.warehouse.locks import Ticket, WriterLocks
from runyard.warehouse.outbox import Outbox
from runyard.warehouse.protocol import Answer, Change, CreateView, DropTable, DropView, PartitionTable
from runyard.warehouse.refused import Refused, Unsaid
from runyard.warehouse.seat import Seat
from runyard.warehouse.tables import columns, path
from runyard.warehouse.touched import named
from runyard.warehouse.views import View, Views


class Definer:
    """Takes changes in the server's order, and a place for each in the line of writers."""

    def __init__(self, database: Database, outbox: Outbox, locks: WriterLocks, views: Views) -> None:
        self._database, self._outbox, self._locks, self._views = database, outbox, locks, views

    def accept(self, message: Change) -> None:
        """Answers later, by a message with the same id."""
        ticket = self._locks.take(self._tables(message))
        threading.Thread(target=self._do, args=(message, ticket), name="definer", daemon=True).start()

    def _tables(self, message: Change) -> frozenset[str] | None:
        """The tables that nobody may write meanwhile. A source leads to its target from now on, for who comes next."""
        match message:
            case CreateView():
                self._locks.lead(message.source, message.target)
                return frozenset({message.source.lower(), message.target.lower()})
            case DropView():
                view = self._views.find(message.name)
                return frozenset({view.source.lower(), view.target.lower()}) if view else frozenset()
            case DropTable():
                return frozenset({message.table.lower(), f"{message.table.lower()}_quarantine"})
            case PartitionTable():
                return frozenset({message.table.lower()})

    def _do(self, message: Change, ticket: Ticket) -> None:
        seat = Seat(self._database)
        try:
            ticket.ready.wait()
            answer = Answer(message.id, self._change(message, seat))
        except NotFound as error:
            answer = Answer(message.id, error=str(error), missing=True)
        except (Refused, duckdb.Error, ValueError) as error:
            said = (str(error).strip() or type(error).__name__).splitlines()[0]
            answer = Answer(message.id, error=said, unsayable=isinstance(error, Unsaid))
        except Exception as error:  # whoever waits must be answered
            answer = Answer(message.id, error=f"The warehouse made a mistake ({type(error).__name__}: {error}).")
        finally:
            self._locks.give_back(ticket)
            seat.leave(clean=False)
        self._outbox.send(answer)

    def _change(self, message: Change, seat: Seat) -> dict[str, Any]:
        match message:
            case CreateView():
                return self._create(message, seat.take(message.schema))
            case DropView():
                return {"dropped": self._views.drop(seat.take("main"), message.name)}
            case DropTable():
                return self._drop_table(message, seat.take(message.schema))
            case PartitionTable():
                return _partition(message, seat.take("main"))

    def _create(self, message: CreateView, cursor: duckdb.DuckDBPyConnection) -> dict[str, Any]:
        if not message.name.strip():
            raise Refused("A view needs a name.")
        view = View(
            name=message.name,
            schema=message.schema,
            source=message.source,
            statement=message.statement,
            target=message.target,
            dialect=message.dialect,
        )
        created = self._views.create(cursor, view)
        kept = self._views.find(message.name)
        return {"created": created, **({} if kept is None else described(kept))}

    def _drop_table(self, message: DropTable, cursor: duckdb.DuckDBPyConnection) -> dict[str, Any]:
        """With its quarantine, and with its views when that was asked: all in one transaction."""
        views = self._views.touching(named(message.schema, message.table))
        if views and not message.with_views:
            raise Refused(f"The table {message.table} belongs to the view {views[0].name}; drop the view first.")
        if not columns(cursor, message.schema, message.table):
            return {"dropped": False, "views": []}
        cursor.execute("BEGIN TRANSACTION")
        try:
            cursor.execute(f"DROP TABLE {path(message.schema, message.table)}")
            cursor.execute(f"DROP TABLE IF EXISTS {path(message.schema, f'{message.table}_quarantine')}")
            self._views.forget(cursor, views)
            cursor.execute("COMMIT")
        except BaseException:
            cursor.execute("ROLLBACK")
            raise
        self._views.open(cursor)
        return {"dropped": True, "views": [view.name for view in views]}


def _partition(message: PartitionTable, cursor: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    key = partitions.key_of(message.partition_by, message.dialect)
    cursor.execute("BEGIN TRANSACTION")
    try:
        partitions.put(cursor, message.schema, message.table, key)
        cursor.execute("COMMIT")
    except BaseException:
        cursor.rollback()
        raise
    return {"partition_by": partitions.spelled(key)}
