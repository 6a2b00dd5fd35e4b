"""A Python program: in the forked interpreter itself, or in another one that is exec'd."""

from __future__ import annotations

import linecache
import os
import runpy
import sys
import traceback
import types
from pathlib import Path

from runyard.core.actions import Python

SOURCE_NAME = "task.py"


def command(action: Python) -> list[str]:
    """The argument list for an interpreter that must be exec'd; the source is in the working directory."""
    assert action.interpreter is not None
    if action.module is not None:
        return [action.interpreter, "-m", action.module, *action.arguments]
    if action.source is not None:
        Path(SOURCE_NAME).write_text(action.source)
    return [action.interpreter, action.file or SOURCE_NAME, *action.arguments]


def run_here(action: Python) -> int:
    """Runs the program in this process, as `python FILE` would; answers its exit code."""
    _fresh_streams()
    name = action.file or action.module or SOURCE_NAME
    sys.argv = [name, *action.arguments]
    sys.path[0:0] = [str(Path(action.file).parent) if action.file else os.getcwd()]
    try:
        _execute(action)
        code = 0
    except SystemExit as error:
        code = _exit_code(error)
    except BaseException as error:
        traceback.print_exception(type(error), error, _own_frames_left_out(error.__traceback__))
        code = 1
    return _shut_down(code)


def _execute(action: Python) -> None:
    if action.source is not None:
        linecache.cache[SOURCE_NAME] = (len(action.source), None, action.source.splitlines(True), SOURCE_NAME)
        module = types.ModuleType("__main__")
        module.__file__ = SOURCE_NAME
        sys.modules["__main__"] = module
        # The user's own program, in the process that was made for it.
        exec(compile(action.source, SOURCE_NAME, "exec"), module.__dict__)  # noqa: S102
    elif action.file is not None:
        runpy.run_path(action.file, run_name="__main__")
    else:
        assert action.module is not None
        runpy.run_module(action.module, run_name="__main__", alter_sys=True)


def _fresh_streams() -> None:
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115


def _exit_code(error: SystemExit) -> int:
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF
    print(error.code, file=sys.stderr)  # noqa: T201  # what the interpreter does with a text
    return 1


def _own_frames_left_out(trace: types.TracebackType | None) -> types.TracebackType | None:
    ours = (__file__, "<frozen runpy>")
    while trace is not None and trace.tb_frame.f_code.co_filename in ours and trace.tb_next is not None:
        trace = trace.tb_next
    return trace


def _shut_down(code: int) -> int:
    """What the interpreter does at its end: waits for threads, runs exit handlers, flushes."""
    threading = sys.modules.get("threading")
    try:
        if threading is not None:
            threading._shutdown()
        import atexit

        atexit._run_exitfuncs()
    except BaseException:
        traceback.print_exc()
        code = code or 1
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            code = code or 1
    return code
