"""A Python program: in the forked interpreter itself, or in another one that is exec'd."""

from __future__ import annotations

import contextlib
import errno
import gc
import importlib.util
import linecache
import os
import runpy
import sys
import traceback
import types

from runyard import runtime
from runyard.core.actions import Python

SOURCE_NAME = "task.py"


def keep_source(action: Python, folder: str) -> None:
    """Writes an inline program where an interpreter, a traceback and a `spawn`ed process find it."""
    if action.source is not None:
        with open(f"{folder}/{SOURCE_NAME}", "w", encoding="utf-8") as file:
            file.write(action.source)


def command(action: Python, folder: str, environment: dict[str, str]) -> list[str]:
    """The argument list for an interpreter that must be exec'd."""
    assert action.interpreter is not None
    environment.setdefault("PYTHONUNBUFFERED", "1")  # a log is read while it is written
    if action.module is not None:
        return [action.interpreter, "-m", action.module, *action.arguments]
    if action.working_directory is not None and action.source is not None:
        known = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (os.getcwd(), known)))
    return [action.interpreter, _present(action.file) if action.file else f"{folder}/{SOURCE_NAME}", *action.arguments]


def enter(interpreter: str, environment: dict[str, str]) -> None:
    """Makes programs that the work starts find the environment of this interpreter first."""
    programs = os.path.dirname(interpreter)
    environment["VIRTUAL_ENV"] = os.path.dirname(programs)
    environment["PATH"] = os.pathsep.join((programs, environment.get("PATH", os.defpath)))


def run_here(action: Python, folder: str) -> int:
    """Runs the program in this process, as `python FILE` would; answers its exit code."""
    file = _present(action.file) if action.file else None
    arguments = [action.file or action.module or SOURCE_NAME, *action.arguments]
    prepare_process(arguments, os.path.dirname(file) if file else os.getcwd())
    _check_module(action)
    try:
        _execute(action, file, f"{folder}/{SOURCE_NAME}")
        code = 0
    except SystemExit as error:
        code = exit_code(error)
    except BaseException as error:
        traceback.print_exception(type(error), error, _own_frames_left_out(error.__traceback__))
        code = 1
    return shut_down(code)


def make_streams() -> None:
    """The standard streams of a program whose output is read while it runs."""
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    vars(sys).update(__stdin__=sys.stdin, __stdout__=sys.stdout, __stderr__=sys.stderr)


def prepare_process(arguments: list[str], folder: str) -> None:
    """Makes this process what a fresh interpreter is; `folder` is where its modules are looked for first."""
    gc.freeze()  # what the program did not make need not be looked at when it ends
    sys.argv = arguments
    sys.path[0:0] = [folder]


def _present(file: str) -> str:
    with open(file, "rb"):  # what cannot be read is told before anything is started
        return os.path.abspath(file)


def _check_module(action: Python) -> None:
    if action.module is None:
        return
    with contextlib.suppress(ImportError, ValueError):  # of its package: the program's own failure
        if importlib.util.find_spec(action.module) is None:
            raise FileNotFoundError(errno.ENOENT, "No such module", action.module)


def _execute(action: Python, file: str | None, kept: str) -> None:
    if action.source is not None:
        linecache.cache[SOURCE_NAME] = (len(action.source), None, action.source.splitlines(True), SOURCE_NAME)
        module = types.ModuleType("__main__")
        module.__file__ = kept
        sys.modules["__main__"] = module
        # The user's own program, in the process that was made for it.
        exec(compile(action.source, SOURCE_NAME, "exec"), module.__dict__)  # noqa: S102
    elif file is not None:
        runpy.run_path(file, run_name="__main__")
    else:
        assert action.module is not None
        runpy.run_module(action.module, run_name="__main__", alter_sys=True)


def exit_code(error: SystemExit) -> int:
    """The exit code that a `SystemExit` asks for."""
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF
    print(error.code, file=sys.stderr)  # noqa: T201  # what the interpreter does with a text
    return 1


def _own_frames_left_out(trace: types.TracebackType | None) -> types.TracebackType | None:
    ours = (__file__, "<frozen runpy>", runtime.__path__[0])
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(ours) and trace.tb_next is not None:
        trace = trace.tb_next
    return trace


def shut_down(code: int) -> int:
    """What the interpreter does at its end: waits for threads, runs exit handlers, closes what is left open."""
    threading = sys.modules.get("threading")
    try:
        if threading is not None:
            threading._shutdown()
        import atexit

        atexit._run_exitfuncs()
        sys.modules.pop("__main__", None)
        gc.collect()
    except BaseException:
        traceback.print_exc()
        code = code or 1
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not getattr(stream, "closed", False):
            try:
                stream.flush()
            except (OSError, ValueError):
                code = code or 1
    return code
