"""Power cuts, simulated: what SQLite wrote but did not sync is lost in part, at random, and torn.

A VFS stands between the real store and the disk. It remembers what is durable (synced) and what is pending
for each file. At the cut every pending write loses each of its sectors or keeps it, by chance; one may be
torn inside. From what is left the real store is opened again and must hold every commit that was
acknowledged, whole, and nothing of one that was not, except all of the one under way.

    python -m tests.store.powerloss --seeds 2000
    python -m tests.store.powerloss --seed 17 --synchronous NORMAL
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from runyard.store.sqlite import SqliteStore
from tests.store.workload import Clock, Facts, Server

FILE = "runyard.db"
SECTOR = 512
LIVES = 2
"""How often the power is cut in one trial at most; each life begins with what the last one left."""
LONGEST = 900
"""A life of this workload writes, truncates and syncs about this many times."""


class Surface:
    """One file: what is durable, and what was written since, in order."""

    def __init__(self, content: bytes) -> None:
        self.durable = bytearray(content)
        self.pending: list[tuple[int, bytes | None]] = []

    def sync(self) -> None:
        for offset, data in self.pending:
            _apply(self.durable, offset, data)
        self.pending.clear()

    def after_cut(self, chance: random.Random) -> bytes:
        """What a restart finds."""
        left = bytearray(self.durable)
        kept = chance.choice([0.0, 0.1, 0.5, 0.9, 1.0])
        for offset, data in self.pending:
            if data is None:
                if chance.random() < kept:
                    _apply(left, offset, None)
                continue
            for start in range(0, len(data), SECTOR):
                piece = data[start : start + SECTOR]
                if chance.random() < kept:
                    _apply(left, offset + start, piece)
                elif chance.random() < 0.05:
                    _apply(left, offset + start, piece[: chance.randrange(len(piece))])
        return bytes(left)


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
    else:
        if len(content) < offset:
            content.extend(bytes(offset - len(content)))
        content[offset : offset + len(data)] = data


class Disk(apsw.VFS):
    """The machine's disk, until the power is cut at the `cut`-th write, truncate or sync."""

    name = "powerloss"

    def __init__(self, chance: random.Random, cut: int, folder: Path) -> None:
        self.files = {str(path): Surface(path.read_bytes()) for path in folder.iterdir()}
        self.left: dict[str, bytes] | None = None
        self._chance = chance
        self._until_cut = cut
        super().__init__(self.name, "")

    def xOpen(self, name: Any, flags: list[int]) -> Handle:
        return Handle(self, name, flags)

    def xDelete(self, name: str, sync: bool) -> None:
        self.files.pop(name, None)
        super().xDelete(name, sync)

    @property
    def off(self) -> bool:
        return self.left is not None

    def touch(self) -> None:
        """Something reaches for the disk."""
        self._until_cut -= 1
        if self._until_cut <= 0 and self.left is None:
            self.left = {Path(name).name: one.after_cut(self._chance) for name, one in self.files.items()}


class Handle(apsw.VFSFile):
    """One open file of the disk. Nothing needs to reach the machine's real disk: syncs are only noted."""

    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._disk = disk
        self._path = name if isinstance(name, str) else name.filename()
        disk.files.setdefault(self._path, Surface(b""))

    def xWrite(self, data: Any, offset: int) -> None:
        self._disk.files[self._path].pending.append((offset, bytes(data)))
        self._disk.touch()
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:
        self._disk.files[self._path].pending.append((size, None))
        self._disk.touch()
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:
        self._disk.touch()
        self._disk.files[self._path].sync()


@contextmanager
def _powered(chance: random.Random, cut: int, folder: Path) -> Iterator[Disk]:
    disk = Disk(chance, cut, folder)
    try:
        yield disk
    finally:
        disk.unregister()


def trial(seed: int, *, synchronous: str = "") -> str:
    """One story of work and power cuts; answers what was wrong afterwards, or "".

    `synchronous` is another setting than the store's own.
    """
    chance = random.Random(seed)
    clock = Clock()
    kept: Facts = {}
    left: dict[str, bytes] = {}
    for life in range(1 + seed % LIVES):
        with _folder(left) as folder:
            acknowledged, under_way, left = _live(folder, chance, clock, kept, synchronous)
        with _folder(left) as folder:
            kept, damage = _look(folder, clock, chance)
        trouble = damage or ("" if kept in (acknowledged, under_way) else _difference(acknowledged, kept))
        if trouble:
            return f"seed {seed}, life {life}: {trouble}"
    return ""


@contextmanager
def _folder(files: dict[str, bytes]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="powerloss") as name:
        for file, content in files.items():
            Path(name, file).write_bytes(content)
        yield Path(name)


def _look(folder: Path, clock: Clock, chance: random.Random) -> tuple[Facts, str]:
    """What the real store finds after the cut, and what SQLite says of the file if it is damaged."""
    store = SqliteStore(folder / FILE, readers=1)
    found = Server(store, clock, chance, {}).everything()
    [[check]] = store.writer.connection.execute("PRAGMA integrity_check").fetchall()
    store.close()
    return found, "" if check == "ok" else str(check)


def _live(
    folder: Path, chance: random.Random, clock: Clock, before: Facts, synchronous: str
) -> tuple[Facts, Facts, dict[str, bytes]]:
    """Works until the power is cut: what was acknowledged, that and what was under way, and what the disk kept."""
    with _powered(chance, chance.randint(1, LONGEST), folder) as disk:
        store = SqliteStore(folder / FILE, readers=1, vfs=disk.name)
        if synchronous:
            store.writer.connection.execute(f"PRAGMA synchronous={synchronous}")
        store.writer.connection.wal_autocheckpoint(chance.choice([8, 60, 1000]))
        server = Server(store, clock, chance, before)
        server.start()
        while not disk.off:
            server.step(lambda: disk.off)
        store.close()
        assert disk.left is not None
        return server.acknowledged, server.under_way, disk.left


def _difference(wanted: Facts, found: Facts) -> str:
    lost = len(set(wanted) - set(found))
    strange = len(set(found) - set(wanted))
    other = sum(found[key] != wanted[key] for key in set(found) & set(wanted))
    return f"of {len(wanted)} runs {lost} lost, {other} in another state than acknowledged, {strange} not acknowledged"


def main() -> None:
    """The command line: many seeds, or one again."""
    parser = argparse.ArgumentParser(description="Cut the power of the store at random points.")
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--synchronous", choices=("FULL", "NORMAL"), default="")
    arguments = parser.parse_args()
    seeds = [arguments.seed] if arguments.seed is not None else range(arguments.seeds)
    wrong = 0
    for seed in seeds:
        trouble = trial(seed, synchronous=arguments.synchronous)
        if trouble:
            wrong += 1
            sys.stdout.write(f"{trouble}\n")
    sys.stdout.write(
        f"{len(seeds)} seeds, synchronous={arguments.synchronous or 'as it is'}: {wrong} lost or damaged work\n"
    )
    raise SystemExit(wrong > 0)


if __name__ == "__main__":
    main()
