"""Loads in the test's own process: fast, and with the loader's own constants within reach."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runyard.core.actions import Load
from runyard.core.attempts import Assignment, Outcome
from runyard.warehouse.database import Database
from runyard.warehouse.downloads import Downloads
from runyard.warehouse.effects import Effects
from runyard.warehouse.failures import LoadFailed
from runyard.warehouse.load import Loader
from runyard.warehouse.settings import Settings
from runyard.warehouse.tasks import Task
from runyard.warehouse.views import Views


class Inside:
    """A database of its own, and a folder of files that it may load."""

    def __init__(self, home: Path) -> None:
        self.files = home / "files"
        self.uploads = home / "uploads"
        for folder in (self.files, self.uploads):
            folder.mkdir()
        self._database = Database(home / "inside.duckdb", threads=2)
        views = Views()
        views.open(self._database.cursor())
        settings = Settings(
            database="", attempts="", uploads=str(self.uploads), objects=str(home), control_fd=-1, parent=-1,
            allow_private_urls=True, allowed_paths=[str(self.files)],
        )  # fmt: skip
        self._loader = Loader(Effects(views), self._database.spool, settings, Downloads())
        self._numbers = itertools.count(1)

    def load(self, source: str, table: str, **fields: Any) -> Outcome:
        """Raises `LoadFailed`, and then nothing was changed."""
        number = next(self._numbers)
        action = Load(source=source, table=table, **fields)
        task = Task(Assignment(run_id=number, task_run_id=number, token=1, task_key="t", action=action))
        with contextlib.closing(self._database.cursor()) as cursor:
            task.begin(cursor)
            return self._loader.run(task, cursor, lambda *_: None)

    def tried(self, source: str, table: str, **fields: Any) -> Outcome | str:
        """The outcome, or why there is none."""
        try:
            return self.load(source, table, **fields)
        except LoadFailed as error:
            return str(error)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with contextlib.closing(self._database.cursor()) as cursor:
            return cursor.execute(statement).fetchall()

    def left(self) -> list[str]:
        """Files that a load left in the spool folder."""
        return [path.name for path in self._database.spool.iterdir()]

    def close(self) -> None:
        self._database._root.close()


@contextlib.contextmanager
def opened(home: Path) -> Iterator[Inside]:
    inside = Inside(home)
    try:
        yield inside
    finally:
        inside.close()
