"""Ids of runs, task runs, jobs and claims: one space, ordered by time, below 2**53.

41 bits of milliseconds since 2020-01-01 UTC, then 12 bits that count within the millisecond. They never go
backwards, even when the clock does, and fit a JavaScript number. Where several nodes draw ids for one store, the
lowest 6 of the 12 bits are the node's number and only the upper 6 count, so that no two nodes draw the same.
"""

from __future__ import annotations

EPOCH_MS = 1_577_836_800_000
_COUNT_BITS = 12
LIMIT = 1 << 53
NODES = 1 << 6
"""How many nodes may draw ids for one store."""


class IdSource:
    """Draws ids: each larger than all before it. `last` is the largest id known to be in use."""

    __slots__ = ("last",)

    def __init__(self, last: int = 0) -> None:
        self.last = last

    def draw(self, now_ms: int) -> int:
        """The next id at this time; runs ahead of the clock when a millisecond is used up."""
        floor = (now_ms - EPOCH_MS) << _COUNT_BITS
        self.last = floor if floor > self.last else self.last + 1
        return self.last


class NodeIdSource(IdSource):
    """Draws ids that no other node draws: they end in this node's number (0 to 63)."""

    __slots__ = ("node",)

    def __init__(self, node: int, last: int = 0) -> None:
        super().__init__(last)
        self.node = node

    def draw(self, now_ms: int) -> int:
        """The next id at this time that ends in the node's number."""
        drawn = super().draw(now_ms)
        self.last = drawn - drawn % NODES + self.node
        if self.last < drawn:
            self.last += NODES
        return self.last


def time_of(identifier: int) -> int:
    """The millisecond (since 1970) in which the id was drawn."""
    return (identifier >> _COUNT_BITS) + EPOCH_MS


def first_at(at_ms: int) -> int:
    """The smallest id of a millisecond: turns a time bound into an id bound."""
    return max(0, at_ms - EPOCH_MS) << _COUNT_BITS
