"""Job files: what is read from good ones, and what is said of bad ones, with the place."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from runyard.client import jobfile
from runyard.client.jobfile import JobFileError
from runyard.core.actions import Python, Sql
from runyard.core.errors import Code

GOLDEN = Path(__file__).parent / "golden"

GOOD = """\
job: nightly
parameters: {day: null, url: http://127.0.0.1/x.csv}
tasks:
  fetch:
    load: {source: "{{ parameters.url }}", table: x, mode: replace}
  delays:
    needs: fetch
    sql: select 1
    retries: 2
    timeout: 5m
  report:
    needs: [delays]
    python: {source: "print(1)", arguments: ["{{ parameters.day }}"]}
"""


@pytest.mark.parametrize("name", ["flights", "everything"])
def test_a_good_file_gives_the_definition_that_stands_beside_it(name: str) -> None:
    spec = msgspec.to_builtins(jobfile.load(GOLDEN / f"{name}.yaml"))
    assert spec == json.loads((GOLDEN / f"{name}.json").read_text())


def test_the_base_of_the_error_tests_is_good() -> None:
    assert [task.key for task in jobfile.parse(GOOD).tasks] == ["fetch", "delays", "report"]


# what is replaced, by what, where the refusal points, and words that it holds
BAD = {
    "an unknown field of a job": ("job: nightly", "jobb: nightly", (1, 1), ["'jobb'", "did you mean 'job'"]),
    "a job without a name": ("job: nightly\n", "", (1, 1), ["needs 'job'"]),
    "a job without tasks": (GOOD[GOOD.index("tasks:") :], "", (1, 1), ["needs 'tasks'"]),
    "tasks as a list": ("tasks:\n", "tasks: [a]\nx:\n", (3, 8), ["mapping of task names", "found a list"]),
    "an unknown field of a task": ("    needs: fetch", "    need: fetch", (7, 5), ["'need'", "did you mean 'needs'"]),
    "an unknown kind of work": ("sql: select 1", "sqll: select 1", (8, 5), ["'sqll'", "did you mean 'sql'"]),
    "a task without work": ("    sql: select 1\n", "", (7, 5), ["does not say what it does", "sql, load"]),
    "a task that is empty": ("  report:\n", "  empty:\n  report:\n", (11, 9), ["must be a mapping", "found nothing"]),
    "a task with two kinds of work": ("    retries: 2", "    shell: ls", (7, 5), ["sql and shell", "one of them"]),
    "a name that stands twice": ("    retries: 2", "    timeout: 2", (10, 5), ["'timeout' stands here twice"]),
    "two tasks of one name": ("  report:", "  fetch:", (11, 3), ["'fetch' stands here twice"]),
    "a need that does not exist": ("needs: fetch", "needs: fetsh", (7, 12), ["'fetsh'", "Did you mean 'fetch'?"]),
    "a need in a list that does not exist": ("[delays]", "[fetch, dela]", (12, 20), ["'dela'", "'delays'"]),
    "needs in a circle": ("needs: fetch", "needs: report", (4, 3), ["circle", "delays, report"]),
    "a task that needs itself": ("needs: fetch", "needs: delays", (7, 12), ["needs itself"]),
    "an outcome of a task that has none": ("[delays]", '[{task: delays, outcome: "true"}]', (12, 13), ["no condition"]),
    "an unknown outcome": ("[delays]", "[{task: delays, outcome: yes}]", (12, 37), ["'yes'", "true, false"]),
    "a need without a task": ("[delays]", '[{outcome: "true"}]', (12, 13), ["'task'"]),
    "an unknown mode": ("mode: replace", "mode: replcae", (5, 60), ["'replcae'", "did you mean 'replace'"]),
    "a load without a table": ("table: x, ", "", (5, 11), ["load needs 'table'"]),
    "retries that are no number": ("retries: 2", "retries: often", (9, 14), ["whole number", "'often'"]),
    "a negative number of retries": ("retries: 2", "retries: -2", (9, 14), ["-1 (without limit)"]),
    "an unknown field of retries": ("retries: 2", "retries: {maxx: 2}", (9, 15), ["'maxx'", "did you mean 'max'"]),
    "a timeout that is no time": ("timeout: 5m", "timeout: 5 minutes", (10, 14), ["90s, 5m or 2h", "'5 minutes'"]),
    "a timeout of nothing": ("timeout: 5m", "timeout: 0", (10, 14), ["more than 0"]),
    "a limit that is no size": ("timeout: 5m", "limits: {memory: lots}", (10, 22), ["64MB", "'lots'"]),
    "a queue name that cannot be": ("timeout: 5m", "queue: a b", (10, 12), ["queue's name", "'a b'"]),
    "an unknown run_if": ("timeout: 5m", "run_if: all_sucess", (10, 13), ["did you mean 'all_success'"]),
    "disabled that is no truth": ("timeout: 5m", "disabled: yes", (10, 15), ["true or false", "'yes'"]),
    "a reference to a parameter that is none": ("parameters.day", "parameters.dya", (13, 13), ["'dya'", "'day'"]),
    "a reference to a task that comes later": (
        "select 1",
        '"select {{ tasks.report.values.x }}"',
        (8, 10),
        ["does not come before"],
    ),
    "an empty statement": ("sql: select 1", 'sql: ""', (8, 10), ["needs a statement"]),
    "sql that says nothing": ("sql: select 1", "sql:", (8, 9), ["must be a mapping", "found nothing"]),
    "an unknown field of sql": ("sql: select 1", "sql: {statment: a}", (8, 11), ["did you mean 'statement'"]),
    "python that says nothing to run": (
        'source: "print(1)", ',
        "",
        (13, 13),
        ["exactly one of source, file and module"],
    ),
    "a program where its file is meant": (
        '{source: "print(1)", arguments: ["{{ parameters.day }}"]}',
        "report.py",
        (13, 13),
        ["python: {file: report.py}"],
    ),
    "a file without a folder": ('source: "print(1)"', "file: a.py", (13, 20), ["'a.py'", "no folder"]),
    "a source and a file": ('source: "print(1)"', "source: a, file: b", (13, 13), ["exclude each other"]),
    "a comparison that compares nothing": (
        "sql: select 1",
        "condition: 5 is big",
        (8, 16),
        ["comparison", "'5 is big'"],
    ),
    "a for_each without work": ("sql: select 1", "for_each: {inputs: [1]}", (8, 15), ["for_each needs 'do'"]),
    "a for_each within a for_each": (
        "sql: select 1",
        "for_each: {inputs: [1], do: {for_each: {}}}",
        (8, 34),
        ["do has no field"],
    ),
    "a for_each that does two things": (
        "sql: select 1",
        "for_each: {inputs: [1], do: {sql: a, shell: b}}",
        (8, 33),
        ["exactly one"],
    ),
    "input outside of a for_each": ("select 1", '"select {{ input }}"', (8, 10), ["only a for_each"]),
    "a job's id that is no number": ("sql: select 1", "run_job: nightly", (8, 14), ["whole number", "'nightly'"]),
    "a tag": ("sql: select 1", "sql: !secret x", (8, 10), ["!secret", "quotes"]),
    "a Python object": ("sql: select 1", "sql: !!python/name:os.system x", (8, 10), ["python/name"]),
    "a merge key": ("sql: select 1", "<<: {sql: select 1}", (8, 5), ["merge keys"]),
    "a number that is too large": ("day: null", "day: 99999999999999999999", (2, 19), ["too large", "quotes"]),
    "a number that is infinite": ("day: null", "day: 1e999", (2, 19), ["too large"]),
    "half a surrogate pair": ("day: null", 'day: "\\ud800"', (2, 19), ["surrogate"]),
    "a character that cannot be": ("day: null", 'day: "\\UFFFFFFFF"', (1, 1), ["not YAML"]),
    "a control character": ("select 1", "select \x01", (8, 1), ["cannot stand in YAML"]),
    "text that is no YAML": ("[delays]", "[delays", (13, 11), ["not YAML"]),
    "an alias within itself": ("day: null", "day: &a [*a]", (2, 19), ["nested deeper"]),
    "nesting without end": ("day: null", f"day: {'[' * 3000}", (1, 1), ["nested deeper"]),
    "a list as a name": ("day: null", "[a]: null", (2, 14), ["must be a name", "found a list"]),
    "a notification without a url": ("tasks:\n", "notifications: [{on: failure}]\ntasks:\n", (3, 17), ["'url'"]),
    "a notification at no known point": (
        "tasks:\n",
        "notifications: [{url: a, on: sucess}]\ntasks:\n",
        (3, 30),
        ["'success'"],
    ),
    "an unknown on_limit": ("tasks:\n", "on_limit: wait\ntasks:\n", (3, 11), ["queue, refuse, skip"]),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_with_its_place(case: str) -> None:
    old, new, place, words = BAD[case]
    assert old in GOOD
    with pytest.raises(JobFileError) as caught:
        jobfile.parse(GOOD.replace(old, new, 1), source="jobs/nightly.yaml")
    error = caught.value
    assert (error.line, error.column) == place, str(error)
    assert str(error).startswith(f"jobs/nightly.yaml:{place[0]}:{place[1]}: ")
    assert error.code is Code.INVALID
    assert [word for word in words if word not in error.problem] == [], error.problem


def test_aliases_that_unfold_without_bound_are_refused() -> None:
    bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
    for name, before in zip("bcdefgh", "abcdefg", strict=True):
        bomb += f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    text = (
        "job: x\nparameters:\n" + "".join(f"  {line}\n" for line in bomb.splitlines()) + "tasks: {a: {sql: select 1}}\n"
    )
    with pytest.raises(JobFileError, match="unfolds to more than"):
        jobfile.parse(text)


def test_an_anchor_may_be_used_again() -> None:
    spec = jobfile.parse("job: x\ntasks:\n  a: {sql: s, retries: &r {max: 2}}\n  b: {sql: s, retries: *r}\n")
    assert [task.retries.max for task in spec.tasks] == [2, 2]


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(JobFileError, match=r"job:1:1: the file is empty"):
        jobfile.parse("# nothing\n---\n")


def test_a_file_that_is_too_large_is_refused_before_it_is_read() -> None:
    with pytest.raises(JobFileError, match="may have 1048576 characters"):
        jobfile.parse("#" * 1_100_000)


def test_several_jobs_are_read_together_and_refused_alone() -> None:
    text = f"{GOOD}---\n{GOOD.replace('nightly', 'weekly')}---\n"
    jobs = jobfile.parse_all(text)
    assert [(job.spec.name, job.key, job.place.line) for job in jobs] == [
        ("nightly", "nightly", 1),
        ("weekly", "weekly", 15),
    ]
    with pytest.raises(JobFileError, match=r"job:15:1: this is job 'weekly', the second of 2"):
        jobfile.parse(text)


def test_the_key_of_a_job_is_its_own_or_its_name() -> None:
    assert jobfile.parse_all(f"key: a/b\n{GOOD}")[0].key == "a/b"
    assert jobfile.parse_all(GOOD)[0].key == "nightly"


def test_an_error_in_the_second_job_names_the_line_in_the_file() -> None:
    with pytest.raises(JobFileError, match=r"^job:16:1: "):
        jobfile.parse_all(f"{GOOD}---\njob: b\ntaskz: {{}}\n")


# --- files beside the job file ----------------------------------------------------------------------------


def job_with(folder: Path, line: str) -> Path:
    path = folder / "job.yaml"
    path.write_text(f"job: x\ntasks:\n  a:\n    {line}\n")
    return path


def test_a_program_is_read_from_beside_the_job_file(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.py").write_text("print('é')\n", encoding="utf-8")
    spec = jobfile.load(job_with(tmp_path, "python: {file: sub/a.py}"))
    assert spec.tasks[0].action == Python(source="print('é')\n")


def test_a_statement_is_read_from_beside_the_job_file(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("select 1")
    spec = jobfile.load(job_with(tmp_path, "sql: {file: a.sql}"))
    assert spec.tasks[0].action == Sql(statement="select 1")


def test_a_missing_program_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "report.py").touch()
    with pytest.raises(JobFileError, match=r"job.yaml:4:20: cannot read 'reprot.py': No such file.*'report.py'\?"):
        jobfile.load(job_with(tmp_path, "python: {file: reprot.py}"))


def test_a_program_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"\xff\xfe")
    with pytest.raises(JobFileError, match=r"job.yaml:4:20: 'a.py' is not UTF-8 text"):
        jobfile.load(job_with(tmp_path, "python: {file: a.py}"))


def test_a_job_file_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JobFileError, match="cannot read the file: No such file"):
        jobfile.load(tmp_path / "none.yaml")


def test_a_job_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_bytes(b"job: \xff")
    with pytest.raises(JobFileError, match=r"not UTF-8 text \(byte 5\)"):
        jobfile.load(tmp_path / "job.yaml")


def test_an_expression_that_begins_with_a_star_is_told_to_stand_in_quotes() -> None:
    with pytest.raises(JobFileError) as refused:
        jobfile.parse("job: a\nschedule: */5 * * * *\ntasks: {b: {shell: date}}")
    assert (refused.value.line, "stands in quotes" in refused.value.problem) == (2, True)


def test_a_wrong_schedule_is_refused_at_its_place() -> None:
    for text, place, said in (
        ("schedule: 61 * * * *", (2, 11), "Did you mean '59 * * * *'?"),
        ("schedule:\n  cron: 0 0 31 2 *", (3, 9), "it would never fire"),
        ("schedule: {evry: 5m}", (2, 12), "did you mean 'every'"),
        ("schedule: {every: often}", (2, 19), "such as 90s, 5m or 2h"),
        ("schedule: {every: 5m, flavour: vixie}", (2, 32), "flavour cannot be 'vixie'"),
    ):
        with pytest.raises(JobFileError) as refused:
            jobfile.parse(f"job: a\n{text}\ntasks: {{b: {{shell: date}}}}")
        assert (refused.value.line, refused.value.column) == place
        assert said in refused.value.problem
