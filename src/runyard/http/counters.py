"""Counts of requests, kept as plain numbers on the loop: a request pays a dictionary lookup, a scrape the rest."""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper bounds of the duration buckets, in seconds."""


class Key(NamedTuple):
    """What requests are told apart by; `path` is the declared one, so that ids make no new series."""

    face: str
    method: str
    path: str
    status: int


class Tally:
    """Requests of one key: how many, how long in all (seconds), and how many in each duration bucket."""

    __slots__ = ("buckets", "count", "seconds")

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self.buckets = [0] * (len(BOUNDS) + 1)


class Counters:
    """All tallies since the start. Written on the loop only."""

    def __init__(self) -> None:
        self.tallies: dict[Key, Tally] = {}
        self._by_words: dict[tuple[str, str, str, int], Tally] = {}

    def count(self, face: str, method: str, path: str, answer: object, seconds: float) -> None:
        """One request whose answer is ready after this time; sending it, or streaming, is not in it."""
        words = (face, method, path, getattr(answer, "status_code", 200))
        tally = self._by_words.get(words)
        if tally is None:
            tally = self._by_words[words] = self.tallies[Key(*words)] = Tally()
        tally.count += 1
        tally.seconds += seconds
        tally.buckets[bisect_left(BOUNDS, seconds)] += 1
