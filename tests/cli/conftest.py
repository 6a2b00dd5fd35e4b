"""What the tests of the command line share: a server, and the command as a process."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path

import pytest

from runyard.cli import main
from tests.live_server import environment, live_server

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with live_server(tmp_path_factory.mktemp("server"), "--dev") as url:
        yield url


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "runyard", *words]


def runyard(*words: str, url: str = "", stdin: str | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end; no part of it is a terminal."""
    env = environment(**({"RUNYARD_URL": url} if url else {}), **more)
    return subprocess.run(
        command(*words), capture_output=True, text=True, env=env, input=stdin, timeout=60, check=False
    )


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command against any server, in this process: starting an interpreter each time would cost minutes."""

    def run(url: str, *words: str, stdin: str = "", token: str = "") -> subprocess.CompletedProcess[str]:
        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setenv("RUNYARD_URL", url)
        monkeypatch.setenv("RUNYARD_TOKEN", token)
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with redirect_stdout(out), redirect_stderr(err):
            code = main(words)
        return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture
def here(server: str, at: Run) -> Run:
    """The command against the server that the tests share."""
    return partial(at, server)


JOBS = {
    "good": "job: good\ntasks:\n  say: {shell: echo from the shell}\n  one: {needs: say, sql: select 42 as answer}\n",
    "bad": "job: bad\ntasks:\n  say: {shell: 'echo so it goes; exit 3'}\n  one: {needs: say, sql: select 1}\n",
    "slow": "job: slow\ntasks:\n  wait: {shell: 'echo begun; exec sleep 60'}\n",
    "late": "job: late\ntasks:\n  wait: {shell: exec sleep 60, timeout: 300ms}\n",
    "fixable": (
        "job: fixable\nparameters: {code: 0}\ntasks:\n  first: {shell: echo once}\n"
        '  second: {needs: first, shell: "exit {{ parameters.code }}"}\n  third: {needs: second, sql: select 1 as n}\n'
    ),
}


@pytest.fixture
def job(tmp_path: Path) -> Callable[[str], str]:
    """The path of a job file by its name above."""

    def write(name: str) -> str:
        path = tmp_path / f"{name}.yaml"
        path.write_text(JOBS[name])
        return str(path)

    return write
