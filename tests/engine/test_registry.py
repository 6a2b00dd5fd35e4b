"""Jobs and their versions, keys, bookmarks and principals."""

from __future__ import annotations

import pytest

from runyard.core.actions import ForEach, RunJob
from runyard.core.commands import Submit
from runyard.core.control import MAX_DEPTH
from runyard.core.errors import Code, RunyardError
from runyard.core.query import JobFilter

from .bench import Bench, refused, run_job, spec, task


def test_a_job_begins_with_its_first_version() -> None:
    bench = Bench()
    job = bench.registry.create_job(spec(name="n"), by="ann", extras={"x": 1}).result()
    assert (job.version, job.owner, job.extras, job.created_at) == (1, "ann", {"x": 1}, bench.clock.at)
    assert bench.registry.job(job.id) == job


def test_each_update_is_a_new_version_and_the_old_ones_stay() -> None:
    bench = Bench()
    job = bench.job(name="one")
    changed = bench.registry.update_job(job.id, spec(name="two"), by="bob").result()
    assert (changed.version, changed.spec.name, changed.owner) == (2, "two", "ann")
    versions = bench.registry.versions(job.id)
    assert [(one.version, one.spec.name, one.created_by) for one in versions] == [(2, "two", "bob"), (1, "one", "ann")]
    assert bench.registry.version(job.id, 1).spec.name == "one"


def test_a_new_run_takes_the_newest_version_and_a_running_one_keeps_its_own() -> None:
    bench = Bench()
    job = bench.job(task("old"))
    first = bench.submit(job)
    bench.registry.update_job(job.id, spec(task("new")), by="ann").result()
    second = bench.submit(job)
    assert (bench.states(first), bench.states(second)) == ({"old": "starting"}, {"new": "starting"})
    assert (first.job_version, second.job_version) == (1, 2)
    assert bench.runs.spec(first.id).tasks[0].key == "old"


def test_an_update_that_expects_another_version_is_refused() -> None:
    bench = Bench()
    job = bench.job()
    bench.registry.update_job(job.id, spec(), by="ann", expect_version=1).result()
    stale = refused(
        lambda: bench.registry.update_job(job.id, spec(), by="ann", expect_version=1), Code.CONFLICT, "version 2, not 1"
    )
    assert stale.details == {"version": 2}
    assert bench.registry.job(job.id).version == 2


def test_an_update_keeps_extras_unless_new_ones_are_given() -> None:
    bench = Bench()
    job = bench.registry.create_job(spec(), by="ann", extras={"x": 1}).result()
    assert bench.registry.update_job(job.id, spec(), by="ann").result().extras == {"x": 1}
    assert bench.registry.update_job(job.id, spec(), by="ann", extras={}).result().extras == {}


def test_a_definition_that_can_never_run_is_refused_and_nothing_is_kept() -> None:
    bench = Bench()
    job = bench.job()
    bad = spec(task("a", "nobody"))
    with pytest.raises(RunyardError, match="nobody"):
        bench.registry.create_job(bad, by="ann")
    with pytest.raises(RunyardError, match="nobody"):
        bench.registry.update_job(job.id, bad, by="ann")
    assert [one.version for one in bench.registry.versions(job.id)] == [1]


def test_a_key_is_unique_within_workspace_and_origin() -> None:
    bench = Bench()
    create = bench.registry.create_job
    job = create(spec(), by="ann", key="k").result()
    refused(lambda: create(spec(), by="ann", key="k"), Code.ALREADY_EXISTS, "'k'")
    other = create(spec(), by="ann", key="k", origin="glue").result()
    create(spec(), by="ann", key="k", workspace="w").result()
    assert bench.registry.job_by_key("default", "native", "k") == job
    assert bench.registry.job_by_key("default", "glue", "k") == other
    with pytest.raises(RunyardError, match="no job zz"):
        bench.registry.job_by_key("default", "native", "zz")


def test_names_are_not_unique() -> None:
    bench = Bench()
    assert bench.job(name="same").id != bench.job(name="same").id


def test_a_deleted_job_is_gone_from_the_lists_and_its_runs_go_on() -> None:
    bench = Bench()
    job = bench.registry.create_job(spec(), by="ann", key="k").result()
    run = bench.submit(job)
    bench.registry.delete_job(job.id, "ann").result()
    assert bench.registry.jobs(JobFilter()).items == []
    with pytest.raises(RunyardError, match="no job"):
        bench.registry.job(job.id)
    assert bench.registry.job(job.id, deleted_too=True).deleted_at == bench.clock.at
    bench.finish(run)
    assert bench.run(run).state == "succeeded"


def test_a_deleted_job_cannot_be_run_changed_or_deleted_again() -> None:
    bench = Bench()
    job = bench.job()
    bench.registry.delete_job(job.id, "ann").result()
    refused(lambda: bench.runs.submit(Submit(job_id=job.id), "ann"), Code.NOT_FOUND)
    refused(lambda: bench.registry.update_job(job.id, spec(), by="ann"), Code.NOT_FOUND)
    refused(lambda: bench.registry.delete_job(job.id, "ann"), Code.NOT_FOUND)


def test_the_key_of_a_deleted_job_is_free_again() -> None:
    bench = Bench()
    job = bench.registry.create_job(spec(), by="ann", key="k").result()
    bench.registry.delete_job(job.id, "ann").result()
    assert bench.registry.create_job(spec(), by="ann", key="k").result().id != job.id


def test_pages_of_jobs_are_newest_first() -> None:
    bench = Bench()
    jobs = [bench.job(name=name).id for name in "abc"]
    first = bench.registry.jobs(JobFilter(), limit=2)
    second = bench.registry.jobs(JobFilter(), limit=2, cursor=first.next)
    assert [job.id for page in (first, second) for job in page.items] == jobs[::-1]
    assert [job.id for job in bench.registry.jobs(JobFilter(name="b")).items] == [jobs[1]]


@pytest.mark.parametrize("number", [0, 2])
def test_a_version_that_does_not_exist_is_refused(number: int) -> None:
    bench = Bench()
    job = bench.job()
    with pytest.raises(RunyardError, match=f"{job.id}/{number}"):
        bench.registry.version(job.id, number)


# --- jobs that run jobs -----------------------------------------------------------------------------------


def test_a_job_that_would_run_itself_is_refused() -> None:
    bench = Bench()
    job = bench.job()
    refused(
        lambda: bench.registry.update_job(job.id, spec(run_job("r", job)), by="ann"), Code.INVALID, "'r'", "own job"
    )


def test_jobs_that_would_run_each_other_in_a_circle_are_refused() -> None:
    bench = Bench()
    first = bench.job(name="first")
    second = bench.job(run_job("r", first), name="second")
    third = bench.job(task("f", action=ForEach(inputs=[1], action=RunJob(job=second.id))), name="third")
    refused(lambda: bench.registry.update_job(first.id, spec(run_job("r", third)), by="ann"), Code.INVALID, "own job")
    assert bench.registry.job(first.id).version == 1


def test_jobs_that_nest_too_deep_are_refused() -> None:
    bench = Bench()
    job = bench.job(name="deepest")
    for level in range(MAX_DEPTH):
        job = bench.job(run_job("r", job), name=f"level{level}")
    refused(
        lambda: bench.registry.create_job(spec(run_job("r", job)), by="ann"), Code.INVALID, f"nest {MAX_DEPTH} deep"
    )


def test_a_job_that_runs_one_that_does_not_exist_is_refused() -> None:
    definition = spec(task("r", action=RunJob(job=12345)))
    refused(lambda: Bench().registry.create_job(definition, by="ann"), Code.NOT_FOUND, "12345")


def test_a_job_that_runs_the_same_jobs_by_many_ways_is_checked_in_a_moment() -> None:
    bench = Bench()
    wide = bench.job(name="deepest")
    for level in range(MAX_DEPTH):
        wide = bench.job(*(run_job(f"r{n}", wide) for n in range(60)), name=f"level{level}")
    looked_up = 0
    ledger = bench.engine.ledger
    lookup = ledger.job

    def counted(job_id: int) -> object:
        nonlocal looked_up
        looked_up += 1
        return lookup(job_id)

    ledger.job = counted  # type: ignore[method-assign, assignment]  # counts, and answers as before
    bench.registry.update_job(wide.id, spec(*wide.spec.tasks), by="ann").result()
    assert looked_up < 1000


# --- bookmarks --------------------------------------------------------------------------------------------


def test_each_bookmark_is_a_new_version() -> None:
    bench = Bench()
    for place in (10, 20):
        bench.registry.set_bookmark("k", {"at": place}, "ann", run_id=place, attempt=1).result()
    newest = bench.registry.bookmark("k")
    assert (newest.version, newest.state, newest.run_id, newest.attempt) == (2, {"at": 20}, 20, 1)


def test_a_bookmark_that_expects_another_version_is_refused() -> None:
    bench = Bench()
    put = bench.registry.set_bookmark
    put("k", {"at": 1}, "ann", expect=0).result()
    error = refused(lambda: put("k", {"at": 9}, "ann", expect=0), Code.CONFLICT, "version 1, not 0")
    assert error.details == {"version": 1}
    assert bench.registry.bookmark("k").state == {"at": 1}
    assert put("k", {"at": 2}, "ann", expect=1).result().version == 2


def test_a_bookmark_is_rewound_to_a_run_as_a_new_version() -> None:
    bench = Bench()
    for run_id in (10, 20, 30):
        bench.registry.set_bookmark("k", {"at": run_id}, "ann", run_id=run_id).result()
    rewound = bench.registry.reset_bookmark("k", 20, "ann").result()
    assert (rewound.version, rewound.state) == (4, {"at": 20})


def test_a_rewind_reads_what_stood_after_the_run_although_others_were_rewound_since() -> None:
    bench = Bench()
    for run_id in (10, 20, 30):
        bench.registry.set_bookmark("k", {"at": run_id}, "ann", run_id=run_id).result()
    bench.registry.reset_bookmark("k", None, "ann").result()
    assert bench.registry.bookmark("k").state == {}
    assert bench.registry.reset_bookmark("k", 20, "ann").result().state == {"at": 20}


def test_a_bookmark_that_does_not_exist_cannot_be_read_or_rewound() -> None:
    bench = Bench()
    with pytest.raises(RunyardError, match="no bookmark k"):
        bench.registry.bookmark("k")
    refused(lambda: bench.registry.reset_bookmark("k", None, "ann"), Code.NOT_FOUND)
    bench.registry.set_bookmark("k", {}, "ann", run_id=10).result()
    refused(lambda: bench.registry.reset_bookmark("k", 5, "ann"), Code.NOT_FOUND, "run 5")


# --- principals -------------------------------------------------------------------------------------------


def test_principals_are_kept_and_read_again_after_a_restart() -> None:
    bench = Bench()
    one = bench.registry.create_principal("bob", ["runs"], 99, "ann").result()
    assert bench.restart().registry.principal(one.id) == one
    assert bench.restart().registry.principals() == [one]


def test_names_of_principals_are_unique() -> None:
    bench = Bench()
    bench.registry.create_principal("bob", [], None, "ann").result()
    refused(lambda: bench.registry.create_principal("bob", [], None, "ann"), Code.ALREADY_EXISTS, "'bob'")


def test_a_revoked_principal_has_a_new_version_and_a_deleted_one_is_gone() -> None:
    bench = Bench()
    one = bench.registry.create_principal("bob", [], None, "ann").result()
    assert bench.registry.revoke(one.id, "ann").result().version == 2
    bench.registry.delete_principal(one.id, "ann").result()
    assert bench.registry.principal(one.id) is None
    assert bench.restart().registry.principals() == []
    for verb in (bench.registry.revoke, bench.registry.delete_principal):
        refused(lambda verb=verb: verb(one.id, "ann"), Code.NOT_FOUND)
