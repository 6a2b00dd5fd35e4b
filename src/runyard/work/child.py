"""The child's side of an attempt: from the fork to the user's first instruction."""

from __future__ import annotations

import os
import resource
import signal
import sys
from typing import Any, NoReturn

import msgspec

from runyard.core.actions import Python, Shell
from runyard.core.attempts import Assignment
from runyard.core.launch import ALIVE, WORK
from runyard.runtime import context
from runyard.work import linux, python, shell

INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "SHELL", "TMPDIR", "SSL_CERT_FILE")
"""What a task sees of the server's environment; nothing else of it, so no secret either."""

CANNOT_START = 127
_CONTEXT_FD, _ALIVE_FD = 3, 4


def become(claim: Assignment, stdout: int, stderr: int, notes: int, parent: int, started: int) -> NoReturn:
    """Turns this freshly forked process into the user's work. Never returns."""
    code = CANNOT_START
    try:
        linux.die_with_parent()
        if os.getppid() != parent:
            os._exit(CANNOT_START)
        os.setpgid(0, 0)
        _streams(stdout, stderr, notes, started)
        action = claim.action
        assert isinstance(action, (Python, Shell))
        _limits(claim)
        environment = _environment(claim, action)
        os.chdir(action.working_directory or WORK)
        if isinstance(action, Python) and action.interpreter is None:
            code = _run_forked(claim, action, environment)
        else:
            _exec(claim, action, environment)
    except OSError as error:
        _say(f"runyard: the task cannot be started: {error.strerror or error}: {error.filename or ''}".rstrip(": "))
    except MemoryError:
        _say("MemoryError")
        code = 1
    finally:
        os._exit(code)


def _streams(stdout: int, stderr: int, notes: int, started: int) -> None:
    """Standard streams, the channel to the launcher at 3, and the mark of life at 4; everything else is closed."""
    null = os.open(os.devnull, os.O_RDONLY)
    alive = os.open(ALIVE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    high = [os.dup2(fd, 100 + place, False) for place, fd in enumerate((null, stdout, stderr, notes, alive))]
    os.write(started, b"!")
    for place, fd in enumerate(high):
        os.dup2(fd, place, True)
    os.closerange(5, 4096)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _limits(claim: Assignment) -> None:
    limits = claim.limits
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if limits.memory_bytes is not None:
        resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
    if limits.cpu_seconds is not None:
        resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds + 5))


def _environment(claim: Assignment, action: Python | Shell) -> dict[str, str]:
    kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
    own = {
        "RUNYARD_RUN_ID": str(claim.run_id),
        "RUNYARD_TASK_RUN_ID": str(claim.task_run_id),
        "RUNYARD_TASK": claim.task_key,
        "RUNYARD_ATTEMPT": str(claim.attempt),
    }
    return {"PATH": os.defpath, **kept, **own, **action.environment}


def _facts(claim: Assignment) -> dict[str, Any]:
    return {
        "run_id": claim.run_id,
        "task_run_id": claim.task_run_id,
        "task": claim.task_key,
        "attempt": claim.attempt,
        "parameters": claim.parameters,
        "input": claim.input,
    }


def _run_forked(claim: Assignment, action: Python, environment: dict[str, str]) -> int:
    os.environ.clear()
    os.environ.update(environment)
    context.install(_facts(claim), _CONTEXT_FD)
    return python.run_here(action)


def _exec(claim: Assignment, action: Python | Shell, environment: dict[str, str]) -> NoReturn:
    path = os.path.abspath(".runyard-context.json")
    with open(path, "wb") as file:
        file.write(msgspec.json.encode(_facts(claim)))
    environment |= {"RUNYARD_CONTEXT": path, "RUNYARD_CONTEXT_FD": str(_CONTEXT_FD)}
    arguments = python.command(action) if isinstance(action, Python) else shell.command(action)
    try:
        os.execvpe(arguments[0], arguments, environment)
    except OSError as error:  # it names the last directory that it tried
        raise OSError(error.errno, error.strerror, arguments[0]) from None


def _say(text: str) -> None:
    os.write(2, f"{text}\n".encode())
    sys.stderr = None  # nothing more is to be written by anybody
