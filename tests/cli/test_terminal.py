"""What a terminal sees, and what is kept from pipes."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Callable

from tests.cli.conftest import Run, command
from tests.live_server import environment

Job = Callable[[str], str]
ESCAPE = "\x1b["
COLOURS = [f"{ESCAPE}3{digit}m" for digit in range(8)] + [f"{ESCAPE}1;3", f"{ESCAPE}2m"]


def on_terminal(url: str, *words: str, **more: str) -> tuple[int, str]:
    """Runs the command with a terminal for all its output; gives its exit code and what was written."""
    ours, theirs = pty.openpty()
    env = environment(**{"RUNYARD_URL": url, "TERM": "xterm-256color", "COLUMNS": "100", "NO_COLOR": ""} | more)
    process = subprocess.Popen(command(*words), stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    written = b""
    try:
        while piece := os.read(ours, 65536):
            written += piece
    except OSError:  # the other end was closed
        pass
    finally:
        os.close(ours)
    return process.wait(30), written.decode("utf-8", "replace")


def test_on_a_terminal_the_tree_is_drawn_and_coloured(server: str, job: Job) -> None:
    code, written = on_terminal(server, "run", job("good"))
    assert code == 0
    assert f"{ESCAPE}32m" in written
    assert "say | from the shell" in written.replace(f"{ESCAPE}2m", "").replace(f"{ESCAPE}0m", "")
    assert "42" in written


def test_no_color_keeps_the_tree_without_colours(server: str, job: Job) -> None:
    code, written = on_terminal(server, "run", job("good"), NO_COLOR="1")
    assert code == 0
    assert [colour for colour in COLOURS[:8] if colour in written] == []
    assert "succeeded" in written


def test_tables_are_coloured_on_a_terminal_only(server: str, job: Job, here: Run) -> None:
    here("run", job("good"))
    assert ESCAPE in on_terminal(server, "runs")[1]
    assert ESCAPE not in on_terminal(server, "runs", NO_COLOR="1")[1]
    assert ESCAPE not in here("runs").stdout


def test_a_dumb_terminal_gets_plain_lines(server: str, job: Job) -> None:
    code, written = on_terminal(server, "run", job("good"), TERM="dumb")
    assert code == 0
    assert ESCAPE not in written


def test_a_pipe_gets_plain_lines(here: Run, job: Job) -> None:
    done = here("run", job("good"))
    assert ESCAPE not in done.stdout + done.stderr
