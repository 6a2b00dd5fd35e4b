"""Runs a notebook's cells in this process: one namespace, one cell after the other, each kept in the record."""

from __future__ import annotations

import ast
import inspect
import linecache
import os
import shlex
import subprocess
import sys
import traceback
import types
from collections.abc import Callable
from typing import IO, Any

from runyard.runtime.dbutils import DbUtils, NotebookExit, Spark
from runyard.work.notebooks import cells, display
from runyard.work.notebooks.cells import BadNotebook, Cell
from runyard.work.notebooks.record import Record

_TOP_LEVEL_AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_IGNORED_MAGICS = ("matplotlib", "config", "autosave", "load_ext", "autoreload")

Loader = Callable[[str, str | None], tuple[str, list[Cell]]]
"""Takes how `%run` names a notebook, and the notebook that does (None: the first); gives its full name and cells."""


class CommandFailed(RuntimeError):
    """A shell command of the notebook ended with another exit code than 0."""


class _Tee:
    """A standard stream whose text is also kept with the cell."""

    def __init__(self, stream: IO[str], name: str, record: Record) -> None:
        self._stream, self._name, self._record = stream, name, record

    def write(self, text: str) -> int:
        self._record.say(self._name, text)
        return self._stream.write(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Session:
    """One notebook in one process."""

    def __init__(self, record: Record, load: Loader, dbutils: DbUtils, packages: str) -> None:
        """`packages` is the folder that `%pip install` fills."""
        self._record, self._load, self._packages = record, load, packages
        self._dbutils, self._spark = dbutils, Spark()
        self._ran: list[str] = []
        """The notebooks that `%run` is in, the innermost last."""
        self._count = 0
        self.module = types.ModuleType("__main__")
        self.module.__dict__.update(
            {
                "dbutils": dbutils,
                "spark": self._spark,
                "display": self._display,
                "displayHTML": lambda text: record.add(display.markup(str(text))),
                "getArgument": dbutils.widgets.getArgument,
                "sql": self._spark.sql,
                cells.FOREIGN: self._line,
            }
        )
        sys.modules["__main__"] = self.module
        self._kinds: dict[str, Callable[[str], None]] = {
            "python": self._python,
            "sql": self._sql,
            "shell": self._shell,
            "markdown": lambda source: None,
            "run": self._run_other,
            "pip": self._pip,
            "files": self._files,
        }

    def run(self, book: list[Cell]) -> str | None:
        """All cells; answers what `dbutils.notebook.exit` was given, or None. Raises what a cell raises."""
        out, err = sys.stdout, sys.stderr
        tees: Any = (_Tee(out, "stdout", self._record), _Tee(err, "stderr", self._record))
        sys.stdout, sys.stderr = tees
        result = None
        try:
            for number, cell in enumerate(book):
                self._record.begin(number)
                self._cell(cell)
        except NotebookExit as done:
            result = done.value
            self._record.end("done")
        finally:
            sys.stdout, sys.stderr = out, err
            self._record.close(result)
        return result

    def _cell(self, cell: Cell) -> None:
        try:
            self._do(cell)
        except NotebookExit:
            raise
        except BaseException as error:
            trace = without_own_frames(error)
            lines = traceback.format_exception(type(error), error, trace)
            said = {"type": type(error).__name__, "message": str(error), "trace": "".join(lines)}
            self._record.end("failed", said)
            raise
        self._record.end("done")

    def _do(self, cell: Cell) -> None:
        self._kinds[cell.kind](cell.source)
        for figure in display.figures():
            self._record.add(figure)

    # --- kinds of cells ---

    def _python(self, source: str) -> None:
        self._count += 1
        name, source = f"cell {self._count}", cells.as_python(source)
        linecache.cache[name] = (len(source), None, source.splitlines(True), name)
        tree = ast.parse(source, name)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        self._evaluate(compile(tree, name, "exec", flags=_TOP_LEVEL_AWAIT, dont_inherit=True))
        if last is not None:
            expression = ast.Expression(last.value)  # type: ignore[attr-defined]  # it is an ast.Expr
            value = self._evaluate(compile(expression, name, "eval", flags=_TOP_LEVEL_AWAIT, dont_inherit=True))
            if value is not None and not source.rstrip().endswith(";"):
                self.module.__dict__["_"] = value
                self._display(value)

    def _evaluate(self, code: types.CodeType) -> Any:
        # The user's own program, in the process that was made for it.
        value = eval(code, self.module.__dict__)  # noqa: S307
        if code.co_flags & inspect.CO_COROUTINE:
            import asyncio  # a third of a notebook's start, and few need it

            return asyncio.run(value)
        return value

    def _display(self, *values: Any, **_: Any) -> None:
        for value in values:
            output = display.shown(value)
            self._record.add(output)
            text = value if isinstance(value, str) else output["text"]
            os.write(1, f"{text}\n".encode(errors="backslashreplace"))  # the log; the record has it already

    def _sql(self, source: str) -> None:
        frame = self._spark.script(source, self._dbutils.widgets.getAll())
        self.module.__dict__["_sqldf"] = frame
        if frame is not None:
            self._display(frame)

    def _shell(self, source: str) -> None:
        self._command(["/bin/sh", "-e", "-c", source], "The shell cell")

    def _files(self, source: str) -> None:
        words = shlex.split(source)
        if not words or not hasattr(type(self._dbutils.fs), words[0]):
            raise BadNotebook("%fs takes ls, head, put, cp, mv, rm or mkdirs, and paths.")
        found = getattr(self._dbutils.fs, words[0])(*words[1:])
        self._display(found)

    def _pip(self, source: str) -> None:
        words = shlex.split(source.replace("\\\n", " "), comments=True)
        if words and words[0] == "install":
            words[1:1] = ["--target", self._packages, "--upgrade", "--no-warn-conflicts"]
        pip = [sys.executable, "-m", "pip", *words, "--disable-pip-version-check", "--no-input"]
        self._command(pip, "pip")
        if self._packages not in sys.path:
            sys.path.insert(0, self._packages)
        import importlib

        importlib.invalidate_caches()

    def _run_other(self, source: str) -> None:
        path, values = cells.arguments(source)
        name, book = self._load(path, self._ran[-1] if self._ran else None)
        if name in self._ran:
            raise BadNotebook(f"%run goes in a circle: {' > '.join([*self._ran, name])}.")
        self._ran.append(name)
        self._dbutils.widgets.given |= values
        for cell in book:
            self._do(cell)
        self._ran.pop()

    def _line(self, line: str) -> None:
        """A line of a Python cell that is a command: `!ls`, `%pip install x`, `%sh ls`."""
        if line.startswith("!"):
            return self._shell(line[1:])
        word, _, rest = line[1:].partition(" ")
        if word in _IGNORED_MAGICS:
            return None
        kind = {"pip": self._pip, "sh": self._shell, "fs": self._files, "run": self._run_other, "sql": self._sql}
        if word not in kind:
            raise BadNotebook(f"The magic %{word} is unknown here; {', '.join(f'%{one}' for one in kind)} are known.")
        return kind[word](rest)

    def _command(self, arguments: list[str], what: str) -> None:
        out = sys.stdout
        with subprocess.Popen(
            arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
            errors="backslashreplace",
        ) as process:  # fmt: skip
            assert process.stdout is not None
            for line in process.stdout:
                out.write(line)
        if process.returncode:
            raise CommandFailed(f"{what} ended with exit code {process.returncode}.")


def without_own_frames(error: BaseException) -> types.TracebackType | None:
    """The trace from the notebook's first frame on, or the last frame where there is none of it."""
    work = os.path.dirname(os.path.dirname(__file__))
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None and trace.tb_frame.f_code.co_filename.startswith(work):
        trace = trace.tb_next
    return trace
