"""Writers of one table go one after the other, in the order in which they were asked.

DuckDB's concurrency is optimistic: of two writers of one table the later one fails. So a task takes a ticket
when it arrives, and works when no ticket before it names a table of its own. Tickets are taken whole and in
one order, so nobody waits in a circle.
"""

from __future__ import annotations

import threading


class Ticket:
    """A place in the line; `ready` is set when it is this writer's turn."""

    def __init__(self, tables: frozenset[str] | None) -> None:
        self.tables = tables
        self.ready = threading.Event()

    def excludes(self, other: Ticket) -> bool:
        """Whether the two may not work at the same time; tables None excludes every other writer."""
        return self.tables is None or other.tables is None or bool(self.tables & other.tables)


class WriterLocks:
    """The line of writers of one database."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._line: list[Ticket] = []
        self._leads: dict[str, set[str]] = {}

    def lead(self, source: str, target: str) -> None:
        """From now on a writer of the source is one of the target, too: a view fills that."""
        with self._lock:
            self._leads.setdefault(source.lower(), set()).add(target.lower())

    def take(self, tables: frozenset[str] | None) -> Ticket:
        """A place behind all that were taken before."""
        with self._lock:
            ticket = Ticket(tables and self._led(tables))
            self._line.append(ticket)
            self._call()
        return ticket

    def _led(self, tables: frozenset[str]) -> frozenset[str]:
        found, left = set(tables), list(tables)
        while left:
            new = self._leads.get(left.pop(), set()) - found
            found |= new
            left += new
        return frozenset(found)

    def give_back(self, ticket: Ticket) -> None:
        """Ends a place, whether or not its turn had come."""
        with self._lock:
            self._line.remove(ticket)
            self._call()

    def _call(self) -> None:
        for place, ticket in enumerate(self._line):
            if not ticket.ready.is_set() and not any(ticket.excludes(before) for before in self._line[:place]):
                ticket.ready.set()
