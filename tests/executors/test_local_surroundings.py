"""What a process attempt finds around it: environment, standard streams, its log, its limits, its context."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from runyard.core.actions import Python
from runyard.core.launch import INDEX
from runyard.core.model import Limits
from tests.executors.harness import SOURCE, Bench, python, shell

FORKED_AND_EXEC = pytest.mark.parametrize("interpreter", [None, sys.executable], ids=["forked", "exec"])
HERE = {"PYTHONPATH": SOURCE}


def program(text: str, **fields: Any) -> Python:
    return Python(source=textwrap.dedent(text), environment=HERE, **fields)


# --- environment, files, streams ---


@FORKED_AND_EXEC
def test_the_environment_holds_nothing_of_the_servers_own(bench: Bench, interpreter: str | None) -> None:
    source = "import os\nprint(dict(os.environ))\nprint(open('/proc/self/environ').read())"
    one = bench.start(python(source, interpreter=interpreter, environment={"MINE": "is here"}))
    assert bench.outcome(one).result == "succeeded"
    seen = bench.log(one).decode()
    assert "is here" in seen
    assert "PATH" in seen
    assert "RUNYARD_TASK_RUN_ID" in seen
    assert "fake-" not in seen
    assert "SECRET" not in seen
    assert "RUNYARD_TOKEN" not in seen


def test_no_file_is_open_but_the_standard_streams(bench: Bench) -> None:
    forked = bench.start(python("import os; print(sorted(os.listdir('/proc/self/fd')))"))
    shelled = bench.start(shell(["ls", "/proc/self/fd"]))
    assert bench.outcome(forked).result == bench.outcome(shelled).result == "succeeded"
    assert bench.log(forked) == b"['0', '1', '2', '3']\n"  # 3 is the listing's own
    assert bench.log(shelled) == b"0\n1\n2\n3\n"


def test_streams_by_their_other_names_are_the_same(bench: Bench) -> None:
    one = bench.start(python("import sys; sys.__stdout__.write('out'); print(sys.__stdin__.read(), 'in')"))
    assert bench.outcome(one).result == "succeeded"
    assert bench.log(one) == b"out in\n"


@pytest.mark.parametrize("end", ["sys.stdout.close()", "sys.stdout = sys.stderr = None"])
def test_a_program_may_let_go_of_its_output(bench: Bench, end: str) -> None:
    one = bench.start(python(f"import sys; print('said'); {end}"))
    assert bench.outcome(one).result == "succeeded"
    assert bench.log(one) == b"said\n"


def test_standard_input_is_empty(bench: Bench) -> None:
    one = bench.start(python("import sys; print(repr(sys.stdin.read()))"))
    two = bench.start(shell("cat; echo end"))
    assert bench.outcome(one).result == bench.outcome(two).result == "succeeded"
    assert bench.log(one) + bench.log(two) == b"''\nend\n"


def test_signals_are_as_a_program_expects_them(bench: Bench) -> None:
    one = bench.start(shell("grep -E 'Sig(Ign|Blk)' /proc/self/status"))
    assert bench.outcome(one).result == "succeeded"
    words = bench.log(one).split()
    assert words[::2] == [b"SigBlk:", b"SigIgn:"]
    # 32 and 33 are the C library's own: it lets nobody set them, so they stay as whoever started us had them.
    settable = ~(0b11 << 31)
    assert [int(word, 16) & settable for word in words[1::2]] == [0, 0]


@FORKED_AND_EXEC
def test_a_broken_pipe_is_an_exception_in_python(bench: Bench, interpreter: str | None) -> None:
    source = "import os\nr, w = os.pipe()\nos.close(r)\ntry: os.write(w, b'x')\nexcept BrokenPipeError: print('told')"
    one = bench.start(python(source, interpreter=interpreter))
    assert bench.outcome(one).result == "succeeded"
    assert bench.log(one) == b"told\n"


def test_files_left_open_are_written_and_exit_handlers_run(bench: Bench, tmp_path: Path) -> None:
    one = bench.start(
        program(
            f"""
            import atexit, threading, time
            kept = open({str(tmp_path / "kept")!r}, "w")
            kept.write("all of it")
            atexit.register(print, "goodbye")
            threading.Thread(target=lambda: (time.sleep(0.1), print("thread done"))).start()
            """
        )
    )
    assert bench.outcome(one).result == "succeeded"
    assert bench.log(one) == b"thread done\ngoodbye\n"
    assert (tmp_path / "kept").read_text() == "all of it"


@FORKED_AND_EXEC
def test_a_shared_working_directory_gets_no_files_of_ours(
    bench: Bench, tmp_path: Path, interpreter: str | None
) -> None:
    (tmp_path / "task.py").write_text("the user's own")
    (tmp_path / "helper.py").write_text("WORD = 'helped'\n")
    source = "import helper, os\nfrom runyard import context\nprint(helper.WORD, os.getcwd(), context.parameters())"
    started = [
        bench.start(program(source, interpreter=interpreter, working_directory=str(tmp_path)), parameters={"n": number})
        for number in range(4)
    ]
    for number, one in enumerate(started):
        assert bench.outcome(one).result == "succeeded", bench.log(one)
        assert bench.log(one).decode() == f"helped {tmp_path} {{'n': {number}}}\n"
    assert (tmp_path / "task.py").read_text() == "the user's own"
    assert {path.name for path in tmp_path.iterdir()} <= {"task.py", "helper.py", "__pycache__"}


def test_an_inline_program_can_spawn_processes_of_its_own_functions(bench: Bench) -> None:
    one = bench.start(
        program(
            """
            import multiprocessing
            def double(n): return 2 * n
            if __name__ == "__main__":
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    print(pool.map(double, [1, 2]))
            """
        )
    )
    assert bench.outcome(one).result == "succeeded", bench.log(one)
    assert bench.log(one) == b"[2, 4]\n"


# --- the log ---


def test_the_log_holds_every_byte_of_both_streams(bench: Bench) -> None:
    data = bytes(range(256)) * 3 + b"\xff\xfe\0\0"
    one = bench.start(python(f"import os\nos.write(1, {data!r})\nos.write(2, {data[::-1]!r})"))
    assert bench.outcome(one).result == "succeeded"
    assert sorted(bench.log(one)) == sorted(data + data[::-1])
    assert data in bench.log(one)
    assert data[::-1] in bench.log(one)


def test_the_index_says_when_and_from_which_stream_each_piece_came(bench: Bench) -> None:
    one = bench.start(shell("echo out; sleep 0.05; echo err >&2; sleep 0.05; echo out"))
    out = bench.outcome(one)
    records = list(struct.iter_unpack("<QBxxxxxxxQ", (bench.folder(one) / INDEX).read_bytes()))
    assert [(stream, offset) for _, stream, offset in records] == [(1, 0), (2, 4), (1, 8)]
    times = [at for at, _, _ in records]
    assert out.started_at is not None
    assert out.ended_at is not None
    assert out.started_at <= times[0] < times[1] < times[2] <= out.ended_at


def test_a_range_of_the_log_is_read_with_its_whole_size(bench: Bench) -> None:
    one = bench.start(python("print('0123456789', end='')"))
    assert bench.outcome(one).result == "succeeded"
    read = bench.executor.read_log
    assert read(1, one.task_run_id, 2, 5) == (b"234", 10)
    assert read(1, one.task_run_id, 8, 99) == (b"89", 10)
    assert read(1, one.task_run_id, 50, None) == (b"", 10)
    assert read(1, 999_999, 0, None) == (b"", 0)


def test_a_log_over_its_cap_is_cut_and_says_so(bench: Bench) -> None:
    one = bench.start(python("print('x' * 5000)\nprint('y' * 5000)"), limits=Limits(log_bytes=6000))
    assert bench.outcome(one).result == "succeeded"
    kept = b"x" * 5000 + b"\n" + b"y" * 999
    assert bench.log(one) == kept + b"\nrunyard: the log was cut here, at its limit of 6000 bytes.\n"


def test_the_cause_is_known_although_the_log_was_cut(bench: Bench) -> None:
    source = "import sys\nprint('x' * 5000, file=sys.stderr)\nraise ValueError('at the end')"
    assert bench.run(python(source), limits=Limits(log_bytes=100)).detail == "ValueError: at the end"


def test_much_output_is_written_whole(bench: Bench) -> None:
    one = bench.start(python("import os\nfor _ in range(640): os.write(1, b'z' * 65536)"))
    assert bench.outcome(one).result == "succeeded"
    assert bench.executor.read_log(1, one.task_run_id, 0, 0)[1] == 640 * 65536


def test_a_task_may_close_its_output_and_go_on(bench: Bench) -> None:
    one = bench.start(python("import os, time\nprint('last')\nos.close(1); os.close(2)\ntime.sleep(0.2)\nos._exit(5)"))
    out = bench.outcome(one)
    assert (out.exit_code, bench.log(one)) == (5, b"last\n")
    assert out.ended_at is not None
    assert out.started_at is not None
    assert out.ended_at - out.started_at >= 200


# --- limits ---


def test_limits_hold_below_the_task_too(bench: Bench) -> None:
    one = bench.start(
        shell("sh -c 'ulimit -v; ulimit -t; ulimit -c'"), limits=Limits(memory_bytes=1 << 30, cpu_seconds=7)
    )
    assert bench.outcome(one).result == "succeeded"
    assert bench.log(one).split() == [b"1048576", b"7", b"0"]


# --- the context ---

FACTS = {"parameters": {"day": "2024-02-29", "n": 3}, "input": [1, {"a": None}], "attempt": 2}


@FORKED_AND_EXEC
def test_the_context_tells_what_the_run_was_given(bench: Bench, interpreter: str | None) -> None:
    source = """
        from runyard import context as c
        print(c.parameters(), c.parameter("n"), c.parameter("no", 7), c.task_input(), c.attempt(), c.run_id())
        """
    one = bench.start(program(source, interpreter=interpreter), **FACTS)
    assert bench.outcome(one).result == "succeeded", bench.log(one)
    assert bench.log(one).decode() == "{'day': '2024-02-29', 'n': 3} 3 7 [1, {'a': None}] 2 1\n"


@FORKED_AND_EXEC
def test_values_come_with_the_outcome(bench: Bench, interpreter: str | None) -> None:
    source = """
        from runyard import context as c
        c.set_value("rows", 1); c.set_value("rows", 2); c.set_value("name", "ä")
        assert c.get_value("rows") == 2 and c.get_value("no", 3) == 3
        """
    out = bench.run(program(source, interpreter=interpreter))
    assert (out.result, out.values) == ("succeeded", {"rows": 2, "name": "ä"})


def test_values_of_a_failed_attempt_are_kept(bench: Bench) -> None:
    out = bench.run(program("from runyard import context as c\nc.set_value('got', 1)\n1/0"))
    assert (out.result, out.values) == ("failed", {"got": 1})


@FORKED_AND_EXEC
def test_values_come_from_threads_and_from_processes_below(bench: Bench, interpreter: str | None) -> None:
    source = """
        import os, subprocess, sys, threading
        from runyard import context as c
        def tell(n): c.set_value(f"thread{n}", n)
        threads = [threading.Thread(target=tell, args=(n,)) for n in range(8)]
        [t.start() for t in threads]; [t.join() for t in threads]
        if os.fork() == 0:
            c.set_value("forked", 1)
            os._exit(0)
        os.wait()
        code = "from runyard import context as c; c.set_value('below', c.parameter('n'))"
        subprocess.run([sys.executable, "-c", code], check=True)
        """
    one = bench.start(program(source, interpreter=interpreter), parameters={"n": 5})
    out = bench.outcome(one)
    assert out.result == "succeeded", bench.log(one)
    assert out.values == {"forked": 1, "below": 5} | {f"thread{n}": n for n in range(8)}


def test_values_come_although_the_task_closed_all_its_files(bench: Bench) -> None:
    out = bench.run(program("import os\nfrom runyard import context as c\nos.closerange(3, 1024)\nc.set_value('a', 1)"))
    assert out.values == {"a": 1}


def test_a_value_over_its_size_is_refused_and_the_task_told(bench: Bench) -> None:
    source = """
        from runyard import context as c
        for name, size in [("fits", 48 * 1024 - 2), ("over", 48 * 1024)]:
            try: c.set_value(name, "x" * size)
            except ValueError as error: print(error)
        c.set_value("second", "x" * 48_000)
        try: c.set_value("third", "x" * 48_000)
        except ValueError as error: print(error)
        """
    one = bench.start(program(source))
    assert sorted(bench.outcome(one).values) == ["fits", "second"]
    assert b"49152 are allowed" in bench.log(one)
    assert b"131072 are allowed" in bench.log(one)


def test_values_of_several_processes_together_stay_within_the_limit(bench: Bench) -> None:
    source = """
        import os
        from runyard import context as c
        for n in range(6):
            if os.fork() == 0:
                c.set_value(f"v{n}", "x" * 40_000)
                os._exit(0)
            os.wait()
        """
    one = bench.start(program(source))
    assert sorted(bench.outcome(one).values) == ["v0", "v1", "v2"]
    assert b"['v3'] not kept: all values together have 131072 bytes at most" in bench.log(one)


def test_an_outcome_larger_than_a_message_arrives_whole(bench: Bench) -> None:
    source = """
        from runyard import context as c
        c.set_value("a", "x" * 40_000); c.set_value("b", "x" * 40_000); c.set_value("c", "x" * 40_000)
        raise ValueError("\\xff" * 30_000)
        """
    out = bench.run(program(source))
    assert (out.reason, sorted(out.values)) == ("exception", ["a", "b", "c"])
    assert out.error is not None
    assert len(out.error["message"]) == 30_000


def test_progress_is_told_and_its_last_word_kept(bench: Bench) -> None:
    source = """
        import time
        from runyard import context as c
        for n in range(50): c.progress(n / 100, f"step {n}", rows=n)
        time.sleep(0.6)
        c.progress(1.0, rows=50)
        """
    one = bench.start(program(source))
    out = bench.outcome(one)
    assert out.metrics == {"fraction": 1.0, "rows": 50}
    told = bench.progress(one)
    assert {"fraction": 0.49, "message": "step 49", "rows": 49} in told  # although it came soon after the first
    assert len(told) <= 5


def test_progress_over_its_size_is_refused(bench: Bench) -> None:
    one = bench.start(program("from runyard import context as c\nc.progress(0.5, 'x' * 9000)"))
    assert bench.outcome(one).detail.startswith("ValueError: The progress has ")


def test_noise_on_the_tasks_own_channel_does_no_harm(bench: Bench) -> None:
    source = """
        import os, socket
        from runyard import context as c
        for text in [b"", b"{", b"[]", b'{"values": 3}', b"x" * 100_000]:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
                one.sendto(text, os.environ["RUNYARD_CONTEXT"].replace("context.json", "notes"))
        c.set_value("a", 1)
        """
    out = bench.run(program(source))
    assert (out.result, out.values) == ("succeeded", {"a": 1})


def test_the_context_outside_an_attempt_is_empty_and_harmless(tmp_path: Path) -> None:
    source = (
        "from runyard import context as c\n"
        "c.set_value('a', 1); c.progress(0.5)\n"
        "print(c.parameters(), c.parameter('x', 2), c.task_input(), c.run_id(), c.attempt(), c.get_value('a'))"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RUNYARD_")} | HERE
    done = subprocess.run(
        [sys.executable, "-c", source], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "{} 2 None None 0 1\n"
    assert list(tmp_path.iterdir()) == []


def test_a_bookmark_goes_in_with_the_claim_and_comes_out_with_the_success(bench: Bench) -> None:
    source = "from runyard import context; old = context.bookmark(); context.set_bookmark({'day': old['day'] + 1})"
    outcome = bench.run(Python(source=source), bookmark={"day": 1}, bookmark_version=7)
    assert (outcome.bookmark, outcome.bookmark_version) == ({"day": 2}, 7)


def test_a_bookmark_over_its_size_is_refused_in_the_script(bench: Bench) -> None:
    source = "from runyard import context; context.set_bookmark({'x': 'y' * 50_000})"
    assert "ValueError: The bookmark has" in bench.run(Python(source=source)).detail


def test_a_task_cannot_call_itself_by_another_name(bench: Bench) -> None:
    one = bench.start(shell('echo "$RUNYARD_TASK $OWN"', environment={"RUNYARD_TASK": "x", "OWN": "mine"}))
    assert bench.outcome(one).result == "succeeded"
    assert bench.log(one) == b"t mine\n"
