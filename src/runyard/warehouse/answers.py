"""Interactive reads for the server: small, read-only, a few at a time, on threads of their own."""

from __future__ import annotations

import queue
import threading
from pathlib import Path
from typing import Any

import duckdb

from runyard.warehouse.catalog import Catalog, described
from runyard.warehouse.database import Database
from runyard.warehouse.effects import drop_result, recorded, undo
from runyard.warehouse.failures import NotFound
from runyard.warehouse.grants import granted
from runyard.warehouse.limits import Limits, fetched, within
from runyard.warehouse.outbox import Outbox
from runyard.warehouse.parts import fit, page
from runyard.warehouse.protocol import (
    Answer,
    ListViews,
    Outcomes,
    Partitions,
    Query,
    Question,
    ResultPage,
    Table,
    Tables,
)
from runyard.warehouse.reads import Reads
from runyard.warehouse.refused import Refused
from runyard.warehouse.remarks import spelled_out
from runyard.warehouse.results import as_texts, columns_of, safe_rows
from runyard.warehouse.seat import Seat
from runyard.warehouse.sql import OUTPUT, reading
from runyard.warehouse.views import Views

_THREADS = 4


class Answers:
    """Answers questions in the order in which they come, as far as there are threads."""

    def __init__(self, database: Database, outbox: Outbox, views: Views, reads: Reads, attempts: Path) -> None:
        self._database, self._outbox, self._views, self._attempts = database, outbox, views, attempts
        self._catalog = Catalog(views, reads)
        self._asked: queue.SimpleQueue[Question] = queue.SimpleQueue()
        for number in range(_THREADS):
            threading.Thread(target=self._work, name=f"answers-{number}", daemon=True).start()

    def ask(self, message: Question) -> None:
        """Answers later, by a message with the same id."""
        self._asked.put(message)

    def _work(self) -> None:
        seat = Seat(self._database)
        while True:
            message = self._asked.get()
            self._outbox.send(self._answer(message, seat))

    def _answer(self, message: Question, seat: Seat) -> Answer:
        try:
            return Answer(message.id, self._found(message, seat))
        except NotFound as error:
            return Answer(message.id, error=str(error), missing=True)
        except (Refused, duckdb.Error, ValueError) as error:
            return Answer(message.id, error=(str(error).strip() or type(error).__name__).splitlines()[0])
        except Exception as error:  # whoever waits must be answered, and the thread must live on
            return Answer(message.id, error=f"The warehouse made a mistake ({type(error).__name__}: {error}).")
        finally:
            seat.leave(clean=False)

    def _found(self, message: Question, seat: Seat) -> Any:
        match message:
            case Query():
                return _query(message, seat)
            case Tables():
                return self._catalog.tables(seat.take("main"))
            case Table():
                return self._catalog.table(seat.take("main"), message.schema, message.table)
            case Partitions():
                cursor = seat.take("main")
                return self._catalog.partitions(cursor, message.schema, message.table, message.limit, message.offset)
            case ResultPage():
                first = self._attempts / str(message.run_id) / str(message.task_run_id) / OUTPUT
                return page(seat.take("main"), first, message.offset, message.limit)
            case Outcomes():
                cursor = seat.take("main")
                return [recorded(cursor, key) for key in message.effects]
            case ListViews():
                return [described(view) for view in self._views.all()]


def _query(message: Query, seat: Seat) -> dict[str, Any]:
    statement, values = reading(message.sql, message.parameters, message.dialect)
    cursor = seat.take(message.schema)
    cursor.execute("BEGIN TRANSACTION READ ONLY")
    try:
        with within(cursor, message.seconds):
            granted(message.reads, None).check(cursor, statement.query, values, message.schema)
            statement = spelled_out(cursor, statement, message.schema)
            cursor.execute(statement, values) if values else cursor.execute(statement)
            columns = columns_of(cursor)
            if (texts := as_texts(statement.query.strip().rstrip(";"), columns)) is not None:
                drop_result(cursor)
                cursor.execute(texts, values) if values else cursor.execute(texts)
            rows = fetched(cursor, columns, message.limit, Limits(size=message.max_bytes))
            more = len(rows) == message.limit and cursor.fetchone() is not None
        kept = fit(safe_rows(columns, rows))
        cut = len(kept) < len(rows)
        return {"columns": columns, "rows": kept, "cut": cut, "more": cut or more}
    finally:
        undo(cursor)
