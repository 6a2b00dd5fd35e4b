"""What a process attempt says of its end: succeeded, or failed with the cause that a person would name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from runyard.core.actions import Python
from runyard.core.model import Limits
from tests.executors.harness import Bench, python, shell

MIB = 1024 * 1024


def test_a_program_that_ends_succeeds_with_its_times(bench: Bench) -> None:
    one = bench.start(python("print('hello')"))
    out = bench.outcome(one)
    assert (out.result, out.exit_code, out.reason) == ("succeeded", 0, "")
    assert out.started_at is not None
    assert out.ended_at is not None
    assert bench.started(one).at == out.started_at <= out.ended_at
    assert bench.log(one) == b"hello\n"


def test_arguments_arrive_as_they_stand(bench: Bench) -> None:
    given = ["a b", "", "ä", "--x=1", "$HOME"]
    one = bench.start(python("import sys; print(sys.argv[1:])", arguments=given))
    assert bench.outcome(one).result == "succeeded"
    assert bench.log(one).decode() == f"{given}\n"


def test_a_file_runs_as_main_with_its_folder_in_the_path(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("WORD = 'helped'\n")
    file = tmp_path / "main.py"
    file.write_text("import sys, helper\nprint(__name__, __file__, sys.argv, helper.WORD)\n")
    one = bench.start(Python(file=str(file), arguments=["x"]))
    assert bench.outcome(one).result == "succeeded"
    assert bench.log(one).decode() == f"__main__ {file} {[str(file), 'x']} helped\n"


def test_a_module_runs_as_main_from_the_working_directory(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import sys\nprint(__name__, sys.argv[1:])\n")
    one = bench.start(Python(module="mine", arguments=["x"], working_directory=str(tmp_path)))
    assert bench.outcome(one).result == "succeeded"
    assert bench.log(one) == b"__main__ ['x']\n"


@pytest.mark.parametrize("interpreter", [None, sys.executable], ids=["forked", "exec"])
@pytest.mark.parametrize(
    ("source", "code", "said"),
    [
        ("import sys; sys.exit()", 0, ""),
        ("raise SystemExit(3)", 3, "exit code 3"),
        ("import sys; sys.exit(-1)", 255, "exit code 255"),
        ("import sys; sys.exit('no data today')", 1, "exit code 1: no data today"),
        ("import os; os._exit(9)", 9, "exit code 9"),
    ],
)
def test_an_exit_says_its_code_and_last_words(
    bench: Bench, interpreter: str | None, source: str, code: int, said: str
) -> None:
    out = bench.run(python(source, interpreter=interpreter))
    assert (out.exit_code, out.detail) == (code, said)
    assert (out.result, out.reason) == (("failed", "exit_code") if code else ("succeeded", ""))


def test_a_shell_text_is_read_by_a_shell(bench: Bench) -> None:
    one = bench.start(shell("for i in 1 2; do echo $i; done | tac; exit 4"))
    out = bench.outcome(one)
    assert (out.result, out.reason, out.exit_code) == ("failed", "exit_code", 4)
    assert bench.log(one) == b"2\n1\n"


def test_a_shell_list_is_executed_as_it_stands(bench: Bench) -> None:
    one = bench.start(shell(["echo", "$HOME; exit 4", "*"]))
    assert bench.outcome(one).result == "succeeded"
    assert bench.log(one) == b"$HOME; exit 4 *\n"


def test_the_last_line_of_standard_error_is_the_cause(bench: Bench) -> None:
    out = bench.run(shell("echo first >&2; echo 'disk on fire' >&2; echo fine; exit 7"))
    assert out.detail == "exit code 7: disk on fire"


@pytest.mark.parametrize("interpreter", [None, sys.executable], ids=["forked", "exec"])
def test_an_exception_is_told_with_type_message_and_trace(bench: Bench, interpreter: str | None) -> None:
    out = bench.run(python("def f():\n    raise KeyError('day')\nf()", interpreter=interpreter))
    assert (out.result, out.reason, out.exit_code) == ("failed", "exception", 1)
    assert out.detail == "KeyError: 'day'"
    assert out.error is not None
    assert (out.error["type"], out.error["message"]) == ("KeyError", "'day'")
    assert out.error["trace"].startswith("Traceback (most recent call last):\n")
    assert "line 2, in f\n    raise KeyError('day')\n" in out.error["trace"]
    assert "runyard/" not in out.error["trace"]


def test_a_message_of_several_lines_is_whole_and_its_first_line_the_cause(bench: Bench) -> None:
    out = bench.run(python("raise ValueError('first\\n  second\\nthird: x')"))
    assert out.detail == "ValueError: first"
    assert out.error is not None
    assert out.error["message"] == "first\n  second\nthird: x"


def test_of_chained_exceptions_the_last_is_the_cause(bench: Bench) -> None:
    out = bench.run(python("try:\n    {}['a']\nexcept KeyError as e:\n    raise RuntimeError('no a') from e"))
    assert out.detail == "RuntimeError: no a"


def test_a_group_of_exceptions_is_told_by_its_own_message(bench: Bench) -> None:
    out = bench.run(python("raise ExceptionGroup('two things', [ValueError('a'), TypeError('b')])"))
    assert out.detail == "ExceptionGroup: two things (2 sub-exceptions)"
    assert out.error is not None
    assert out.error["type"] == "ExceptionGroup"
    assert "ValueError: a" in out.error["trace"]
    assert "TypeError: b" in out.error["trace"]


def test_an_exception_within_a_group_that_was_handled_is_no_cause(bench: Bench) -> None:
    source = "import traceback\ntry: 1/0\nexcept ZeroDivisionError: traceback.print_exc()\nraise SystemExit(5)"
    out = bench.run(python(source))
    assert (out.reason, out.exit_code) == ("exit_code", 5)


def test_a_printed_traceback_does_not_make_a_success_a_failure(bench: Bench) -> None:
    out = bench.run(python("import traceback\ntry: 1/0\nexcept ZeroDivisionError: traceback.print_exc()"))
    assert (out.result, out.reason, out.detail) == ("succeeded", "", "")


def test_a_syntax_error_is_told(bench: Bench) -> None:
    out = bench.run(python("x = = 1"))
    assert out.reason == "exception"
    assert out.detail.startswith("SyntaxError: ")


def test_an_exception_of_a_thread_ends_nothing(bench: Bench) -> None:
    source = "import threading\nt = threading.Thread(target=lambda: 1/0)\nt.start(); t.join()\nprint('on')"
    one = bench.start(python(source))
    assert bench.outcome(one).result == "succeeded"
    assert b"ZeroDivisionError" in bench.log(one)


def test_a_death_by_signal_names_the_signal(bench: Bench) -> None:
    out = bench.run(python("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"))
    assert (out.result, out.reason, out.exit_code) == ("failed", "signal", 139)
    assert out.detail == "killed by SIGSEGV"


@pytest.mark.parametrize("interpreter", [None, sys.executable], ids=["forked", "exec"])
def test_memory_over_the_limit_is_the_cause(bench: Bench, interpreter: str | None) -> None:
    limits = Limits(memory_bytes=256 * MIB)
    out = bench.run(python("x = bytearray(1 << 30)", interpreter=interpreter), limits=limits)
    assert (out.result, out.reason) == ("failed", "memory")


def test_a_default_memory_limit_holds_for_tasks_without_one(tmp_path: Path) -> None:
    bench = Bench(tmp_path, memory_bytes=256 * MIB)
    try:
        assert bench.run(python("x = bytearray(1 << 30)")).reason == "memory"
        assert bench.run(python("x = bytearray(1 << 29)"), limits=Limits(memory_bytes=1 << 31)).result == "succeeded"
    finally:
        bench.close()


def test_cpu_time_over_the_limit_is_the_cause(bench: Bench) -> None:
    out = bench.run(python("while True: pass"), limits=Limits(cpu_seconds=1))
    assert (out.result, out.reason) == ("failed", "cpu_time")


@pytest.mark.parametrize(
    "action",
    [
        Python(file="/nowhere/x.py"),
        Python(file="/nowhere/x.py", interpreter=sys.executable),
        Python(file="/"),
        Python(module="no_such_module_anywhere"),
        Python(source="1", interpreter="/nowhere/python"),
        python("1", working_directory="/nowhere"),
        shell("true", working_directory="/nowhere"),
        shell(["no-such-command-anywhere"]),
        shell([]),
        shell(["a\0b"]),
        shell("true", environment={"A=B": "c"}),
        shell(["true", "x" * 3_000_000]),
    ],
    ids=repr,
)
def test_what_cannot_be_started_is_not_tried_again(bench: Bench, action: Python) -> None:
    out = bench.run(action)
    assert (out.result, out.reason, out.retry) == ("failed", "start_error", False)
    assert out.detail.startswith("Cannot be started: ")
    assert len(out.detail) < 600


def test_a_file_that_a_program_misses_is_its_own_failure(bench: Bench) -> None:
    out = bench.run(python("open('/nowhere/data.csv')"))
    assert (out.reason, out.retry) == ("exception", True)


def test_a_program_without_a_module_that_it_imports_fails_by_itself(bench: Bench) -> None:
    out = bench.run(python("import no_such_module_anywhere"))
    assert (out.reason, out.detail) == ("exception", "ModuleNotFoundError: No module named 'no_such_module_anywhere'")


def test_two_hundred_short_ones_at_once_all_succeed(bench: Bench) -> None:
    all_of_them = [bench.start(shell(["true"]) if n % 2 else python(f"print({n})")) for n in range(200)]
    assert {bench.outcome(one).result for one in all_of_them} == {"succeeded"}
    assert bench.log(all_of_them[100]) == b"100\n"
