"""The child's side of an attempt: from the fork to the user's first instruction."""

from __future__ import annotations

import gc
import os
import resource
import select
import signal
import sys
import time
from typing import Any, NoReturn

import msgspec

from runyard.core.actions import Dbt, InProcess, Notebook, Python, Shell, Wheel
from runyard.core.attempts import Assignment
from runyard.core.launch import CONTEXT, MESSAGE_BYTES, WORK, decode_claim, decode_work, encode
from runyard.runtime import context
from runyard.work import dbt, linux, notebook, prepare, python, shell, wheel

CANNOT_START = 127
_ORDERS = 3
_REHEARSAL_SECONDS = 0.02
_NO_WORK = encode(Assignment(run_id=0, task_run_id=0, token=0, task_key="", action=Python(source="")))
_PYTHONS_OWN = (signal.SIGPIPE, signal.SIGXFSZ)
"""Signals that a Python program ignores, and that any other finds as the system made them."""


def become(orders: int, stdout: int, stderr: int, parent: int) -> NoReturn:
    """Makes this freshly forked process ready, waits for its work and turns into it. Never returns."""
    code = CANNOT_START
    try:
        linux.die_with_parent()
        if os.getppid() != parent:
            os._exit(CANNOT_START)
        os.setpgid(0, 0)
        _streams(stdout, stderr, orders)
        if not select.select([_ORDERS], [], [], _REHEARSAL_SECONDS)[0]:
            _rehearse()
        code = _work(*_told())
    except prepare.Unprepared as error:
        _say(f"{error.mark}{error}")
    except OSError as error:
        _say(f"runyard: the task cannot be started: {error.strerror or error}: {error.filename or ''}".rstrip(": "))
    except MemoryError:
        _say("MemoryError")
        code = 1
    except Exception as error:  # a zero byte in an argument, an empty command ...
        _say(f"runyard: the task cannot be started: {error}")
    finally:
        os._exit(code)


def _streams(stdout: int, stderr: int, orders: int) -> None:
    """Standard streams, and the orders; everything else is closed."""
    null = os.open(os.devnull, os.O_RDONLY)
    high = [os.dup2(fd, 100 + place, False) for place, fd in enumerate((null, stdout, stderr, orders))]
    for place, fd in enumerate(high):
        os.dup2(fd, place, place < _ORDERS)
    os.closerange(_ORDERS + 1, 4096)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _rehearse() -> None:
    """Takes the steps of any work with none: memory that they write to is then copied before the work comes."""
    claim = decode_claim(_NO_WORK)
    facts = msgspec.json.encode(_facts(claim))
    action, _ = prepare.prepared(claim, os.getcwd())
    for name in _added(claim, action, ""):
        os.environ[name] = ""
    with open(os.devnull, "wb") as file:
        file.write(facts)
    with open(os.devnull, "w", encoding="utf-8") as text:
        text.write("")
    exec(compile("", python.SOURCE_NAME, "exec"), {})  # noqa: S102
    gc.collect()


def _told() -> tuple[Assignment, str]:
    """The claim and its folder. Ends this process when none comes."""
    data = b""
    while piece := os.read(_ORDERS, MESSAGE_BYTES):
        data += piece
    if not data:
        os._exit(0)
    work = decode_work(data)
    # Said here: the launcher may get the processor long after the work has.
    os.write(_ORDERS, b"%d" % (time.time_ns() // 1_000_000))
    os.close(_ORDERS)
    return decode_claim(work.claim), work.folder


def _work(claim: Assignment, folder: str) -> int:
    os.chdir(folder)
    facts = _facts(claim)
    with open(CONTEXT, "wb") as file:
        file.write(msgspec.json.encode(facts))
    context.install(facts, folder)
    action, made = prepare.prepared(claim, folder)
    added = _added(claim, action, os.path.join(folder, CONTEXT))
    if isinstance(action, Python):
        python.keep_source(action, WORK)
    os.chdir(WORK if isinstance(action, Dbt) else action.working_directory or WORK)
    _limits(claim)
    if (command := _command(action, made, folder, added)) is not None:
        _exec(*command)
    for name, value in added.items():
        os.environ[name] = value
    if isinstance(action, Notebook):
        return notebook.run_here(action, os.path.join(folder, WORK))
    assert isinstance(action, Python)
    return python.run_here(action, os.path.join(folder, WORK))


def _command(
    action: InProcess, made: str | None, folder: str, added: dict[str, str]
) -> tuple[list[str], dict[str, str]] | None:
    """The program to become, and its environment; None for what runs in this process."""
    if isinstance(action, Python | Notebook) and made is None and action.interpreter is None:
        return None
    environment = os.environ.copy() | added
    if made is not None:
        python.enter(made, environment)
    if isinstance(action, Shell):
        return shell.command(action), environment
    if isinstance(action, Dbt):
        return dbt.command(action, made or sys.executable, folder, environment), environment
    if isinstance(action, Wheel):
        return wheel.command(action, made or sys.executable, environment), environment
    action = msgspec.structs.replace(action, interpreter=made or action.interpreter)
    if isinstance(action, Notebook):
        return notebook.command(action, folder, environment), environment
    return python.command(action, os.path.join(folder, WORK), environment), environment


def _limits(claim: Assignment) -> None:
    limits = claim.limits
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if limits.memory_bytes is not None:
        resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
    if limits.cpu_seconds is not None:
        resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds + 5))


def _added(claim: Assignment, action: InProcess, context_file: str) -> dict[str, str]:
    """What the work finds in its environment beside what the fork server has in its own."""
    return {
        **action.environment,
        "RUNYARD_RUN_ID": str(claim.run_id),
        "RUNYARD_TASK_RUN_ID": str(claim.task_run_id),
        "RUNYARD_TASK": claim.task_key,
        "RUNYARD_ATTEMPT": str(claim.attempt),
        "RUNYARD_CONTEXT": context_file,
    }


def _facts(claim: Assignment) -> dict[str, Any]:
    return {
        "run_id": claim.run_id,
        "task_run_id": claim.task_run_id,
        "task": claim.task_key,
        "claim": claim.token,
        "job_id": claim.job_id,
        "job_name": claim.job_name,
        "attempt": claim.attempt,
        "parameters": claim.parameters,
        "input": claim.input,
        "bookmark": claim.bookmark,
        "before": claim.before,
        "tables": claim.tables,
        "server": claim.server,
        "files": claim.places.files,
        "world": claim.world,
    }


def _exec(arguments: list[str], environment: dict[str, str]) -> NoReturn:
    for number in _PYTHONS_OWN:
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(arguments[0], arguments, environment)
    except OSError as error:  # it names the last directory that it tried
        raise OSError(error.errno, error.strerror, arguments[0]) from None


def _say(text: str) -> None:
    os.write(2, f"{text}\n".encode())
    sys.stderr = None  # nothing more is to be written by anybody
