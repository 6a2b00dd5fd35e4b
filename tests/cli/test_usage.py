"""What the command says before it has anything to do with a server."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from runyard.cli import commands, main
from runyard.cli.commands import GROUPS
from tests.cli.conftest import command, runyard
from tests.live_server import environment

NAMES = [one.name for group in GROUPS.values() for one in group]
HELP_MS = 150
NOWHERE = "http://127.0.0.1:9"


def test_help_comes_within_150_ms() -> None:
    """Of processor time: help waits for nothing else, and other programs do not change it much."""
    took = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command("--help"), capture_output=True, env=environment(), check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000)
    assert min(took) < HELP_MS, took


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from runyard.cli import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True)
    assert not {"cyclopts", "httpx", "rich", "yaml", "msgspec", "asyncio"} & set(done.stderr.split())


def test_help_names_every_command() -> None:
    done = runyard("--help")
    assert done.returncode == 0
    assert [name for name in NAMES if f"\n  {name} " not in done.stdout] == []
    assert runyard().stdout == runyard("-h").stdout == done.stdout == commands.overview() + "\n"


@pytest.mark.parametrize("name", NAMES)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert f"runyard {name}" in said.out


def test_the_version_is_told() -> None:
    import runyard as package

    assert runyard("--version").stdout == f"{package.__version__}\n"


USAGE = {
    "an unknown command": (["runn"], "run"),
    "an unknown option": (["runs", "--staet", "failed"], "--state"),
    "an unknown state": (["runs", "--state", "faild"], "did you mean 'failed'"),
    "a missing argument": (["show"], "RUN-ID"),
    "an id that is no number": (["show", "abc"], "abc"),
    "a job file that does not exist": (["run", "none.yaml"], "none.yaml:1:1: cannot read the file"),
    "a parameter without a value": (["run", "none.yaml", "--param", "day"], "KEY=VALUE; found 'day'"),
    "an unknown form of output": (["runs", "-o", "xml"], "jsonl"),
    "slots that are no number": (["queues", "set", "q", "--slots", "few"], "'few'"),
}


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNYARD_URL", NOWHERE)
    monkeypatch.delenv("RUNYARD_TOKEN", raising=False)


@pytest.mark.parametrize("case", USAGE)
def test_bad_usage_exits_with_2_and_one_line(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    words, part = USAGE[case]
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("runyard: ")
    assert said.err.count("\n") == 1
    assert part.lower() in said.err.lower().replace("_", "-")


@pytest.mark.parametrize("words", ["runs", "show 1", "queues", "tables", "jobs", "connect glue", "cancel 1"])
def test_no_server_exits_with_6_and_says_what_to_do(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 6
    said = capsys.readouterr()
    assert said.out == ""
    assert "No Runyard server answers at http://127.0.0.1:9" in said.err
    assert "runyard up" in said.err


@pytest.mark.parametrize(
    "url", ["http://", "ftp://x", "127.0.0.1:80", "http://[::1", "http://127.0.0.1:x", "http://\ud800"]
)
def test_an_address_that_is_none_exits_with_2(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "--url", url]) == 2
    assert "Write http://HOST:PORT" in capsys.readouterr().err


def test_connect_prints_lines_that_a_shell_can_read() -> None:
    done = runyard("connect", "native", url="http://127.0.0.1:1/it's")
    assert done.stdout.splitlines()[0] == """export RUNYARD_URL='http://127.0.0.1:1/it'"'"'s'"""


def test_output_that_nobody_reads_is_no_error() -> None:
    code = "from runyard.cli import main; import sys; sys.exit(main(['connect', 'native']))"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait(30) == 0
