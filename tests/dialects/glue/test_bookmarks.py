"""Bookmarks: what a committed run has read is not read again, until somebody resets or rewinds."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.dialects.glue.world import World

READ = """
import sys
from awsglue.context import GlueContext
from awsglue.job import Job
from awsglue.utils import getResolvedOptions

args = getResolvedOptions(sys.argv, ["JOB_NAME", "SRC"])
context = GlueContext()
job = Job(context)
job.init(args["JOB_NAME"], args)
frame = context.create_dynamic_frame.from_options(
    "s3", {"paths": [args["SRC"]]}, format="json", transformation_ctx="source"
)
print(sorted(row["n"] for row in frame.toDF().to_pylist()))
job.commit()
"""
# The same choice of files without reading them, which takes Arrow half a second to begin with.
QUICK = """
import sys
from awsglue import files
from awsglue.job import Job
from awsglue.utils import getResolvedOptions

args = getResolvedOptions(sys.argv, ["JOB_NAME", "SRC"])
job = Job(None)
job.init(args["JOB_NAME"], args)
print(sorted(int(one.location.split("/")[-1][:-5]) for one in files.selected([args["SRC"]], {}, "source")))
if "--fail" in sys.argv:
    raise ValueError("before the commit")
job.commit()
"""
ENABLE, PAUSE = "job-bookmark-enable", "job-bookmark-pause"


class Source:
    """A folder of one-row files, and a job that reads it."""

    def __init__(self, world: World, name: str, text: str = QUICK, **job: Any) -> None:
        self.world = world
        self.folder: Path = world.s3 / name / "in"
        self.folder.mkdir(parents=True)
        arguments = {"--SRC": f"s3://{name}/in", "--job-bookmark-option": ENABLE}
        self.job = world.job(text, command="glueetl", DefaultArguments=arguments, **job)
        self.clock = 1_700_000_000

    def put(self, number: int) -> None:
        path = self.folder / f"{number}.json"
        path.write_text(json.dumps({"n": number}))
        self.clock += 10
        os.utime(path, (self.clock, self.clock))

    def read(self, **more: Any) -> list[int]:
        run = self.world.run(self.job, **more)
        assert run["JobRunState"] == "SUCCEEDED", run
        self.last: str = run["Id"]
        return list(json.loads(self.world.output(run)[0]))

    def entry(self, **more: Any) -> dict[str, Any]:
        return dict(self.world.client.get_job_bookmark(JobName=self.job, **more)["JobBookmarkEntry"])


def test_a_committed_run_is_not_repeated(glue: World) -> None:
    source = Source(glue, "bm1", READ)
    source.put(1)
    source.put(2)
    assert source.read() == [1, 2]
    assert source.read() == []
    source.put(3)
    assert source.read() == [3]
    entry = source.entry()
    assert (entry["Version"], entry["Run"], entry["Attempt"]) == (3, 3, 0)
    assert entry["RunId"] == source.last
    assert "source" in json.loads(entry["JobBookmark"])


def test_a_file_that_is_written_again_is_read_again(glue: World) -> None:
    source = Source(glue, "bm2")
    source.put(1)
    source.read()
    source.put(1)
    assert source.read() == [1]


def test_a_run_that_fails_before_its_commit_changes_nothing(glue: World) -> None:
    source = Source(glue, "bm3")
    source.put(1)
    failed = glue.run(source.job, Arguments={"--fail": "yes"})
    assert failed["JobRunState"] == "FAILED"
    glue.refused("EntityNotFoundException", glue.client.get_job_bookmark, JobName=source.job)
    assert source.read() == [1]


def test_disabled_is_the_default_and_reads_everything(glue: World) -> None:
    source = Source(glue, "bm4")
    source.put(1)
    for _ in range(2):
        assert source.read(Arguments={"--job-bookmark-option": "job-bookmark-disable"}) == [1]
    glue.refused("EntityNotFoundException", glue.client.get_job_bookmark, JobName=source.job)


def test_pause_goes_on_from_the_bookmark_and_leaves_it(glue: World) -> None:
    source = Source(glue, "bm5")
    source.put(1)
    source.read()
    source.put(2)
    for _ in range(2):
        assert source.read(Arguments={"--job-bookmark-option": PAUSE}) == [2]
    assert source.entry()["Version"] == 1


def test_a_paused_window_reads_what_came_between_two_runs(glue: World) -> None:
    source = Source(glue, "bm6")
    ids = []
    for number in (1, 2, 3):
        source.put(number)
        source.read()
        ids.append(source.last)
    window = {"--job-bookmark-option": PAUSE, "--job-bookmark-from": ids[0], "--job-bookmark-to": ids[1]}
    assert source.read(Arguments=window) == [2]
    window["--job-bookmark-to"] = ids[2]
    assert source.read(Arguments=window) == [2, 3]


def test_a_window_of_an_unknown_run_is_refused(glue: World) -> None:
    source = Source(glue, "bm7")
    window = {"--job-bookmark-option": PAUSE, "--job-bookmark-from": "jr_x", "--job-bookmark-to": "jr_y"}
    glue.refused("EntityNotFoundException", glue.client.start_job_run, JobName=source.job, Arguments=window)


def test_a_reset_starts_from_the_beginning(glue: World) -> None:
    source = Source(glue, "bm8")
    source.put(1)
    source.read()
    entry = glue.client.reset_job_bookmark(JobName=source.job)["JobBookmarkEntry"]
    told = {key: entry[key] for key in ("JobName", "Version", "Run", "Attempt", "JobBookmark")}
    assert told == {"JobName": source.job, "Version": 2, "Run": 0, "Attempt": 0, "JobBookmark": "{}"}
    assert source.read() == [1]


def test_a_rewind_goes_back_to_what_it_was_after_a_run(glue: World) -> None:
    source = Source(glue, "bm9")
    source.put(1)
    source.read()
    first = source.last
    source.put(2)
    source.read()
    assert source.entry(RunId=first)["Version"] == 1
    entry = glue.client.reset_job_bookmark(JobName=source.job, RunId=first)["JobBookmarkEntry"]
    assert (entry["Version"], entry["Run"]) == (3, 1)
    assert source.read() == [2]


@pytest.mark.parametrize("operation", ["get_job_bookmark", "reset_job_bookmark"])
def test_a_job_without_a_bookmark_is_not_found(glue: World, operation: str) -> None:
    call = getattr(glue.client, operation)
    job = glue.job()
    assert glue.refused("EntityNotFoundException", call, JobName=job) == f"Continuation for job {job} not found."
    glue.refused("EntityNotFoundException", call, JobName="nobody")
    glue.refused("EntityNotFoundException", call, JobName=job, RunId="jr_x")


def test_a_deleted_job_takes_its_bookmark_along(glue: World) -> None:
    source = Source(glue, "bm10")
    source.put(1)
    source.read()
    glue.client.delete_job(JobName=source.job)
    glue.job(QUICK, Name=source.job)
    glue.refused("EntityNotFoundException", glue.client.get_job_bookmark, JobName=source.job)


def test_plain_python_commits_a_bookmark_too(glue: World) -> None:
    text = (
        "import sys\nfrom awsglue.job import Job\nfrom awsglue.utils import getResolvedOptions\n"
        "args = getResolvedOptions(sys.argv, ['JOB_NAME'])\n"
        "job = Job(None)\njob.init(args['JOB_NAME'], args)\njob.commit()\n"
    )
    job = glue.job(text, DefaultArguments={"--job-bookmark-option": ENABLE})
    glue.run(job)
    assert glue.client.get_job_bookmark(JobName=job)["JobBookmarkEntry"]["Run"] == 1


def test_of_two_that_commit_at_once_one_fails(glue: World) -> None:
    gate = glue.files / "gate"
    wait = f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)\njob.commit()"
    text = QUICK.replace("job.commit()", wait)
    source = Source(glue, "bm11", ExecutionProperty={"MaxConcurrentRuns": 2})
    glue.client.update_job(
        JobName=source.job,
        JobUpdate={
            "Role": "r",
            "Command": {"Name": "glueetl", "ScriptLocation": glue.script(text)},
            "DefaultArguments": {"--SRC": "s3://bm11/in", "--job-bookmark-option": ENABLE},
            "ExecutionProperty": {"MaxConcurrentRuns": 2},
        },
    )
    source.put(1)
    ids = [glue.start(source.job) for _ in range(2)]
    for run_id in ids:
        glue.in_state(source.job, run_id, "RUNNING")
    gate.touch()
    runs = [glue.ended(source.job, run_id) for run_id in ids]
    assert sorted(run["JobRunState"] for run in runs) == ["FAILED", "SUCCEEDED"]
    (failed,) = [run for run in runs if run["JobRunState"] == "FAILED"]
    assert "bookmark" in failed["ErrorMessage"].lower()
    assert "VERSION_MISMATCH" in failed["ErrorMessage"]
