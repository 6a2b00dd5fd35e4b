"""Tells many stories on several processes."""

from __future__ import annotations

import gc
import multiprocessing
import time
from collections.abc import Callable, Iterator

import msgspec

from .mutants import broken
from .store import SimStore
from .world import World

CHUNK = 20
_stores: list[SimStore] = []


class Report(msgspec.Struct):
    """How many stories were told, and which promises they found broken."""

    told: int = 0
    failures: list[tuple[int, str]] = []


def tell(seed: int, mutant: str | None = None, say: Callable[[str], None] | None = None) -> str:
    """One story: "" or the promise that was broken."""
    return tell_traced(seed, mutant, say)[0]


def tell_traced(seed: int, mutant: str | None = None, say: Callable[[str], None] | None = None) -> tuple[str, str]:
    """One story: "" or the promise that was broken, and a digest of all that happened."""
    if not _stores:
        _stores.append(SimStore())
    store = _stores[0]
    store.wipe()
    world = World(seed, store, say)
    try:
        with broken(mutant):
            world.tell()
    except Exception as error:  # whatever it is, it is what the story found
        return f"{type(error).__name__}: {error}", world.digest.hexdigest()
    return "", world.digest.hexdigest()


def first_failure(seeds: int, mutant: str) -> tuple[int, str] | None:
    """The first of so many stories that a mutant breaks."""
    for seed in range(seeds):
        failure = tell(seed, mutant)
        if failure:
            return seed, failure
    return None


def run(
    first: int,
    seeds: int,
    *,
    jobs: int = 2,
    mutant: str | None = None,
    seconds: float | None = None,
    heard: Callable[[Report], None] = lambda report: None,
) -> Report:
    """Tells the stories of so many seeds, or of as many as fit into so many seconds; `heard` is told how it goes."""
    until = time.monotonic() + seconds if seconds is not None else None
    report = Report()
    chunks = _chunks(first, seeds, mutant, until)
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for told, failures in pool.imap_unordered(_tell_chunk, chunks):
            report.told += told
            report.failures += failures
            heard(Report(told, failures))
    report.failures.sort()
    return report


Chunk = tuple[int, int, str | None, float | None]


def _chunks(first: int, seeds: int, mutant: str | None, until: float | None) -> Iterator[Chunk]:
    for start in range(first, first + seeds, CHUNK):
        yield start, min(start + CHUNK, first + seeds), mutant, until


def _tell_chunk(chunk: Chunk) -> tuple[int, list[tuple[int, str]]]:
    gc.set_threshold(10_000, 20, 50)  # a story is one knot of references: looked through now and then is enough
    start, end, mutant, until = chunk
    failures: list[tuple[int, str]] = []
    told = 0
    for seed in range(start, end):
        if until is not None and time.monotonic() > until:
            break
        told += 1
        failure = tell(seed, mutant)
        if failure:
            failures.append((seed, failure))
    return told, failures
