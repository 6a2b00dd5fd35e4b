"""A notebook: its cells run in this process, or in another interpreter of the same version that is exec'd."""

from __future__ import annotations

import errno
import os
import traceback
from pathlib import Path
from typing import Any

from runyard.core.actions import Notebook
from runyard.core.launch import ARTIFACTS, CONTEXT, WORK
from runyard.runtime import context
from runyard.work import python

RESULT_BYTES = 5 * 1024 * 1024
"""What is kept of the value that a notebook exits with."""
INLINE_CHARACTERS = 10 * 1024  # under 64 KiB of JSON, whatever they are
RESULT = "result.txt"
ACTION = "action.json"
_MOUNT = "/Workspace/"
"""How notebooks spell the root since workspace files came (Databricks documentation, "Workspace files")."""
_SUFFIXES = ("", ".py", ".sql", ".ipynb")
_BOOTSTRAP = "import sys; sys.path += {paths!r}; from runyard.work import notebook; notebook.main({folder!r})"


def command(action: Notebook, folder: str, environment: dict[str, str]) -> list[str]:
    """The argument list for an interpreter that must be exec'd; `folder` is the attempt's."""
    import msgspec

    import runyard

    assert action.interpreter is not None
    Path(folder, ACTION).write_bytes(msgspec.json.encode(action))  # as it is now, its paths in the checkout
    environment.setdefault("PYTHONUNBUFFERED", "1")
    # Behind the interpreter's own packages, which win.
    paths = list(dict.fromkeys(os.path.dirname(os.path.dirname(one.__file__ or "")) for one in (runyard, msgspec)))
    return [action.interpreter, "-c", _BOOTSTRAP.format(paths=paths, folder=folder)]


def main(folder: str) -> None:
    """What that interpreter does."""
    import msgspec

    action = msgspec.json.decode(Path(folder, ACTION).read_bytes(), type=Notebook)
    context.install(context.from_file(os.path.join(folder, CONTEXT)), folder)
    python.make_streams()
    os._exit(run_here(action, os.path.join(folder, WORK)))


def run_here(action: Notebook, folder: str) -> int:
    """Runs the notebook in this process; answers the exit code. Raises OSError when there is none to run."""
    file = locate(action.path, action.root) if action.path is not None else None
    python.prepare_process([file or "notebook"], os.path.dirname(file) if file else os.getcwd())
    os.environ.setdefault("MPLBACKEND", "Agg")
    try:
        _run(action, file, folder)
        code = 0
    except SystemExit as error:
        code = python.exit_code(error)
    except BaseException as error:
        from runyard.work.notebooks.session import without_own_frames

        traceback.print_exception(type(error), error, without_own_frames(error))
        code = 1
    return python.shut_down(code)


def _run(action: Notebook, file: str | None, folder: str) -> None:
    # Not at the top: the fork server holds this module, and tasks of other kinds should not pay for these.
    from runyard.runtime.dbutils import DbUtils
    from runyard.work.notebooks import cells
    from runyard.work.notebooks.record import Record
    from runyard.work.notebooks.session import Session

    text = Path(file).read_text(encoding="utf-8") if file else action.source or ""
    book = cells.read(text, *_spelling(action, file))
    root = action.root or (os.path.dirname(file) if file else os.getcwd())
    here = os.path.dirname(file) if file else root

    def load(name: str, of: str | None) -> tuple[str, list[cells.Cell]]:
        found = locate(name, root, os.path.dirname(of) if of else here)
        bare = Notebook(path=found, language="python")
        return found, cells.read(Path(found).read_text(encoding="utf-8"), *_spelling(bare, found))

    artifacts = os.path.join(os.path.dirname(folder), ARTIFACTS)
    os.makedirs(artifacts, exist_ok=True)
    about: dict[str, Any] = {
        "name": os.path.basename(file) if file else "notebook",
        "language": _spelling(action, file)[1],
        "parameters": action.parameters,
    }
    dbutils = DbUtils(action, here, root)
    result = Session(Record(artifacts, about, book), load, dbutils, os.path.join(folder, ".packages")).run(book)
    if result is not None:
        _give_back(result, artifacts)


def _spelling(action: Notebook, file: str | None) -> tuple[str, str]:
    """Format and language, by the file's ending where it has one that tells."""
    ending = os.path.splitext(file or "")[1]
    form = "jupyter" if ending == ".ipynb" else action.format
    return form, {".sql": "sql", ".ipynb": "python"}.get(ending, action.language)


def locate(path: str, root: str | None, here: str | None = None) -> str:
    """The file of a notebook: `/x` below the root, `./x` and `../x` beside `here`; the ending may be missing.

    Without a root an absolute path is one of the server's. Raises FileNotFoundError, also for what leads out of it.
    """
    if root is None:
        wanted = os.path.abspath(path)
    else:
        root = os.path.realpath(root)
        beside = path.startswith(".") or not path.startswith("/")
        inside = path.startswith(root + "/")
        wanted = path if inside else os.path.join((here or root) if beside else root, path.lstrip("/"))
    for ending in _SUFFIXES:
        found = os.path.realpath(wanted + ending)
        if os.path.isfile(found) and (root is None or found.startswith(root + "/")):
            return found
    if root is not None and path.startswith(_MOUNT):
        return locate(path.removeprefix(_MOUNT.rstrip("/")), root, here)
    raise FileNotFoundError(errno.ENOENT, "No such notebook", path)


def _give_back(result: str, artifacts: str) -> None:
    """The value as the attempt's output: inline when it is short, else its beginning, and all of it in a file."""
    data = result.encode(errors="replace")
    if len(data) > RESULT_BYTES:
        result = data[:RESULT_BYTES].decode(errors="ignore")
    output: dict[str, Any] = {"result": result, "truncated": len(data) > RESULT_BYTES}
    if len(result) > INLINE_CHARACTERS:
        Path(artifacts, RESULT).write_text(result, encoding="utf-8")
        output |= {"result": result[:INLINE_CHARACTERS], "file": RESULT}
    context.set_output(output)
